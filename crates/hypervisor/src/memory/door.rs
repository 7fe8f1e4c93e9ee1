//! The supervisor's door to its VMM's memory: one request at a time, a line of JSON each way, in a thread of its own,
//! so that logs and companions are minded meanwhile. The thread starts no process: those would die with it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use super::{Answer, Failure, Request, lay, save};

/// A request is paths and numbers.
const LONGEST: u64 = 64 << 10;
/// Who connects and says nothing is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Listens at `socket`, for as long as the process lives.
pub(crate) fn open(socket: &Path, vmm: u32) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    let serve = move || {
        for stream in listener.incoming().flatten() {
            // Whoever does not hear the answer asks again.
            let _ = answer(&stream, vmm);
        }
    };
    std::thread::Builder::new().name("memory".to_owned()).spawn(serve).map(drop)
}

fn answer(stream: &UnixStream, vmm: u32) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line)?;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => carry_out(&request, vmm).unwrap_or_else(Answer::Failed),
        Err(error) => Answer::Failed(Failure::Host(format!("not a request: {error}"))),
    };
    let mut text = serde_json::to_string(&answer)?;
    text.push('\n');
    (&*stream).write_all(text.as_bytes())
}

fn carry_out(request: &Request, vmm: u32) -> Result<Answer, Failure> {
    match request {
        Request::Save { memory, to } => save::save(vmm, memory, to).map(Answer::Saved),
        Request::Lay { memory, from, digest } => lay::lay(vmm, memory, from, digest).map(|()| Answer::Laid),
    }
}
