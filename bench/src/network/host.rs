//! The host's ends, on its loopback: one port for each kind of load.

use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

/// How long a source pours.
const POUR: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(120);

/// Ports that are served until this is dropped with the runtime's tasks.
pub(crate) struct Hosts {
    /// Takes all, and answers the end with one byte.
    pub(super) sink: u16,
    /// Gives as much as is taken, for a while.
    pub(super) source: u16,
    /// Gives back what it gets.
    pub(super) echo: u16,
    /// Accepts, and waits for the end.
    pub(super) door: u16,
    /// Accepts, and hands over to `take_held`.
    pub(super) hold: u16,
    held: Mutex<mpsc::UnboundedReceiver<TcpStream>>,
}

impl Hosts {
    pub(crate) async fn open() -> anyhow::Result<Self> {
        let (door, held) = mpsc::unbounded_channel();
        Ok(Self {
            sink: serve(sink).await?,
            source: serve(source).await?,
            echo: serve(echo).await?,
            door: serve(wait).await?,
            hold: serve(move |stream| {
                let door = door.clone();
                async move { door.send(stream).context("nobody takes them") }
            })
            .await?,
            held: Mutex::new(held),
        })
    }

    /// All of them, for rules that let the guest reach them.
    pub(super) fn ports(&self) -> [u16; 5] {
        [self.sink, self.source, self.echo, self.door, self.hold]
    }

    /// So many connections, as soon as they have come.
    pub(super) async fn take_held(&self, count: usize) -> anyhow::Result<Vec<TcpStream>> {
        let mut held = self.held.lock().await;
        let mut taken = Vec::with_capacity(count);
        let deadline = Instant::now() + PATIENCE;
        while taken.len() < count {
            let next = tokio::time::timeout_at(deadline, held.recv()).await;
            taken.extend(next.with_context(|| format!("only {} connections came", taken.len()))?);
        }
        Ok(taken)
    }
}

async fn serve<F, Served>(what: F) -> anyhow::Result<u16>
where
    F: Fn(TcpStream) -> Served + Send + Sync + 'static,
    Served: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    // A burst of connects is not what is measured: more room than the 128 of the standard.
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener: TcpListener = socket.listen(4096)?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            // A guest that goes away in the middle is told by what it was to print.
            tokio::spawn(what(stream));
        }
    });
    Ok(port)
}

async fn sink(mut stream: TcpStream) -> anyhow::Result<()> {
    let mut bytes = vec![0; 1 << 20];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(stream.write_all(b".").await?)
}

async fn source(mut stream: TcpStream) -> anyhow::Result<()> {
    let (bytes, end) = (vec![b'x'; 1 << 20], Instant::now() + POUR);
    while Instant::now() < end {
        stream.write_all(&bytes).await?;
    }
    Ok(())
}

async fn echo(mut stream: TcpStream) -> anyhow::Result<()> {
    let mut bytes = [0; 4096];
    while let count @ 1.. = stream.read(&mut bytes).await? {
        stream.write_all(&bytes[..count]).await?;
    }
    Ok(())
}

async fn wait(mut stream: TcpStream) -> anyhow::Result<()> {
    while stream.read(&mut [0; 16]).await? > 0 {}
    Ok(())
}
