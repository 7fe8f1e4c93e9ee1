//! A share's process, from its first line to its last.
//!
//! ```text
//! (started) ──plan read, sockets made──▶ (confined) ──the VMM connects──▶ serving ──it disconnects──▶ (ended)
//!     └─────────────something is missing, or nobody connects: told on the standard error──────▶
//! ```
//! One whose predecessor was killed answers in its place meanwhile; see `mourner`. `check` goes as far as (confined),
//! to tell whether the host lets a share get there.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use vhost::vhost_user::{Error as Protocol, Listener};
use vhost_user_backend::{Error as Backend, VhostUserDaemon};
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

use crate::device::Device;
use crate::folder::SharedFolder;
use crate::mourner::Mourner;
use crate::plan::{Access, Cache, Owner, SharePlan, Watch};
use crate::rules::{NotInside, Rules};
use crate::sandbox::{self, Confined};
use crate::will::Strongbox;
use crate::{filter, watch};

/// How long the VMM may take to connect.
const VMM_CONNECTS_WITHIN: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// One that cannot show its folder answers for its predecessor so long; then it is started again.
const MOURNING: Duration = Duration::from_secs(10);

/// Why a share ends.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// Something that the share needs cannot be had.
    #[error("cannot {what}")]
    Cannot {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The plan's paths.
    #[error(transparent)]
    Plan(#[from] NotInside),
    /// The folder is none.
    #[error("cannot open the folder {}", path.display())]
    Folder {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The host gives nothing by which a machine could be kept to the folder.
    #[error("neither a root of our own ({root}) nor Landlock ({landlock}) can be had")]
    Unconfined {
        /// Why no name space of our own.
        root: io::Error,
        /// Why no Landlock.
        landlock: String,
    },
    /// The VMM never came.
    #[error("no VMM connected within {} seconds", VMM_CONNECTS_WITHIN.tv_sec)]
    Alone,
    /// The VMM spoke another protocol.
    #[error("the VMM's connection failed: {0}")]
    Connection(String),
}

/// Says what was tried.
pub(crate) trait Trying<T> {
    fn trying(self, what: &'static str) -> Result<T, ShareError>;
}

impl<T, E: Into<io::Error>> Trying<T> for Result<T, E> {
    fn trying(self, what: &'static str) -> Result<T, ShareError> {
        self.map_err(|source| ShareError::Cannot { what, source: source.into() })
    }
}

/// Runs the plan's share to its end, which is good when the VMM has gone. The first thing that its process does, on
/// its only thread: it closes every descriptor but the standard streams.
pub fn run(plan_file: &Path) -> Result<(), ShareError> {
    let strongbox = Strongbox::inherited().trying("close inherited descriptors")?.map(Arc::new);
    let mourner = strongbox.as_ref().and_then(|strongbox| strongbox.look()).map(Mourner::of);
    let mourner = mourner.and_then(|mourner| mourner.inspect_err(cannot_mourn).ok());
    match prepare(plan_file, strongbox.clone()) {
        Ok((vmm, device)) => serve(&vmm, device, strongbox.as_deref(), mourner),
        Err(error) => {
            if let Some(mourner) = mourner {
                eprintln!("machine share: {error}; what the machine asks fails");
                filter::apply().trying("filter system calls")?;
                mourner.mourn(Some(Instant::now() + MOURNING));
            }
            Err(error)
        }
    }
}

fn cannot_mourn(error: &io::Error) {
    eprintln!("machine share: cannot answer in my predecessor's place: {error}");
}

/// Whether this host lets a share of the folder run: enters what a share enters, looks at the folder, and ends. What a
/// share would go without is no answer. For a process's only thread, as `run`.
pub fn check(folder: &Path) -> Result<(), ShareError> {
    let missing = |source| ShareError::Folder { path: folder.to_owned(), source };
    // Whose it is, is the folder's affair and not the host's.
    let (host_uid, host_gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let plan = SharePlan {
        socket: PathBuf::new(),
        folder: std::fs::canonicalize(folder).map_err(missing)?,
        access: Access::ReadWrite,
        owner: Owner { host_uid, host_gid, guest_uid: host_uid, guest_gid: host_gid },
        exclude: Vec::new(),
        guard: Vec::new(),
        cache: Cache::default(),
        watch: None,
    };
    show(&plan, Rules::of(&plan)?).map(drop)
}

/// Up to the last moment before the VMM is heard.
fn prepare(plan_file: &Path, strongbox: Option<Arc<Strongbox>>) -> Result<(UnixListener, Device), ShareError> {
    let plan = std::fs::read(plan_file).trying("read the plan")?;
    let mut plan: SharePlan = serde_json::from_slice(&plan).trying("read the plan")?;
    let rules = Rules::of(&plan)?;
    plan.folder =
        std::fs::canonicalize(&plan.folder).map_err(|source| ShareError::Folder { path: plan.folder, source })?;
    let vmm = listen(&plan.socket).trying("listen for the VMM")?;
    let listened = |watch: Watch| listen(&watch.socket).map(|listener| (watch, listener));
    let watcher = plan.watch.clone().map(listened).transpose().trying("listen for who reads changes")?;
    let Shown { folder, root, lacking } = show(&plan, rules.clone())?;
    for lacking in lacking {
        eprintln!("machine share: goes without {lacking}");
    }
    if let Some(watcher) = watcher {
        watch::start(root, rules, (folder.own_changes(), folder.slept()), watcher).trying("watch the folder")?;
    }
    Ok((vmm, Device::new(folder, plan.cache, strongbox)))
}

/// A folder as a machine may see it, from inside of the sandbox.
struct Shown {
    folder: SharedFolder,
    root: OwnedFd,
    lacking: Vec<String>,
}

/// Enters the sandbox and looks at the folder.
fn show(plan: &SharePlan, rules: Rules) -> Result<Shown, ShareError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let descriptors = open("/proc/self/fd", flags, Mode::empty()).trying("open /proc/self/fd")?;
    // The machine's kernel has already taken from modes what its programs' umask takes.
    rustix::process::umask(Mode::empty());
    let Confined { root, files, lacking } = sandbox::enter(plan)?;
    let settings = (plan.access, plan.owner, plan.cache);
    let inside = root.try_clone().trying("look at the folder")?;
    let folder = SharedFolder::new(inside, descriptors, rules, settings, files).trying("look at the folder")?;
    Ok(Shown { folder, root, lacking })
}

/// Serves the VMM. One whose predecessor's device is still there may come late: it is given no limit.
fn serve(
    vmm: &UnixListener,
    device: Device,
    strongbox: Option<&Strongbox>,
    mourner: Option<Mourner>,
) -> Result<(), ShareError> {
    let limit = if mourner.is_some() { None } else { Some(&VMM_CONNECTS_WITHIN) };
    if let Some(mourner) = mourner {
        let thread = std::thread::Builder::new().name("mourner".to_owned());
        thread.spawn(move || mourner.mourn(None)).trying("answer in my predecessor's place")?;
    }
    let mut waiting = [PollFd::new(vmm, PollFlags::IN)];
    if poll(&mut waiting, limit).trying("wait for the VMM")? == 0 {
        return Err(ShareError::Alone);
    }
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let failed = |error: Backend| ShareError::Connection(error.to_string());
    let mut daemon = VhostUserDaemon::new("share".to_owned(), Arc::new(device), memory).map_err(failed)?;
    let listener = vmm.try_clone().trying("listen for the VMM")?;
    // The VMM has taken the device of our predecessor away: what was the device's memory may be anybody's now.
    strongbox.inspect(|strongbox| strongbox.empty());
    daemon.start(&mut Listener::from(listener)).map_err(failed)?;
    let ended = daemon.wait();
    strongbox.inspect(|strongbox| strongbox.empty());
    match ended {
        Ok(()) | Err(Backend::HandleRequest(Protocol::Disconnected | Protocol::PartialMessage)) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// A socket for this user alone, in the stead of one that a predecessor left.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = socket.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let others = Mode::RWXG | Mode::RWXO;
    let before = rustix::process::umask(others);
    let listener = UnixListener::bind(socket);
    rustix::process::umask(before);
    listener
}
