//! The three networks that are compared, each with a running machine in it: ours by the product, the others by
//! its very command line with another `-netdev`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use machine_guest::GuestLink;
use machine_guest::protocol::{Ending, Exec, Write};
use machine_sdk::api::exec::ExecRequest;
use machine_sdk::{Client, WriteFile};
use tokio::process::{Child, Command};

use super::host::Hosts;
use super::load::{self, Load};
use crate::home::Home;
use crate::plain::Plain;

/// The largest output of a load, far beyond any.
const OUTPUT: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(300);
/// Who passt runs as where this process is root.
const NOBODY: &str = "65534";

/// See the module.
pub(super) struct Side {
    name: &'static str,
    guest: Guest,
    /// The process that carries the packets, if it is not the VMM.
    process: Option<u32>,
}

enum Guest {
    /// A VMM of ours, ended when it is dropped, with the process that it needs.
    Plain { link: GuestLink, vmm: Box<Child>, beside: Option<Box<Child>> },
    /// A machine of the product.
    Machine { client: Client, id: String, folder: PathBuf },
}

impl Side {
    /// A machine of the product, which may reach the host's ports. Its NIC ends in our gateway.
    pub(super) async fn ours(home: &Home, hosts: &Hosts) -> anyhow::Result<Self> {
        let allowed = hosts.ports().map(|port| format!("host.machine.internal:{port}"));
        let mut words = vec!["create", "--name", "network", "--cold", "--cpus", "1", "--memory", "512M"];
        allowed.iter().for_each(|entry| words.extend(["--allow", entry]));
        home.cli(&words).await?;
        let client = home.client();
        let id = client.get("network").await?.id;
        let folder = home.machine_folder(&id);
        let gateway = gateway_of(&folder)?;
        let guest = Guest::Machine { client, id, folder };
        Self { name: "machine", guest, process: Some(gateway) }.equipped().await
    }

    /// QEMU's own network.
    pub(super) async fn slirp(home: &Home, ours: &Self, disk: &Path) -> anyhow::Result<Self> {
        let folder = room(home, "slirp")?;
        Self::by_hand("slirp", ours, folder, disk, None, None).await
    }

    /// passt, unprivileged, with the largest MTU that it has.
    pub(super) async fn passt(home: &Home, ours: &Self, disk: &Path) -> anyhow::Result<Self> {
        let folder = room(home, "passt")?;
        // Where its user may make one.
        let socket = PathBuf::from(format!("/tmp/machine-bench-passt-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        let passt = start_passt(&socket).context("cannot start passt: run scripts/install-host bench")?;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while !socket.exists() {
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "passt opens no socket");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let netdev = format!("stream,id=net,server=off,addr.type=unix,addr.path={}", socket.display());
        let side = Self::by_hand("passt", ours, folder, disk, Some(netdev), Some(passt)).await;
        let _ = std::fs::remove_file(&socket);
        side
    }

    async fn by_hand(
        name: &'static str,
        like: &Self,
        folder: PathBuf,
        disk: &Path,
        netdev: Option<String>,
        beside: Option<Child>,
    ) -> anyhow::Result<Self> {
        let Guest::Machine { folder: machine, .. } = &like.guest else { anyhow::bail!("no machine to be like") };
        let mut plain = Plain::like(machine, &folder)?;
        if let Some(netdev) = netdev {
            plain = plain.with_netdev(&netdev)?;
        }
        let (vmm, link) = plain.up(disk).await?;
        let process = beside.as_ref().and_then(Child::id);
        let guest = Guest::Plain { link, vmm: Box::new(vmm), beside: beside.map(Box::new) };
        Self { name, guest, process }.equipped().await
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Runs a load in the guest and gives the numbers that it printed.
    pub(super) async fn run(&self, load: Load) -> anyhow::Result<Vec<f64>> {
        let said = self.shell(&load.line()).await?.map_err(|why| anyhow::anyhow!("{}: {why}", self.name))?;
        said.lines().map(|line| line.parse().with_context(|| format!("no number: {line}"))).collect()
    }

    /// Puts the load's program into the guest.
    async fn equipped(self) -> anyhow::Result<Self> {
        self.put(load::PATH, load::PROGRAM).await?;
        Ok(self)
    }

    /// Puts a file that may be run into the guest.
    pub(super) async fn put(&self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        match &self.guest {
            Guest::Plain { link, .. } => {
                let mut file = link.write(Write { mode: Some(0o755), ..Write::new(path) }).await?;
                file.write(bytes.to_vec()).await?;
                file.finish().await?;
            }
            Guest::Machine { client, id, .. } => {
                let how = WriteFile { mode: Some(0o755), ..WriteFile::default() };
                client.write_file(id, path, &how, std::io::Cursor::new(bytes.to_vec())).await?;
            }
        }
        Ok(())
    }

    /// Runs a line of shell; the error is what it wrote to standard error.
    pub(super) async fn shell(&self, line: &str) -> anyhow::Result<Result<String, String>> {
        match &self.guest {
            Guest::Plain { link, .. } => {
                let running = link.exec(Exec::shell(line)).await?;
                let output = tokio::time::timeout(PATIENCE, running.output(OUTPUT)).await.context("no end")??;
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let good = output.exited.ending == Ending::Code(0);
                Ok(if good { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
            }
            Guest::Machine { client, id, .. } => {
                let request: ExecRequest = serde_json::from_value(serde_json::json!({
                    "command": line, "shell": true, "timeout_secs": PATIENCE.as_secs(),
                }))?;
                let said = client.exec(id, &request).await?;
                Ok(if said.exit_code == 0 { Ok(said.stdout) } else { Err(said.stderr) })
            }
        }
    }

    /// What the process that carries the packets occupies, in MiB.
    pub(super) fn process_rss(&self) -> anyhow::Result<f64> {
        let pid = self.process.with_context(|| format!("{} has no process of its own", self.name))?;
        crate::home::rss_mib(pid)
    }

    /// How long the process that carries the packets has had a processor.
    pub(super) fn process_time(&self) -> anyhow::Result<Duration> {
        let pid = self.process.with_context(|| format!("{} has no process of its own", self.name))?;
        crate::home::processor_time(pid)
    }

    /// Gives our machine rules: so many denials, beside what the loads need.
    pub(super) async fn set_rules(&self, home: &Home, hosts: &Hosts, count: usize) -> anyhow::Result<()> {
        let allowed = hosts.ports().map(|port| format!("host.machine.internal:{port}"));
        let denied: Vec<String> = (0..count).map(rule).collect();
        let mut words = vec!["egress", "set", "network", "--reset"];
        allowed.iter().for_each(|entry| words.extend(["--allow", entry]));
        denied.iter().for_each(|entry| words.extend(["--deny", entry]));
        home.cli(&words).await.map(drop)
    }

    /// Ends the machine and what it needed.
    pub(super) async fn end(self, home: &Home) -> anyhow::Result<()> {
        match self.guest {
            Guest::Plain { link, mut vmm, beside } => {
                drop(link);
                vmm.kill().await?;
                if let Some(mut beside) = beside {
                    beside.kill().await?;
                }
                Ok(())
            }
            Guest::Machine { id, .. } => home.client().destroy(&id, &mut |_| ()).await.map(drop).map_err(Into::into),
        }
    }
}

/// Networks, names and ports, as rules have them.
fn rule(number: usize) -> String {
    match number % 4 {
        0 => format!("198.51.100.{}", number % 256),
        1 => format!("203.0.113.{}:{}", number % 256, 1000 + number),
        2 => format!("*.number-{number}.example.com"),
        _ => format!("host-{number}.example.net:8443"),
    }
}

/// A folder in the measurements' home.
pub(super) fn room(home: &Home, name: &str) -> anyhow::Result<PathBuf> {
    let folder = home.folder().join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn start_passt(socket: &Path) -> anyhow::Result<Child> {
    let root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self")?) == 0;
    let mut command = if root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "passt"]);
        command
    } else {
        Command::new("passt")
    };
    command.args(["-f", "-q", "-a", "10.0.2.15", "-n", "255.255.255.0", "-g", "10.0.2.2", "-m", "65520"]);
    command.args(["--dns-forward", "10.0.2.3", "-4", "-s"]).arg(socket);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    Ok(command.spawn()?)
}

/// The gateway of the machine in this folder: a child of its supervisor.
fn gateway_of(folder: &Path) -> anyhow::Result<u32> {
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("run/supervisor.json"))?)?;
    let supervisor = record["supervisor"]["pid"].as_u64().context("no supervisor on record")?;
    let is_gateway = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
        parent == Some(supervisor) && line.split(|byte| *byte == 0).nth(1) == Some(b"gateway")
    };
    let entries = std::fs::read_dir("/proc")?.flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(is_gateway).context("the machine has no gateway")
}
