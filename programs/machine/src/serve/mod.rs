//! The server: wires every promise to the one that keeps it. The only place that names concrete types.
//!
//! ```text
//! lock the home ──▶ ledger, images, provider ──▶ desk (reconciles) ──▶ socket ──▶ serving
//!                                                                        SIGTERM or shutdown ──▶ gone
//! ```
//! Machines outlive it: whoever stops the server stops no machine, unless asked to.

mod boot_logs;
mod lock;
mod log;
mod scrub;
mod surroundings;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use machine_api::server::MachinesThen;
use machine_core::promise::image_source::ImageSource;
use machine_core::{Command, Owner, Progress};
use machine_engine::{Asked, Desk, Promises};
use machine_guest::UnixDoor;
use machine_image::LocalImages;
use machine_provider::{HostSettings, LocalProvider};
use machine_server::{About, Server};
use machine_store::SqliteLedger;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::settings::Settings;
use lock::HomeLock;
use surroundings::HostSurroundings;

/// Where hosts say who resolves names for them.
const RESOLVER: &str = "/etc/resolv.conf";

/// Where administrators add certificate authorities: Debian's place and Fedora's.
const AUTHORITIES: [&str; 2] = ["/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors"];

/// The agent that every guest of ours runs: built by `build.rs`, delivered by the initramfs.
static AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/machine-agent"));

/// Who called the server into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A person, or an init system.
    Person,
    /// The command line, on demand: the server leaves its session and logs to a file.
    CommandLine,
}

/// Serves until it is told to end.
///
/// # Errors
/// If another server has this home, or something that it needs cannot be had.
pub(crate) async fn serve(settings: &Settings, caller: Caller) -> anyhow::Result<()> {
    Settings::make_private(&settings.home)?;
    let Some(_lock) = HomeLock::take(settings, caller).await? else { return Ok(()) };
    // Not before: a server that ends takes it away, and holds the lock while it does.
    Settings::make_private(&settings.runtime)?;
    log::begin(settings, caller)?;
    let short = short_name(settings)?;
    let parts = Parts::assemble(settings, short).await?;
    let listener = listen(&settings.socket())?;
    point_to_socket(settings);
    info!(home = %settings.home.display(), pid = std::process::id(), "serving");
    let scrubbed = parts.provider.clone();
    let scrubbing = tokio::spawn(async move { scrub::scrub(scrubbed.as_ref()).await });
    let (farewell, mut asked) = mpsc::channel(1);
    machine_server::serve(listener, parts.server(settings, farewell), async {
        let then = tokio::select! {
            () = until_told() => MachinesThen::Leave,
            Some(then) = asked.recv() => then,
        };
        // Who asked sees the socket close: by then it is done.
        if then == MachinesThen::Stop {
            parts.stop_machines().await;
        }
    })
    .await;
    scrubbing.abort();
    if let Err(error) = parts.provider.close().await {
        warn!(%error, "what boots for a memory image cannot be ended; the next server will");
    }
    leave(settings);
    info!("ended");
    Ok(())
}

/// Takes the socket away; the short name too, where no machine needs it: homes come and go, `/run` stays.
fn leave(settings: &Settings) {
    let _ = std::fs::remove_file(settings.socket());
    let _ = std::fs::remove_file(settings.home.join("api.sock"));
    let none = std::fs::read_dir(settings.home.join("machines")).is_ok_and(|mut entries| entries.next().is_none());
    if none {
        let _ = std::fs::remove_file(settings.runtime.join("m"));
        let _ = std::fs::remove_dir(&settings.runtime);
    }
}

struct Parts {
    desk: Desk,
    provider: Arc<LocalProvider>,
}

impl Parts {
    async fn assemble(settings: &Settings, short: PathBuf) -> anyhow::Result<Self> {
        let deadlines = settings.server()?;
        let ledger = SqliteLedger::open(&settings.home.join("ledger.db"), Timestamp::now).await?;
        let cache = settings.home.join("cache");
        let images: Arc<dyn ImageSource> =
            Arc::new(LocalImages::open(settings.home.join("images"), cache.clone(), AGENT)?);
        let host = HostSettings {
            machines: settings.home.join("machines"),
            images: settings.home.join("images").join("memory"),
            short,
            cache,
            program: machine_hypervisor::process::this_program(),
            resolver: RESOLVER.into(),
            authorities: AUTHORITIES.map(PathBuf::from).to_vec(),
            proxies: settings.proxies.clone(),
            search: settings.search.clone(),
            boot_timeout: deadlines.boot_timeout,
            stop_grace: deadlines.stop_grace,
        };
        let provider = LocalProvider::open(host, images.clone(), Arc::new(UnixDoor));
        let provider = Arc::new(provider.context("cannot open the memory images")?);
        let promises = Promises {
            ledger: Arc::new(ledger),
            provider: provider.clone(),
            images,
            memory_images: provider.clone(),
            networks: provider.clone(),
            folders: provider.clone(),
            surroundings: Arc::new(HostSurroundings),
        };
        let desk = Desk::open(promises).await.context("cannot take up the machines on record")?;
        Ok(Self { desk, provider })
    }

    fn server(&self, settings: &Settings, farewell: mpsc::Sender<MachinesThen>) -> Server {
        Server {
            desk: self.desk.clone(),
            logs: Arc::new(boot_logs::BootLogs(self.provider.clone())),
            about: About { version: env!("CARGO_PKG_VERSION").to_owned(), home: settings.home.display().to_string() },
            uid: rustix::process::geteuid().as_raw(),
            farewell,
        }
    }

    async fn stop_machines(&self) {
        let owner = Owner::local_user(rustix::process::geteuid().as_raw());
        let machines = self.desk.list(&owner).await.unwrap_or_default();
        let running = machines.into_iter().filter(|machine| machine.state.holds_memory());
        let stops = running.map(|machine| {
            let asked = Asked { owner: owner.clone(), key: None, request: None, progress: Progress::silent() };
            async move {
                if let Err(refusal) = self.desk.command(&asked, machine.id.as_str(), Command::Stop).await {
                    warn!(machine = %machine.id, %refusal, "cannot stop it");
                }
            }
        });
        futures::future::join_all(stops).await;
    }
}

/// A short name of the machines' folder, since a socket's path has at most 107 bytes.
fn short_name(settings: &Settings) -> anyhow::Result<PathBuf> {
    let machines = settings.home.join("machines");
    Settings::make_private(&machines)?;
    let short = settings.runtime.join("m");
    if std::fs::read_link(&short).ok().as_deref() != Some(machines.as_path()) {
        let _ = std::fs::remove_file(&short);
        std::os::unix::fs::symlink(&machines, &short)
            .with_context(|| format!("cannot make the short name {}", short.display()))?;
    }
    Ok(short)
}

/// Listens where only we and root may knock. We hold the home's lock: a socket that is there is stale.
fn listen(socket: &Path) -> anyhow::Result<UnixListener> {
    let _ = std::fs::remove_file(socket);
    UnixListener::bind(socket).with_context(|| format!("cannot listen on {}", socket.display()))
}

/// `api.sock` in the home leads to the socket, for people and their scripts; nothing of ours needs it.
fn point_to_socket(settings: &Settings) {
    let pointer = settings.home.join("api.sock");
    let _ = std::fs::remove_file(&pointer);
    if let Err(error) = std::os::unix::fs::symlink(settings.socket(), &pointer) {
        warn!(%error, "cannot make {}", pointer.display());
    }
}

async fn until_told() {
    use tokio::signal::unix::{SignalKind, signal};
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    match (terminate, interrupt) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => info!("told to end"),
                _ = interrupt.recv() => info!("interrupted"),
            }
        }
        (Err(error), _) | (_, Err(error)) => {
            warn!(%error, "signals cannot be heard");
            std::future::pending().await
        }
    }
}
