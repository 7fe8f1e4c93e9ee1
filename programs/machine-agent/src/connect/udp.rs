//! Datagrams to a UDP service and back, from a socket of their own, so that answers come to whom they belong.

use super::{Over, refused, udp_table};
use crate::failure::failed;
use crate::line::{Inbound, Line, Teller};
use crate::scratch;
use machine_agent_protocol::datagram::{Unpacker, packed};
use machine_agent_protocol::{Channel, Connected};
use std::io;
use std::net::IpAddr;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

type Inbox = mpsc::UnboundedReceiver<Inbound>;

pub(super) async fn serve(port: u16, line: Line) -> Result<(), Over> {
    let Line { teller, inbox } = line;
    let ip = udp_table::listener(port).ok_or_else(|| refused(port))?;
    let tried = |error| failed(format_args!("cannot reach port {port} of {ip}"), &error);
    let socket = socket(ip, port).await.map_err(tried)?;
    teller.answer(Connected {}).await;
    let over = tokio::select! {
        over = up(&socket, &teller) => over,
        over = down(&socket, &teller, inbox) => over,
    };
    match over {
        Over::HostLeft => Err(over),
        Over::Failed(_) if udp_table::listener(port).is_none() => Err(refused(port).into()),
        Over::Failed(_) => Err(over),
    }
}

async fn socket(ip: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((ip, 0)).await?;
    socket.connect((ip, port)).await?;
    Ok(socket)
}

async fn up(socket: &UdpSocket, teller: &Teller) -> Over {
    loop {
        let datagram = match receive(socket).await {
            Ok(datagram) => datagram,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return failed("the service is gone", &error).into(),
        };
        // No network brings one that is too long.
        let Ok(packed) = packed(&datagram) else { continue };
        if let Err(gone) = teller.data(Channel::Content, packed).await {
            return gone.into();
        }
    }
}

/// The next datagram, or what became of one that was sent: nobody is there any more.
async fn receive(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    let ready = socket.ready(Interest::READABLE | Interest::ERROR).await?;
    if ready.is_error() {
        // Another may have taken the error meanwhile.
        let taken = || socket.take_error()?.map_or_else(|| Err(io::ErrorKind::WouldBlock.into()), Err);
        return socket.try_io(Interest::ERROR, taken);
    }
    scratch::read(|scratch| socket.try_recv(scratch))
}

async fn down(socket: &UdpSocket, teller: &Teller, mut inbox: Inbox) -> Over {
    let mut unpacker = Unpacker::default();
    while let Some(inbound) = inbox.recv().await {
        match inbound {
            Inbound::Data(chunk) => {
                unpacker.push(&chunk);
                while let Some(datagram) = unpacker.next_datagram() {
                    match socket.send(datagram).await {
                        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                            return failed("the service is gone", &error).into();
                        }
                        // One that cannot be sent is lost, as datagrams are.
                        Ok(_) | Err(_) => {}
                    }
                }
                teller.consumed(chunk.len()).await;
            }
            // A service may answer for as long as the host listens.
            Inbound::End | Inbound::Control(_) => {}
        }
    }
    Over::HostLeft
}
