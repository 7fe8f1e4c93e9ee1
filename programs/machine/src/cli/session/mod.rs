//! A command in a guest with our streams: its output comes to ours, our input and signals go to it.
//!
//! ```text
//! stdin thread ──▶ input task ──credit──▶ ┐        ┌ ──▶ show ──▶ outlet thread ──▶ stdout, stderr
//! signals, window ──▶ relay ────────────▶ ┴ server ┘          (waits while they are not read)
//! ```
//!
//! Whichever of show and relay ends first ends the session; an attached command is then hung up.
//! Blocking reads and writes have threads of their own, so that nothing here waits for them.

mod outlet;
mod relay;
mod signals;
mod stdin;
mod terminal;

use machine_sdk::api::attach::{AttachStart, CommandEnd, Tty};
use machine_sdk::{AttachEvent, AttachOutput, AttachStream, Client};

use super::exit::{BROKEN_PIPE, Failure, TIMED_OUT};
use super::voice::Voice;
use outlet::{Closed, Outlet, Stream};
pub(crate) use signals::{Caught, Signals};
use terminal::size;
pub(crate) use terminal::{RawMode, size as terminal_size, stdin_is_terminal, stdout_is_terminal};

/// Whether our standard input is the command's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdin {
    /// It is forwarded.
    Forwarded,
    /// The command has none.
    Absent,
}

/// What is run, and with which of our streams.
#[derive(Debug)]
pub(crate) struct Wish {
    /// What is run; its streams are filled in here.
    pub(crate) start: AttachStart,
    /// Whether our standard input is its.
    pub(crate) stdin: Stdin,
    /// The kind of our terminal, if the command gets one.
    pub(crate) terminal: Option<Option<String>>,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Command(CommandEnd),
    /// We went away before it did, with this exit code.
    HungUp(u8),
}

/// Runs a command with our streams and gives the exit code.
pub(crate) async fn attached(
    client: &Client,
    machine: &str,
    wish: Wish,
    signals: &mut Signals,
    voice: &Voice,
) -> Result<u8, Failure> {
    let Wish { mut start, stdin, terminal } = wish;
    let with_terminal = terminal.is_some();
    start.stdin = stdin == Stdin::Forwarded;
    start.tty = terminal.map(tty);
    let stream = tokio::select! {
        stream = client.attach(machine, start) => stream?,
        caught = signals.next() => return Ok(caught.exit()),
    };
    let raw = if with_terminal { Some(RawMode::enter()?) } else { None };
    let ending = converse(stream, stdin, with_terminal, signals).await;
    drop(raw);
    match ending? {
        Ending::Command(end) => Ok(exit_code(end, voice)),
        Ending::HungUp(code) => {
            if code != BROKEN_PIPE {
                voice.say("the command was hung up");
            }
            Ok(code)
        }
    }
}

fn tty(term: Option<String>) -> Tty {
    let (cols, rows) = size().unwrap_or((80, 24));
    Tty { cols, rows, term }
}

async fn converse(
    stream: AttachStream,
    stdin: Stdin,
    with_terminal: bool,
    signals: &mut Signals,
) -> Result<Ending, Failure> {
    let (mut output, input) = stream.split();
    let outlet = Outlet::open();
    if stdin == Stdin::Forwarded {
        stdin::forward(input.clone());
    }
    let told = tokio::select! {
        told = show(&mut output, &outlet) => told,
        code = relay::relay(signals, &input, with_terminal) => return Ok(Ending::HungUp(code)),
        never = relay::follow_window(&input, with_terminal) => match never {},
    };
    // Not before all that it wrote is out, if somebody reads; nobody need wait for that.
    let written = tokio::select! {
        written = outlet.finish() => written,
        caught = signals.next() => return Ok(Ending::HungUp(caught.exit())),
    };
    match (written, told) {
        (Err(Closed::Pipe), _) | (Ok(()), Err(Stop::Closed)) => Ok(Ending::HungUp(BROKEN_PIPE)),
        (Err(Closed::Failed(error)), _) => Err(Failure::file("cannot write the command's output", &error)),
        (Ok(()), Err(Stop::Failed(failure))) => Err(failure),
        (Ok(()), Ok(end)) => Ok(Ending::Command(end)),
    }
}

/// Why the output of a command is no longer shown.
enum Stop {
    /// Ours is closed; the outlet knows why.
    Closed,
    Failed(Failure),
}

async fn show(output: &mut AttachOutput, outlet: &Outlet) -> Result<CommandEnd, Stop> {
    loop {
        let event = tokio::select! {
            event = output.next() => event.map_err(|error| Stop::Failed(error.into()))?,
            // A write that failed is learned of even if the command writes no more.
            () = outlet.closed() => return Err(Stop::Closed),
        };
        let (stream, bytes) = match event {
            Some(AttachEvent::Started { .. }) => continue,
            Some(AttachEvent::Stdout(bytes)) => (Stream::Out, bytes),
            Some(AttachEvent::Stderr(bytes)) => (Stream::Err, bytes),
            Some(AttachEvent::Exited(end)) => return Ok(end),
            None => return Err(Stop::Closed),
        };
        outlet.write(stream, bytes).await.map_err(|()| Stop::Closed)?;
    }
}

/// Starts a command that goes on by itself and gives its process id in the guest.
pub(crate) async fn detached(client: &Client, machine: &str, start: AttachStart) -> Result<u32, Failure> {
    let mut stream = client.attach(machine, AttachStart { detach: true, ..start }).await?;
    let mut pid = None;
    loop {
        match stream.next().await? {
            Some(AttachEvent::Started { pid: started }) => pid = Some(started),
            Some(AttachEvent::Stdout(_) | AttachEvent::Stderr(_)) => {}
            Some(AttachEvent::Exited(_)) | None => break,
        }
    }
    pid.ok_or_else(|| {
        Failure::new(
            machine_sdk::api::Code::ExecFailed,
            format!("cannot start the command in {machine}: no process id came"),
        )
    })
}

fn exit_code(end: CommandEnd, voice: &Voice) -> u8 {
    match end {
        CommandEnd::Code(code) => code.to_le_bytes()[0],
        CommandEnd::Signal(number) => 128_u8.saturating_add(u8::try_from(number).unwrap_or(u8::MAX)),
        CommandEnd::TimedOut => {
            voice.say("the command was ended by its timeout");
            TIMED_OUT
        }
        CommandEnd::Detached => 0,
    }
}
