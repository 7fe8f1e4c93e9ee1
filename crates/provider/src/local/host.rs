//! What this host can do: found out when it is first needed, and again while something is missing.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use machine_core::policy::admit::Capacity;
use machine_core::promise::provider::ProviderError;
use machine_core::{MachineId, MiB};
use machine_hypervisor::accelerator::{Accelerator, Verdict, probe_cached};
use machine_hypervisor::boot_plan::BootPlan;
use machine_hypervisor::driver::qemu::{Installation, Qemu};
use machine_hypervisor::driver::{Driver, Host};
use machine_hypervisor::ingredients::Ingredients;
use machine_hypervisor::launch_plan::LaunchPlan;
use machine_hypervisor::tsc;
use tokio::sync::OnceCell;

use super::{Proxies, host_refused};

/// A KVM that stalls takes almost two seconds to be found out.
const PROBE: Duration = Duration::from_secs(6);
const QEMU: &str = "qemu-system-x86_64";
const INSTALL_QEMU: &str = "install QEMU 8 or newer: `apt-get install qemu-system-x86`; `machine doctor` says more";

/// Where this installation keeps things, and its deadlines.
#[derive(Debug, Clone)]
pub struct HostSettings {
    /// The folder of machines.
    pub machines: PathBuf,
    /// A short name of the same folder, for sockets.
    pub short: PathBuf,
    /// The folder of memory images.
    pub images: PathBuf,
    /// What was found out about this host is kept here.
    pub cache: PathBuf,
    /// Our own program, which has the verbs `supervise` and `probe-kvm`.
    pub program: PathBuf,
    /// The host's resolver configuration, which gateways follow.
    pub resolver: PathBuf,
    /// Folders of certificate authorities that the host's administrator added.
    pub authorities: Vec<PathBuf>,
    /// The host's proxies.
    pub proxies: Proxies,
    /// Folders in which programs are looked for.
    pub search: Vec<PathBuf>,
    /// How long a boot may take until the agent answers.
    pub boot_timeout: Duration,
    /// How long a guest's processes have to end.
    pub stop_grace: Duration,
}

/// This host, probed once it is capable.
pub(super) struct LocalHost {
    settings: HostSettings,
    ready: OnceCell<Arc<Ready>>,
}

/// A host that can run machines.
pub(super) struct Ready {
    driver: Qemu,
    host: Host,
    verdict: Verdict,
}

impl LocalHost {
    pub(super) fn new(settings: HostSettings) -> Self {
        Self { settings, ready: OnceCell::new() }
    }

    /// What runs machines here. A host that lacked something is asked again the next time.
    pub(super) async fn ready(&self) -> Result<Arc<Ready>, ProviderError> {
        self.ready.get_or_try_init(|| self.probe()).await.cloned()
    }

    async fn probe(&self) -> Result<Arc<Ready>, ProviderError> {
        let lacks = |lacks: String| ProviderError::NotCapable { lacks, hint: INSTALL_QEMU.to_owned() };
        let qemu = find_program(QEMU, &self.settings.search).ok_or_else(|| lacks(format!("no {QEMU}")))?;
        make_private_folder(&self.settings.cache)?;
        let verdict = probe_cached(&self.settings.program, PROBE, &self.settings.cache).await;
        if verdict.accelerator == Accelerator::Tcg {
            tracing::warn!(reason = %verdict.reason, "no usable KVM: machines are emulated, which is much slower");
        }
        let installation = Installation::probe(&qemu, verdict.accelerator, &self.settings.cache).await;
        let installation = installation.map_err(|error| lacks(format!("{QEMU} does not work: {error}")))?;
        let host = Host { accelerator: verdict.accelerator, tsc: tsc::rate() };
        Ok(Arc::new(Ready { driver: Qemu::new(installation), host, verdict }))
    }
}

impl Ready {
    /// How guests run here, for people.
    pub(super) fn accelerator(&self) -> String {
        match self.verdict.accelerator {
            Accelerator::Kvm => "kvm".to_owned(),
            Accelerator::Tcg => format!("emulated: {}", self.verdict.reason),
        }
    }

    /// What runs machines here.
    pub(super) fn driver(&self) -> &dyn Driver {
        &self.driver
    }

    /// What a memory that is kept of such a boot depends on.
    pub(super) fn ingredients(&self, boot: &BootPlan) -> Result<Ingredients, ProviderError> {
        self.driver.ingredients(boot, &self.host).map_err(|error| host_refused("tell what memory depends on", error))
    }

    /// What to run for a boot.
    pub(super) fn plan(&self, boot: &BootPlan) -> Result<LaunchPlan, ProviderError> {
        self.driver.plan(boot, &self.host).map_err(|error| host_refused("plan the boot", error))
    }
}

/// A program in the first folder that has it.
fn find_program(name: &str, search: &[PathBuf]) -> Option<PathBuf> {
    search.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// How large this host is.
pub(super) fn capacity() -> Result<Capacity, ProviderError> {
    let cpus = std::thread::available_parallelism().map_err(|error| host_refused("count processors", error))?;
    let text = std::fs::read_to_string("/proc/meminfo").map_err(|error| host_refused("read /proc/meminfo", error))?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().strip_suffix("kB")).and_then(|kib| kib.trim().parse::<u64>().ok());
    let memory = MiB(kib.unwrap_or_default() / 1024);
    Ok(Capacity { cpus: u32::try_from(cpus.get()).unwrap_or(u32::MAX), memory })
}

/// Makes a folder that only we may look into, and those above it.
pub(super) fn make_private_folder(path: &Path) -> Result<(), ProviderError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull => ProviderError::DiskFull { tried: format!("make {}", path.display()) },
        _ => host_refused("make a folder", error),
    })
}

/// The machines that have a folder here; other names are not ours.
pub(super) fn folders(machines: &Path) -> Result<Vec<MachineId>, ProviderError> {
    let entries = match std::fs::read_dir(machines) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(host_refused("list the machines' folder", error)),
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}
