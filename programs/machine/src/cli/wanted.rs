//! A machine as it is asked for on the command line: the flags that `create` and `run` share.

use clap::Args;
use machine_sdk::api::CreateMachine;

use super::network_wanted::NetworkWanted;
use super::word::pair::{self, Pair};
use machine_sdk::api::MiB;

/// What the machine shall be.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// template to make it from
    #[arg(long, value_name = "TEMPLATE", default_value = "base", help_heading = "Machine")]
    pub(crate) template: String,

    /// virtual processors
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Machine")]
    pub(crate) cpus: u32,

    /// memory: 512M, 4GiB, or a number of MiB
    #[arg(long, value_name = "SIZE", default_value = "512M", help_heading = "Machine")]
    pub(crate) memory: MiB,

    /// size of its disk; what is not written takes no place
    #[arg(long, value_name = "SIZE", default_value = "10GiB", help_heading = "Machine")]
    pub(crate) disk: MiB,

    /// environment of its commands, may be repeated
    #[arg(short, long, value_name = "KEY=VALUE", help_heading = "Machine")]
    pub(crate) env: Vec<Pair>,

    #[command(flatten)]
    network: NetworkWanted,
}

impl Wanted {
    /// Whether nobody asked for anything but environment.
    pub(crate) fn is_usual(&self) -> bool {
        let usual = (self.template.as_str(), self.cpus, self.memory, self.disk) == ("base", 2, MiB(512), MiB(10 << 10));
        usual && self.network.wish().is_none()
    }

    /// As the server is asked. Without a timeout: nobody would extend it.
    pub(crate) fn request(&self) -> CreateMachine {
        CreateMachine {
            template: Some(self.template.clone()),
            vcpus: Some(self.cpus),
            memory_mb: Some(self.memory.0),
            disk_mb: Some(self.disk.0),
            envs: pair::map(&self.env),
            timeout_ms: Some(0),
            network: self.network.wish(),
            ..CreateMachine::default()
        }
    }
}
