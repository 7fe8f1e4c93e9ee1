//! A connection to a TCP service.

use super::{LOOPBACKS, Over, refused};
use crate::failure::failed;
use crate::line::{Inbound, Line, Teller};
use crate::scratch;
use machine_agent_protocol::{Channel, Connected, Failed, FailureCode};
use rustix::io::Errno;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// A service that takes no connections for so long hangs: its backlog is full.
const PATIENCE: Duration = Duration::from_secs(10);

type Inbox = mpsc::UnboundedReceiver<Inbound>;

pub(super) async fn serve(port: u16, line: Line) -> Result<(), Over> {
    let Line { teller, inbox } = line;
    let mut stream = dial(port).await?;
    // What the host sends in pieces shall not wait for more. A kernel that refuses is only slower.
    stream.set_nodelay(true).unwrap_or_default();
    teller.answer(Connected {}).await;
    let over = carry(&mut stream, &teller, inbox).await;
    if let Err(Over::HostLeft) = over {
        // Half of what was meant must not look like all of it. A service that is gone sees nothing.
        stream.set_zero_linger().unwrap_or_default();
    }
    over
}

async fn dial(port: u16) -> Result<TcpStream, Failed> {
    for ip in LOOPBACKS {
        let address = SocketAddr::new(ip, port);
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) if is_connected_to_itself(&stream) => {}
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) if says_nobody(&error) => {}
            Ok(Err(error)) => return Err(failed(format_args!("cannot connect to {address}"), &error)),
            Err(_) => {
                let message = format!("{address} takes no connection within {} s", PATIENCE.as_secs());
                return Err(Failed { code: FailureCode::Io, message });
            }
        }
    }
    Err(refused(port))
}

/// The kernel may choose the very port that nobody listens at as our own, and connects us with ourselves.
fn is_connected_to_itself(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(ours), Ok(theirs)) if ours == theirs)
}

/// Nobody listens, or the kernel has no such loopback.
fn says_nobody(error: &io::Error) -> bool {
    let nobody = [Errno::CONNREFUSED, Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT, Errno::NETUNREACH];
    Errno::from_io_error(error).is_some_and(|errno| nobody.contains(&errno))
}

/// Both ways in one task; neither waits for the other.
async fn carry(stream: &mut TcpStream, teller: &Teller, inbox: Inbox) -> Result<(), Over> {
    let (reader, writer) = stream.split();
    let (ended, service_ended) = oneshot::channel();
    let up = async {
        up(reader, teller).await?;
        // Who waits for it may be over already.
        ended.send(()).ok();
        Ok(())
    };
    tokio::try_join!(up, down(writer, teller, inbox, service_ended)).map(|_| ())
}

async fn up(reader: ReadHalf<'_>, teller: &Teller) -> Result<(), Over> {
    loop {
        let broke = |error| failed("the service broke off", &error);
        reader.readable().await.map_err(broke)?;
        match scratch::read(|scratch| reader.try_read(scratch)) {
            Ok(chunk) if chunk.is_empty() => {
                teller.end(Channel::Content).await;
                return Ok(());
            }
            Ok(chunk) => teller.data(Channel::Content, chunk).await?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(broke(error).into()),
        }
    }
}

async fn down(
    mut writer: WriteHalf<'_>,
    teller: &Teller,
    mut inbox: Inbox,
    service_ended: oneshot::Receiver<()>,
) -> Result<(), Over> {
    let mut taken = true;
    loop {
        match inbox.recv().await.ok_or(Over::HostLeft)? {
            Inbound::Data(chunk) => {
                // A service that takes no more may still have something to say; how it ended is then read.
                taken = taken && writer.write_all(&chunk).await.is_ok();
                teller.consumed(chunk.len()).await;
            }
            Inbound::End => break,
            Inbound::Control(_) => {}
        }
    }
    // One that is gone needs no end.
    writer.shutdown().await.unwrap_or_default();
    tokio::select! {
        _ = service_ended => Ok(()),
        () = left(&mut inbox) => Err(Over::HostLeft),
    }
}

/// After its end a host can only leave.
async fn left(inbox: &mut Inbox) {
    while inbox.recv().await.is_some() {}
}
