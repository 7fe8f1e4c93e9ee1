//! Relayed connections, with this host's own loopback as the guest's.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use machine_core::promise::awakening::{Awakening, Settled, Vitals, Woken};
use machine_core::promise::guest::{
    ExecRequest, FileInfo, FileSink, FileSource, GuestFiles, GuestProcess, WriteOptions,
};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use tokio::net::TcpListener as Listener;
use tokio::sync::Mutex;

use super::*;

/// A guest whose loopback is ours; pieces that were fetched from it are counted.
#[derive(Default)]
struct Ours {
    fetched: Arc<AtomicUsize>,
}

struct Stream(tokio::net::tcp::OwnedReadHalf, Arc<StreamInput>, Arc<AtomicUsize>);
struct StreamInput(Mutex<Option<tokio::net::tcp::OwnedWriteHalf>>);
#[derive(Clone)]
struct Datagrams(Arc<tokio::net::UdpSocket>);

fn failed(error: io::Error) -> GuestError {
    GuestError::Failed(error.to_string())
}

#[async_trait]
impl Guest for Ours {
    async fn connect(&self, port: u16, transport: Transport) -> Result<Box<dyn GuestConnection>, GuestError> {
        match transport {
            Transport::Tcp => {
                let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|_| GuestError::Refused(port))?;
                let (from, to) = stream.into_split();
                let input = Arc::new(StreamInput(Mutex::new(Some(to))));
                Ok(Box::new(Stream(from, input, self.fetched.clone())))
            }
            Transport::Udp => {
                let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.map_err(failed)?;
                socket.connect(("127.0.0.1", port)).await.map_err(failed)?;
                Ok(Box::new(Datagrams(Arc::new(socket))))
            }
        }
    }
    async fn wake_as(&self, _awakening: &Awakening) -> Result<Woken, GuestError> {
        only_connects()
    }
    async fn set_clock(&self, _now: jiff::Timestamp) -> Result<(), GuestError> {
        only_connects()
    }
    async fn settle(&self, _authorities: &[String]) -> Result<Settled, GuestError> {
        only_connects()
    }
    async fn exec(&self, _request: ExecRequest) -> Result<Box<dyn GuestProcess>, GuestError> {
        only_connects()
    }
    fn files(&self) -> Arc<dyn GuestFiles> {
        Arc::new(Self::default())
    }
    async fn measure(&self) -> Result<Vitals, GuestError> {
        only_connects()
    }
    async fn power_off(&self, _grace: Duration) -> Result<(), GuestError> {
        only_connects()
    }
    fn is_lost(&self) -> bool {
        false
    }
}

fn only_connects<T>() -> Result<T, GuestError> {
    Err(GuestError::Unsupported("it only connects".to_owned()))
}

#[async_trait]
impl GuestFiles for Ours {
    async fn read(&self, _: &str, _: Option<&str>) -> Result<(FileInfo, Box<dyn FileSource>), GuestError> {
        only_connects()
    }
    async fn write(&self, _: &str, _: WriteOptions) -> Result<Box<dyn FileSink>, GuestError> {
        only_connects()
    }
    async fn list(&self, _: &str, _: u32) -> Result<Vec<FileInfo>, GuestError> {
        only_connects()
    }
    async fn stat(&self, _: &str) -> Result<FileInfo, GuestError> {
        only_connects()
    }
    async fn remove(&self, _: &str) -> Result<(), GuestError> {
        only_connects()
    }
    async fn make_folder(&self, _: &str) -> Result<(), GuestError> {
        only_connects()
    }
}

#[async_trait]
impl GuestConnection for Stream {
    async fn next(&mut self) -> Result<Option<Bytes>, GuestError> {
        let mut piece = vec![0; PIECE];
        let length = self.0.read(&mut piece).await.map_err(failed)?;
        piece.truncate(length);
        self.2.fetch_add(1, Ordering::SeqCst);
        Ok((length > 0).then(|| piece.into()))
    }
    fn input(&self) -> Arc<dyn ConnectionInput> {
        self.1.clone()
    }
}

#[async_trait]
impl ConnectionInput for StreamInput {
    async fn write(&self, bytes: Bytes) -> Result<(), GuestError> {
        self.0.lock().await.as_mut().unwrap().write_all(&bytes).await.map_err(failed)
    }
    async fn close(&self) -> Result<(), GuestError> {
        drop(self.0.lock().await.take());
        Ok(())
    }
}

#[async_trait]
impl GuestConnection for Datagrams {
    async fn next(&mut self) -> Result<Option<Bytes>, GuestError> {
        let mut piece = vec![0; PIECE];
        let length = self.0.recv(&mut piece).await.map_err(failed)?;
        piece.truncate(length);
        Ok(Some(piece.into()))
    }
    fn input(&self) -> Arc<dyn ConnectionInput> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl ConnectionInput for Datagrams {
    async fn write(&self, bytes: Bytes) -> Result<(), GuestError> {
        self.0.send(&bytes).await.map(drop).map_err(failed)
    }
    async fn close(&self) -> Result<(), GuestError> {
        Ok(())
    }
}

/// A client of the host, and the connection of it that the gateway accepted.
async fn accepted() -> (TcpStream, OwnedFd) {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(door.local_addr().unwrap()).await.unwrap();
    (client, door.accept().unwrap().0.into())
}

#[tokio::test]
async fn a_stream_goes_both_ways_and_each_ends_by_itself() {
    let service = Listener::bind("127.0.0.1:0").await.unwrap();
    let port = service.local_addr().unwrap().port();
    let (mut client, socket) = accepted().await;
    let carried = tokio::spawn(carry(Arc::new(Ours::default()), port, Transport::Tcp, socket));
    let (mut served, _) = service.accept().await.unwrap();
    let served = tokio::spawn(async move {
        served.write_all(b"welcome").await.unwrap();
        let mut all = Vec::new();
        served.read_to_end(&mut all).await.unwrap();
        // Its client has ended its side, and still hears.
        served.write_all(&all).await.unwrap();
    });
    let question: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    client.write_all(&question).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"welcome") && answer[7..] == question[..]);
    served.await.unwrap();
    carried.await.unwrap().unwrap();
}

#[tokio::test]
async fn where_nobody_listens_the_client_is_reset() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (mut client, socket) = accepted().await;
    let refused = carry(Arc::new(Ours::default()), port, Transport::Tcp, socket).await;
    assert!(matches!(refused, Err(Broken::Guest(GuestError::Refused(refused))) if refused == port));
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_client_that_does_not_read_makes_the_service_wait() {
    let service = Listener::bind("127.0.0.1:0").await.unwrap();
    let port = service.local_addr().unwrap().port();
    let (client, socket) = accepted().await;
    let guest = Ours::default();
    let fetched = guest.fetched.clone();
    let carried = tokio::spawn(carry(Arc::new(guest), port, Transport::Tcp, socket));
    let (mut served, _) = service.accept().await.unwrap();
    let served = tokio::spawn(async move { while served.write_all(&[7; PIECE]).await.is_ok() {} });
    let mut before = 0;
    // What the sockets themselves hold is some megabytes; then nothing moves any more.
    for _still in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = fetched.load(Ordering::SeqCst);
        if now == before && now > 0 {
            break;
        }
        before = now;
    }
    assert!(fetched.load(Ordering::SeqCst) < 4096, "256 MiB went somewhere");
    drop(client);
    assert!(carried.await.unwrap().is_err());
    served.await.unwrap();
}

#[tokio::test]
async fn datagrams_stay_whole() {
    let service = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = service.local_addr().unwrap().port();
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let carried = tokio::spawn(carry(Arc::new(Ours::default()), port, Transport::Udp, theirs));
    let exchanged = tokio::task::spawn_blocking(move || {
        for datagram in [b"one".to_vec(), b"two".to_vec(), vec![3; 60_000]] {
            send(&ours, &datagram, SendFlags::empty()).unwrap();
            let mut came = vec![0; PIECE];
            let (length, from) = service.recv_from(&mut came).unwrap();
            assert_eq!(came[..length], datagram);
            service.send_to(&came[..length], from).unwrap();
            let (length, _) = recv(&ours, &mut came, RecvFlags::empty()).unwrap();
            assert_eq!(came[..length], datagram);
        }
    });
    exchanged.await.unwrap();
    carried.await.unwrap().unwrap();
}
