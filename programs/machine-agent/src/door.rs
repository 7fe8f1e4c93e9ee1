//! Where hosts come in: a virtio-serial port, or a unix socket. Moves bytes; reads none.
//!
//! ```text
//! port:  gone ──the bell──▶ called ──bytes──▶ heard ──nothing to read, and no end──▶ there ──end──▶ gone
//!          ▲                  │ end             │ end, for as long as GREETED
//!          └──────────────────┴─────────────────┘
//! ```
//! The kernel tells of a host through another queue than its bytes, and later: a greeting may be read at a port that
//! still reports its end. So the end counts only when it lasts.
//!
//! A host is waited for and not looked for: a guest that was restored answers at once, and one without a host
//! sleeps.

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{UnixListener, UnixStream};

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Should the kernel ever not ring.
const LOOK_ANYWAY: Duration = Duration::from_secs(2);
/// How long a host whose bytes came may be missing before it counts as one that left.
const GREETED: Duration = Duration::from_secs(1);

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
                Ok(OpenDoor::Port(Some(self::Port::at(port)?)))
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
    Port(Option<Port>),
    Connect(PathBuf),
    Listen(UnixListener),
}

impl OpenDoor {
    /// Waits for a host; `None` if there can be no other.
    pub(crate) async fn wait(&mut self) -> io::Result<Option<Transport>> {
        match self {
            Self::Port(place) => {
                let Some(mut port) = place.take() else { return Ok(None) };
                port.until_host().await?;
                Ok(Some(Transport::Port(port)))
            }
            Self::Connect(path) => connect(path).await.map(Some),
            Self::Listen(listener) => Ok(Some(Transport::Stream(listener.accept().await?.0))),
        }
    }

    /// Gets the port back when its host has left.
    pub(crate) fn closed(&mut self, transport: Transport) {
        match (self, transport) {
            (Self::Port(place), Transport::Port(port)) => *place = Some(port),
            (Self::Port(_) | Self::Connect(_) | Self::Listen(_), _) => {}
        }
    }
}

/// A port, with a bell that rings when something changes at it. The kernel reports a hang-up for as long as no host is
/// there, so the runtime, which never forgets one, cannot wait for its end, and the port would have to be registered
/// anew for every host: a sixth of what a restored guest does until it answers. A change alone can be had by asking
/// for edges. What is possible without waiting is therefore noted here.
#[derive(Debug)]
pub(crate) struct Port {
    port: OwnedFd,
    bell: AsyncFd<OwnedFd>,
    host: Host,
    /// Perhaps there is something to read.
    readable: bool,
    /// Perhaps something can be written.
    writable: bool,
}

/// Whether somebody was there when we looked last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    Gone,
    /// The bell rang.
    Called,
    /// Its bytes came; the end was reported from then on.
    Heard(Option<Instant>),
    There,
}

impl Host {
    /// How long an end that is reported now may still be one that is out of date; none if the host has left.
    fn doubt(self, now: Instant) -> Option<(Self, Duration)> {
        match self {
            Self::Gone | Self::Called | Self::There => None,
            Self::Heard(since) => {
                let since = since.unwrap_or(now);
                let left = GREETED.checked_sub(now.saturating_duration_since(since)).filter(|left| !left.is_zero())?;
                Some((Self::Heard(Some(since)), left))
            }
        }
    }
}

impl Port {
    fn at(port: OwnedFd) -> io::Result<Self> {
        let bell = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let edges = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&bell, &port, epoll::EventData::new_u64(0), edges)?;
        let host = if is_hung_up(&port)? { Host::Gone } else { Host::There };
        Ok(Self { port, bell: crate::sys::watch(bell)?, host, readable: true, writable: true })
    }

    /// Whether there really is one, the first read tells.
    async fn until_host(&mut self) -> io::Result<()> {
        match self.host {
            Host::There | Host::Called | Host::Heard(_) => Ok(()),
            Host::Gone => {
                self.host = Host::Called;
                // Whoever comes is to be looked for even if the bell is broken.
                (self.readable, self.writable) = (true, true);
                tokio::time::timeout(LOOK_ANYWAY, self.ring()).await.unwrap_or(Ok(()))
            }
        }
    }

    fn heard(&mut self) {
        match self.host {
            Host::There => {}
            Host::Gone | Host::Called | Host::Heard(_) => self.host = Host::Heard(None),
        }
    }

    async fn ring(&mut self) -> io::Result<()> {
        // Forgotten before anybody looks: a change in between rings again.
        self.bell.readable().await?.clear_ready();
        (self.readable, self.writable) = (true, true);
        Ok(())
    }

    async fn exchange(&mut self, chunk: &mut [u8], output: &[u8]) -> io::Result<Moved> {
        // A host that never pauses must not keep the other tasks waiting.
        tokio::task::coop::consume_budget().await;
        loop {
            if self.readable {
                match rustix::io::read(&self.port, &mut *chunk) {
                    Err(Errno::AGAIN) => (self.readable, self.host) = (false, Host::There),
                    Ok(0) => match self.host.doubt(Instant::now()) {
                        None => {
                            self.host = Host::Gone;
                            return Ok(Moved::Read(0));
                        }
                        Some((host, left)) => {
                            self.host = host;
                            tokio::time::timeout(left, self.ring()).await.unwrap_or(Ok(()))?;
                            continue;
                        }
                    },
                    read => {
                        self.heard();
                        return Ok(Moved::Read(read?));
                    }
                }
            }
            if self.writable && !output.is_empty() {
                match rustix::io::write(&self.port, output) {
                    Err(Errno::AGAIN) => self.writable = false,
                    wrote => return Ok(Moved::Wrote(wrote?)),
                }
            }
            self.ring().await?;
        }
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
    Port(Port),
    Stream(UnixStream),
}

impl Transport {
    /// Reads into `chunk` or writes some of `output`, whichever is possible first.
    pub(crate) async fn exchange(&mut self, chunk: &mut [u8], output: &[u8]) -> io::Result<Moved> {
        match self {
            Self::Port(port) => port.exchange(chunk, output).await,
            Self::Stream(stream) => exchange_stream(stream, chunk, output).await,
        }
    }
}

async fn exchange_stream(stream: &UnixStream, chunk: &mut [u8], output: &[u8]) -> io::Result<Moved> {
    let interest = match output {
        [] => Interest::READABLE,
        [_, ..] => Interest::READABLE | Interest::WRITABLE,
    };
    loop {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write as _;

    /// A pipe with a name behaves like the port: hung up while nobody is at its other end.
    fn pipe() -> (tempfile::TempDir, PathBuf, OpenDoor) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("port");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        let port = rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        drop(host(&path));
        assert!(is_hung_up(&port).unwrap());
        (folder, path, OpenDoor::Port(Some(Port::at(port).unwrap())))
    }

    fn host(path: &Path) -> File {
        File::options().write(true).open(path).unwrap()
    }

    /// What the next host says first; like the desk, who has left is passed by.
    async fn next(door: &mut OpenDoor) -> Vec<u8> {
        let mut chunk = [0; 16];
        loop {
            let mut transport = door.wait().await.unwrap().unwrap();
            let moved = transport.exchange(&mut chunk, &[]).await.unwrap();
            door.closed(transport);
            match moved {
                Moved::Read(0) => {}
                Moved::Read(count) => return chunk[..count].to_vec(),
                Moved::Wrote(_) => panic!("there was nothing to write"),
            }
        }
    }

    #[tokio::test]
    async fn a_host_that_comes_back_is_noticed_at_once_and_not_looked_for() {
        let (_folder, path, mut door) = pipe();
        for round in 0..3 {
            let mut next = std::pin::pin!(next(&mut door));
            let early = tokio::time::timeout(Duration::from_millis(100), &mut next).await;
            assert!(early.is_err(), "nobody is there in round {round}");
            let came = Instant::now();
            // Unlike the port, a pipe can never be written to from here: its change is the first byte.
            host(&path).write_all(b"x").unwrap();
            assert_eq!(next.await, b"x");
            assert!(came.elapsed() < LOOK_ANYWAY / 2, "{:?}", came.elapsed());
        }
    }

    #[tokio::test]
    async fn an_end_that_is_reported_after_a_greeting_counts_only_when_it_lasts() {
        let (_folder, path, mut door) = pipe();
        let mut first = host(&path);
        first.write_all(b"a").unwrap();
        let mut transport = door.wait().await.unwrap().unwrap();
        let mut chunk = [0; 16];
        assert_eq!(transport.exchange(&mut chunk, &[]).await.unwrap(), Moved::Read(1));
        // As when the kernel has not said yet that a host is there.
        drop(first);
        let asked = tokio::time::timeout(GREETED / 10, transport.exchange(&mut chunk, &[])).await;
        assert!(asked.is_err(), "the host may yet be there");
        let mut again = host(&path);
        again.write_all(b"b").unwrap();
        assert_eq!(transport.exchange(&mut chunk, &[]).await.unwrap(), Moved::Read(1));
        // Now it is seen that one is there.
        let asked = tokio::time::timeout(Duration::ZERO, transport.exchange(&mut chunk, &[])).await;
        assert!(asked.is_err());
        drop(again);
        let left = Instant::now();
        assert_eq!(transport.exchange(&mut chunk, &[]).await.unwrap(), Moved::Read(0));
        assert!(left.elapsed() < GREETED, "{:?}", left.elapsed());
    }

    #[tokio::test]
    async fn a_host_that_greets_and_leaves_has_left() {
        let (_folder, path, mut door) = pipe();
        host(&path).write_all(b"a").unwrap();
        let mut transport = door.wait().await.unwrap().unwrap();
        let mut chunk = [0; 16];
        assert_eq!(transport.exchange(&mut chunk, &[]).await.unwrap(), Moved::Read(1));
        let left = Instant::now();
        assert_eq!(transport.exchange(&mut chunk, &[]).await.unwrap(), Moved::Read(0));
        assert!(left.elapsed() < LOOK_ANYWAY, "{:?}", left.elapsed());
    }

    #[tokio::test]
    async fn every_byte_is_heard_however_the_waiting_is_broken_off() {
        let (_folder, path, mut door) = pipe();
        let mut host = host(&path);
        host.write_all(b"0").unwrap();
        let mut transport = door.wait().await.unwrap().unwrap();
        let mut chunk = [0; 16];
        for number in 0..100_u8 {
            assert_eq!(transport.exchange(&mut chunk, &[]).await.unwrap(), Moved::Read(1));
            assert_eq!(chunk[0], if number == 0 { b'0' } else { number });
            // Asked and not waited for, as whoever has something else to do does.
            let asked = tokio::time::timeout(Duration::ZERO, transport.exchange(&mut chunk, &[])).await;
            assert!(asked.is_err());
            host.write_all(&[number + 1]).unwrap();
        }
    }
}
