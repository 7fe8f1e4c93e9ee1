//! One machine's gateway, seen from the server: its files, its process, and what it is told.
//!
//! ```text
//! gateway.json ──read at its start──▶ follows it ──told──▶ follows what it was told, and so does gateway.json
//!                                         │ silent, or refuses
//!                                         └──killed──▶ the next one reads gateway.json
//! ```
//! Without a `gateway.json` a gateway lets nothing out: so a network is closed that cannot be told.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_core::MachineId;
use machine_core::machine::Generation;
use machine_core::network::{Forward, NetworkSpec};
use machine_core::promise::network::NetworkError;
use machine_hypervisor::boot_plan::RunFolder;
use machine_hypervisor::launch_plan::{Companion, Holds};
use machine_hypervisor::process::{Vmm, kill_companions};
use machine_network::control::{Client, ControlError, Status};
use machine_network::{GATEWAY_VERB, GatewayPlan};

use super::super::boot::mac_of;
use super::super::{blocking, ending, of_io};
use super::ports;

/// The word for it among a VMM's companions.
pub(super) const NAME: &str = "network";
/// One that died is started again within five seconds at most, see the supervisor.
pub(super) const WITHIN: Duration = Duration::from_secs(6);
/// Of its log in an error, in bytes.
const LAST_WORDS: usize = 600;

/// See the module.
pub(in crate::local) struct Gateway {
    pub(super) machine: MachineId,
    pub(super) run: RunFolder,
    pub(super) resolver: PathBuf,
}

/// Why a gateway did not do as it was told.
enum Untold {
    /// Another one might.
    Ask(ControlError),
    /// None would.
    Hopeless(NetworkError),
}

impl Gateway {
    /// What its VMM's supervisor minds.
    pub(in crate::local) fn companion(&self) -> Companion {
        Companion { name: NAME.to_owned(), arguments: self.arguments(), holds: Holds::Wire }
    }

    fn arguments(&self) -> Vec<String> {
        vec![GATEWAY_VERB.to_owned(), self.plan_file().to_string_lossy().into_owned()]
    }

    fn plan_file(&self) -> PathBuf {
        self.run.path().join("gateway.json")
    }

    /// Where it listens for us.
    pub(super) fn control(&self) -> PathBuf {
        self.run.path().join("gateway.sock")
    }

    fn flows(&self) -> PathBuf {
        self.run.path().join("flows")
    }

    /// Makes its files ready for a launch: what an earlier one left is not its own.
    pub(in crate::local) fn make_ready(&self, generation: Generation, network: &NetworkSpec) -> io::Result<()> {
        for stale in [self.control(), self.flows()] {
            remove(&stale)?;
        }
        self.write(generation, network)
    }

    /// Whole or not at all: a gateway may be about to read it.
    fn write(&self, generation: Generation, network: &NetworkSpec) -> io::Result<()> {
        let plan = GatewayPlan {
            machine: self.machine.clone(),
            generation,
            mac: mac_of(self.machine.as_str()).0,
            control: self.control(),
            flows: self.flows(),
            resolver: self.resolver.clone(),
            network: network.clone(),
        };
        let (path, aside) = (self.plan_file(), self.run.path().join("gateway.json.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(&serde_json::to_vec_pretty(&plan)?)?;
        fs::rename(aside, path)
    }

    /// Has it follow `network`; one that does not is replaced once. Answers the forwards, each with its port.
    pub(in crate::local) async fn follow(
        &self,
        generation: Generation,
        network: &NetworkSpec,
    ) -> Result<Vec<Forward>, NetworkError> {
        let silent = match self.tell(generation, network).await {
            Ok(forwards) => return Ok(forwards),
            Err(Untold::Hopeless(error)) => return Err(error),
            Err(Untold::Ask(error)) => error,
        };
        tracing::warn!(machine = %self.machine, error = %chain(&silent), "the gateway is replaced");
        // The plan may be why it does not answer.
        if let Err(error) = self.write_known(generation, network) {
            self.close().await?;
            return Err(of_io("write the gateway's plan", &error).into());
        }
        self.end().await?;
        match self.tell(generation, network).await {
            Ok(forwards) => Ok(forwards),
            Err(Untold::Hopeless(error)) => Err(error),
            Err(Untold::Ask(error)) => Err(self.refused(&error)),
        }
    }

    /// The plan without the ports that are still to be chosen.
    fn write_known(&self, generation: Generation, network: &NetworkSpec) -> io::Result<()> {
        let mut known = network.clone();
        known.forwards.retain(|forward| forward.listen.port() != 0);
        self.write(generation, &known)
    }

    async fn tell(&self, generation: Generation, network: &NetworkSpec) -> Result<Vec<Forward>, Untold> {
        let mut client = Client::connect(&self.control(), WITHIN).await.map_err(Untold::Ask)?;
        let status = client.status().await.map_err(Untold::Ask)?;
        let listening = listening(&status);
        let wanted = network.clone();
        let bound = blocking(move || ports::bind_missing(&wanted, &listening)).await;
        let bound = bound.map_err(NetworkError::from).and_then(|bound| bound);
        let (network, sockets) = bound.map_err(Untold::Hopeless)?;
        if let Err(error) = self.write(generation, &network) {
            // What it follows now is not what was asked for, and the next would follow that, too.
            self.close().await.map_err(Untold::Hopeless)?;
            return Err(Untold::Hopeless(of_io("write the gateway's plan", &error).into()));
        }
        let forwards = network.forwards.clone();
        if status.network.as_ref() != Some(&network) || !sockets.is_empty() {
            self.set(&mut client, &network, sockets).await?;
        }
        Ok(forwards)
    }

    async fn set(
        &self,
        client: &mut Client,
        network: &NetworkSpec,
        sockets: Vec<(Forward, OwnedFd)>,
    ) -> Result<(), Untold> {
        client.set(network, sockets).await.map_err(Untold::Ask)
    }

    /// Lets nothing out any more.
    async fn close(&self) -> Result<(), NetworkError> {
        remove(&self.plan_file()).map_err(|error| of_io("take the gateway's plan away", &error))?;
        self.end().await
    }

    /// Ends its process, whatever that does.
    async fn end(&self) -> Result<(), NetworkError> {
        let ended = tokio::time::timeout(WITHIN, kill_companions(&self.arguments())).await;
        let ended = ended.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        ended.map(drop).map_err(|error| of_io("end the gateway", &error).into())
    }

    /// What it said last says more than that it is silent.
    pub(super) fn refused(&self, error: &ControlError) -> NetworkError {
        let said = Vmm::companion_log_tail(&self.run, NAME, LAST_WORDS).unwrap_or_default();
        let said = ending::readable(&said);
        let said = said.lines().last().map(|line| format!("; its log ends with: {line}")).unwrap_or_default();
        NetworkError::Gateway { detail: format!("{}{said}", chain(error)) }
    }
}

/// The forwards that somebody listens for.
fn listening(status: &Status) -> Vec<Forward> {
    let all = status.network.as_ref().map(|network| network.forwards.clone()).unwrap_or_default();
    all.into_iter().filter(|forward| !status.deaf.contains(forward)).collect()
}

fn chain(error: &ControlError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_launch_finds_its_own_plan_and_nothing_of_an_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let gateway = Gateway {
            machine: "m0123456789abcdefghij".parse().unwrap(),
            run: RunFolder(folder.path().to_owned()),
            resolver: PathBuf::from("/etc/resolv.conf"),
        };
        let network = |port: &str| NetworkSpec { forwards: vec![port.parse().unwrap()], ..NetworkSpec::default() };
        gateway.make_ready(Generation(1), &network("1001")).unwrap();
        fs::write(gateway.flows(), "connections").unwrap();
        fs::write(gateway.control(), "").unwrap();
        gateway.make_ready(Generation(2), &network("1002")).unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [gateway.plan_file()]);
        let plan: GatewayPlan = serde_json::from_slice(&fs::read(gateway.plan_file()).unwrap()).unwrap();
        assert_eq!((plan.generation, plan.network), (Generation(2), network("1002")));
        assert_eq!(fs::metadata(gateway.plan_file()).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
