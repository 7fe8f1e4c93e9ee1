//! The server's end of the door.

use std::io;
use std::path::Path;

use machine_core::Digest;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::{Answer, Failure, MemoryError, Request, SavedPages};
use crate::boot_plan::Memory;
use crate::process::Vmm;

impl Vmm {
    /// Writes the pages in which the guest's memory differs from its backing to a new file, synced. The machine must
    /// be paused. On failure no file is left.
    ///
    /// # Errors
    /// If they cannot be read or written.
    pub async fn save_pages(&self, memory: &Memory, to: &Path) -> Result<SavedPages, MemoryError> {
        let request = Request::Save { memory: memory.clone(), to: to.to_owned() };
        match self.ask_memory(&request, to).await? {
            Answer::Saved(saved) => Ok(saved),
            other => Err(nonsense(&other)),
        }
    }

    /// Lays saved pages over the memory of a VMM that has not run. After a failure it must not.
    ///
    /// # Errors
    /// If they cannot be read or laid, or are not those of this digest.
    pub async fn lay_pages(&self, memory: &Memory, from: &Path, digest: &Digest) -> Result<(), MemoryError> {
        let request = Request::Lay { memory: memory.clone(), from: from.to_owned(), digest: digest.clone() };
        match self.ask_memory(&request, from).await? {
            Answer::Laid => Ok(()),
            other => Err(nonsense(&other)),
        }
    }

    async fn ask_memory(&self, request: &Request, file: &Path) -> Result<Answer, MemoryError> {
        let socket = self.run().memory_socket();
        let answer = ask(&socket, request).await.map_err(|source| MemoryError::Unreachable { socket, source })?;
        match answer {
            Answer::Failed(Failure::DiskFull) => Err(MemoryError::DiskFull { file: file.to_owned() }),
            Answer::Failed(Failure::Damaged(what)) => Err(MemoryError::Damaged { file: file.to_owned(), what }),
            Answer::Failed(Failure::Host(what)) => Err(MemoryError::Host(what)),
            done @ (Answer::Saved(_) | Answer::Laid) => Ok(done),
        }
    }
}

/// No deadline: it ends when the work does, or with the supervisor.
async fn ask(socket: &Path, request: &Request) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket).await?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = String::new();
    if BufReader::new(stream).read_line(&mut answer).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&answer)?)
}

fn nonsense(answer: &Answer) -> MemoryError {
    MemoryError::Host(format!("its supervisor's answer makes no sense: {answer:?}"))
}
