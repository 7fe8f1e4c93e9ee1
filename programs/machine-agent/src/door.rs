//! Where hosts come in: a virtio-serial port, or a unix socket. Moves bytes; reads none.
//!
//! ```text
//! port:  no host ──host opens: the bell──▶ connected ──read gives 0──▶ no host
//! ```
//! A host is waited for and not looked for: a guest that was restored answers at once, and one without a host
//! sleeps.

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{UnixListener, UnixStream};

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Should the kernel ever not ring.
const LOOK_ANYWAY: Duration = Duration::from_secs(2);

/// Where to serve.
#[derive(Debug)]
pub(crate) enum Door {
    /// A virtio-serial port, by device.
    Port(PathBuf),
    /// Connect to a unix socket, again and again.
    Connect(PathBuf),
    /// Listen at a unix socket.
    Listen(PathBuf),
}

impl Door {
    /// Takes hold of the place, so that a host may come.
    pub(crate) fn open(self) -> io::Result<OpenDoor> {
        match self {
            Self::Port(path) => {
                let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
                let port = rustix::fs::open(&path, flags, Mode::empty())?;
                Ok(OpenDoor::Port(Some(port)))
            }
            Self::Connect(path) => Ok(OpenDoor::Connect(path)),
            Self::Listen(path) => Ok(OpenDoor::Listen(UnixListener::bind(path)?)),
        }
    }
}

/// A door at which hosts are awaited.
#[derive(Debug)]
pub(crate) enum OpenDoor {
    /// The port, while no transport holds it.
    Port(Option<OwnedFd>),
    Connect(PathBuf),
    Listen(UnixListener),
}

impl OpenDoor {
    /// Waits for a host; `None` if there can be no other.
    pub(crate) async fn wait(&mut self) -> io::Result<Option<Transport>> {
        match self {
            Self::Port(port) => {
                let Some(port) = port.take() else { return Ok(None) };
                if is_hung_up(&port)? {
                    let bell = Bell::at(&port)?;
                    while is_hung_up(&port)? {
                        bell.ring().await?;
                    }
                }
                Ok(Some(Transport::Port(crate::sys::watch(port)?)))
            }
            Self::Connect(path) => connect(path).await.map(Some),
            Self::Listen(listener) => Ok(Some(Transport::Stream(listener.accept().await?.0))),
        }
    }

    /// Gets the port back when its host has left.
    pub(crate) fn closed(&mut self, transport: Transport) {
        match (self, transport) {
            (Self::Port(place), Transport::Port(port)) => *place = Some(port.into_inner()),
            (Self::Port(_) | Self::Connect(_) | Self::Listen(_), _) => {}
        }
    }
}

/// Rings when something changes at a port. The kernel reports a hang-up for as long as no host is there, so the
/// runtime, which never forgets one, cannot wait for its end; a change alone can be had by asking for edges.
struct Bell(AsyncFd<OwnedFd>);

impl Bell {
    fn at(port: &OwnedFd) -> io::Result<Self> {
        let bell = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let edges = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&bell, port, epoll::EventData::new_u64(0), edges)?;
        Ok(Self(crate::sys::watch(bell)?))
    }

    async fn ring(&self) -> io::Result<()> {
        let Ok(rung) = tokio::time::timeout(LOOK_ANYWAY, self.0.readable()).await else { return Ok(()) };
        // First forget, then take: a change in between rings again.
        rung?.clear_ready();
        let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }];
        epoll::wait(self.0.get_ref(), &mut events[..], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        Ok(())
    }
}

async fn connect(path: &Path) -> io::Result<Transport> {
    let mut pause = FIRST_PAUSE;
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(Transport::Stream(stream)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn is_hung_up(port: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(port, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(fds[0].revents().contains(PollFlags::HUP))
}

/// Which bytes went where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    /// So many came; none means that the host has left.
    Read(usize),
    /// So many went.
    Wrote(usize),
}

/// A byte stream with a host at its other end.
#[derive(Debug)]
pub(crate) enum Transport {
    Port(AsyncFd<OwnedFd>),
    Stream(UnixStream),
}

impl Transport {
    /// Reads into `chunk` or writes some of `output`, whichever is possible first.
    pub(crate) async fn exchange(&mut self, chunk: &mut [u8], output: &[u8]) -> io::Result<Moved> {
        let interest = match output {
            [] => Interest::READABLE,
            [_, ..] => Interest::READABLE | Interest::WRITABLE,
        };
        loop {
            match self {
                Self::Stream(stream) => {
                    let ready = stream.ready(interest).await?;
                    if ready.is_readable() {
                        match stream.try_read(chunk) {
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                            read => return read.map(Moved::Read),
                        }
                    }
                    if ready.is_writable() && !output.is_empty() {
                        match stream.try_write(output) {
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                            wrote => return wrote.map(Moved::Wrote),
                        }
                    }
                }
                Self::Port(port) => {
                    if let Some(moved) = exchange_port(port, interest, chunk, output).await? {
                        return Ok(moved);
                    }
                }
            }
        }
    }
}

async fn exchange_port(
    port: &AsyncFd<OwnedFd>,
    interest: Interest,
    chunk: &mut [u8],
    output: &[u8],
) -> io::Result<Option<Moved>> {
    let mut guard = port.ready(interest).await?;
    let ready = guard.ready();
    // The runtime never forgets a hang-up, though the port's host may be back already. Leave, so
    // that the port is registered anew; what the new host sent is still in it.
    if ready.is_read_closed() || ready.is_write_closed() {
        return Ok(Some(Moved::Read(0)));
    }
    if ready.is_readable() {
        match guard.try_io(|port| Ok(rustix::io::read(port, &mut *chunk)?)) {
            Ok(read) => return read.map(Moved::Read).map(Some),
            Err(_would_block) => {}
        }
    }
    if ready.is_writable() && !output.is_empty() {
        match guard.try_io(|port| Ok(rustix::io::write(port, output)?)) {
            Ok(wrote) => return wrote.map(Moved::Wrote).map(Some),
            Err(_would_block) => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write as _;
    use std::time::Instant;

    /// A pipe with a name behaves like the port: hung up while nobody is at its other end.
    #[tokio::test]
    async fn a_host_that_comes_back_is_noticed_at_once_and_not_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("port");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        let port = rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        let host = || File::options().write(true).open(&path).unwrap();
        drop(host());
        assert!(is_hung_up(&port).unwrap());
        let mut door = OpenDoor::Port(Some(port));
        {
            let mut waiting = std::pin::pin!(door.wait());
            let early = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
            assert!(early.is_err(), "nobody is there");
            let came = Instant::now();
            // Unlike the port, a pipe can never be written to from here: its change is the first byte.
            let mut host = host();
            host.write_all(b"x").unwrap();
            waiting.await.unwrap().unwrap();
            assert!(came.elapsed() < LOOK_ANYWAY / 2, "{:?}", came.elapsed());
        }
    }
}
