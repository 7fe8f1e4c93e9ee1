//! Carries connections for a guest's own loopback between the host's sockets and the guest's agent.
//!
//! ```text
//! host's socket ──read──▶ agent ──▶ guest's 127.0.0.1       each way ends by itself;
//!               ◀─write──       ◀──                         an error ends both at once
//! ```
//! Nothing is buffered but one piece each way: who is slow makes the other wait.

use std::io;
use std::net::TcpStream as PlainStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram as PlainDatagrams;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use machine_core::network::Transport;
use machine_core::promise::guest::{ConnectionInput, Guest, GuestConnection, GuestError};
use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UnixDatagram};

/// Bytes at a time; no datagram is larger.
const PIECE: usize = 64 << 10;

/// Why a connection was not carried to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The guest's side.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The host's side.
    #[error(transparent)]
    Host(#[from] io::Error),
}

/// Carries one connection to its end.
pub(super) async fn carry(
    guest: Arc<dyn Guest>,
    port: u16,
    transport: Transport,
    socket: OwnedFd,
) -> Result<(), Broken> {
    match transport {
        Transport::Tcp => carry_stream(guest.as_ref(), port, PlainStream::from(socket)).await,
        // Not quite what it is: a socket of packets, too, which tells its end by an empty one.
        Transport::Udp => carry_datagrams(guest.as_ref(), port, PlainDatagrams::from(socket)).await,
    }
}

/// A stream that breaks is reset, as the guest itself would have done it.
async fn carry_stream(guest: &dyn Guest, port: u16, socket: PlainStream) -> Result<(), Broken> {
    socket.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(socket)?;
    let carried = async {
        let mut connection = guest.connect(port, Transport::Tcp).await?;
        let input = connection.input();
        let (from_host, to_host) = stream.split();
        tokio::try_join!(upwards(from_host, input.as_ref()), downwards(connection.as_mut(), to_host))?;
        Ok(())
    };
    let carried = carried.await;
    if carried.is_err() {
        set_socket_linger(&stream, Some(Duration::ZERO)).map_err(io::Error::from)?;
    }
    carried
}

async fn upwards(mut from: ReadHalf<'_>, to: &dyn ConnectionInput) -> Result<(), Broken> {
    let mut piece = BytesMut::with_capacity(PIECE);
    loop {
        piece.reserve(PIECE);
        if from.read_buf(&mut piece).await? == 0 {
            return Ok(to.close().await?);
        }
        to.write(piece.split().freeze()).await?;
    }
}

async fn downwards(from: &mut dyn GuestConnection, mut to: WriteHalf<'_>) -> Result<(), Broken> {
    while let Some(bytes) = from.next().await? {
        to.write_all(&bytes).await?;
    }
    Ok(to.shutdown().await?)
}

/// Ends when the gateway has seen nothing of it for a while, and closes its end.
async fn carry_datagrams(guest: &dyn Guest, port: u16, socket: PlainDatagrams) -> Result<(), Broken> {
    socket.set_nonblocking(true)?;
    let socket = UnixDatagram::from_std(socket)?;
    let mut connection = guest.connect(port, Transport::Udp).await?;
    let input = connection.input();
    let there = async {
        let mut datagram = vec![0; PIECE];
        loop {
            match socket.recv(&mut datagram).await? {
                0 => return Ok::<(), Broken>(()),
                length => input.write(Bytes::copy_from_slice(&datagram[..length])).await?,
            }
        }
    };
    let back = async {
        while let Some(datagram) = connection.next().await? {
            // An empty one would be taken for the end.
            if !datagram.is_empty() {
                socket.send(&datagram).await?;
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = there => ended,
        ended = back => ended,
    }
}

#[cfg(test)]
mod tests;
