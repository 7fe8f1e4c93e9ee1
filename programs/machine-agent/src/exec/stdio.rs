//! The ends of a command's standard streams: pipes, a terminal, or nothing.
//!
//! Pipes and the nothing of the next command are made while nobody waits, see `restock`.

use machine_agent_protocol::{Channel, Exec, Stdin, Tty};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::io::unix::AsyncFd;

/// One of our ends, without blocking.
pub(crate) type End = Arc<AsyncFd<OwnedFd>>;
/// The master side of a terminal.
pub(crate) type Master = End;

/// Where a command's input goes.
#[derive(Debug)]
pub(crate) enum Input {
    /// Closing it is the end of input.
    Pipe(End),
    /// The end of input is a key.
    Terminal(Master),
}

/// What we keep.
#[derive(Debug)]
pub(crate) struct Ours {
    pub(crate) stdin: Option<Input>,
    pub(crate) outputs: Vec<(Channel, End)>,
    pub(crate) terminal: Option<Master>,
}

/// What the next command will need.
#[derive(Debug, Default)]
struct Stock {
    outputs: Vec<(End, OwnedFd)>,
    null: Option<OwnedFd>,
}

thread_local! {
    static STOCK: RefCell<Stock> = RefCell::new(Stock::default());
}
/// Standard output and error.
const OUTPUTS: usize = 2;

/// Makes what the next command will need, so that it need not wait for it. What cannot be made now is made
/// then, and whoever wants the command hears why it fails.
pub(crate) fn restock() {
    STOCK.with_borrow_mut(|stock| {
        while stock.outputs.len() < OUTPUTS {
            let Ok(output) = new_output() else { break };
            stock.outputs.push(output);
        }
        stock.null = stock.null.take().or_else(|| new_null().ok());
    });
}

/// Makes our ends and the command's three.
pub(crate) fn make(exec: &Exec) -> io::Result<(Ours, [OwnedFd; 3])> {
    if let Some(tty) = &exec.tty {
        return terminal(tty, exec.stdin);
    }
    if exec.detach {
        let ours = Ours { stdin: None, outputs: Vec::new(), terminal: None };
        return Ok((ours, [null()?, null()?, null()?]));
    }
    let (stdin, their_stdin) = match exec.stdin {
        Stdin::Null => (None, null()?),
        Stdin::Open => {
            let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
            (Some(Input::Pipe(end(ours)?)), theirs)
        }
    };
    let (out, their_out) = output()?;
    let (err, their_err) = output()?;
    let outputs = vec![(Channel::Stdout, out), (Channel::Stderr, err)];
    Ok((Ours { stdin, outputs, terminal: None }, [their_stdin, their_out, their_err]))
}

/// A pipe that a command writes to: our end and its own.
pub(crate) fn output() -> io::Result<(End, OwnedFd)> {
    STOCK.with_borrow_mut(|stock| stock.outputs.pop()).map_or_else(new_output, Ok)
}

fn new_output() -> io::Result<(End, OwnedFd)> {
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((end(ours)?, theirs))
}

fn terminal(tty: &Tty, stdin: Stdin) -> io::Result<(Ours, [OwnedFd; 3])> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    let master = end(master)?;
    resize(&master, tty.cols, tty.rows)?;
    let theirs = [slave.try_clone()?, slave.try_clone()?, slave];
    let stdin = match stdin {
        Stdin::Null => None,
        Stdin::Open => Some(Input::Terminal(Arc::clone(&master))),
    };
    let outputs = vec![(Channel::Stdout, Arc::clone(&master))];
    Ok((Ours { stdin, outputs, terminal: Some(master) }, theirs))
}

/// Tells a terminal its size.
pub(crate) fn resize(master: &Master, cols: u16, rows: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(master.get_ref(), size)?)
}

fn end(fd: OwnedFd) -> io::Result<End> {
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(Arc::new(crate::sys::watch(fd)?))
}

/// Reads as empty, takes everything.
pub(crate) fn null() -> io::Result<OwnedFd> {
    STOCK.with_borrow_mut(|stock| stock.null.take()).map_or_else(new_null, Ok)
}

fn new_null() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}
