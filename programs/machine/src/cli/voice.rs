//! How we talk: data to standard output, talk to standard error. Knows terminals, formats and colour;
//! not what is said.

use std::io::{self, IsTerminal as _, Write as _};

use machine_sdk::api::{ErrorBody, MachineInfo};
use serde::Serialize;

use super::arguments::{Arguments, Format, Verb};
use super::exit::{BROKEN_PIPE, Failure};
use super::{Context, paint::Paint};

/// How we talk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Voice {
    /// How answers are written.
    pub(crate) format: Format,
    /// Ids only, and no progress.
    pub(crate) quiet: bool,
    /// Where answers go.
    pub(crate) out: Channel,
    /// Where talk goes.
    pub(crate) err: Channel,
    /// Whether progress may redraw its lines.
    pub(crate) live: bool,
    /// Where an error goes as JSON: not into a command's output.
    error_to_out: bool,
}

/// One of our two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Channel {
    /// Whether a person looks at it.
    pub(crate) terminal: bool,
    /// Whether it may be coloured.
    pub(crate) paint: Paint,
}

impl Voice {
    /// The voice that was asked for, in these surroundings.
    pub(crate) fn new(arguments: &Arguments, context: &Context) -> Self {
        let color = context.color && !arguments.no_color;
        let dumb = context.term.as_deref() == Some("dumb");
        let channel = |terminal: bool| Channel { terminal, paint: Paint::when(color && terminal && !dumb) };
        let err = channel(io::stderr().is_terminal());
        Self {
            format: if arguments.json { Format::Json } else { arguments.output },
            quiet: arguments.quiet,
            out: channel(io::stdout().is_terminal()),
            err,
            live: err.terminal && !context.ci && !dumb,
            error_to_out: !arguments.verb.as_ref().is_some_and(Verb::passes_output_through),
        }
    }

    /// Whether programs are answered.
    pub(crate) const fn json(&self) -> bool {
        matches!(self.format, Format::Json)
    }

    /// Whether only ids or names are asked for.
    pub(crate) const fn bare(&self) -> bool {
        self.quiet || matches!(self.format, Format::Name)
    }

    /// Says something to a person.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            // Nobody is left to be told that standard error is gone.
            let _ = writeln!(io::stderr(), "machine: {text}");
        }
    }

    /// Says what went wrong, to a person or with `--json` to a program.
    pub(crate) fn fail(&self, failure: &Failure) {
        let Failure::Told { detail, .. } = failure else { return };
        if self.json() {
            let body = ErrorBody { error: (**detail).clone() };
            let text = serde_json::to_string(&body).unwrap_or_default();
            let _ = if self.error_to_out { writeln!(io::stdout(), "{text}") } else { writeln!(io::stderr(), "{text}") };
            return;
        }
        let paint = self.err.paint;
        let mut text = format!("{} {}\n", paint.red("machine:"), detail.message.trim_end());
        if let Some(hint) = &detail.hint {
            text += &format!("{} {}\n", paint.cyan("hint:"), hint.trim_end());
        }
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Writes data.
    ///
    /// # Errors
    /// Quietly if nobody reads it.
    #[expect(clippy::unused_self, reason = "all that is written goes through the voice")]
    pub(crate) fn write(&self, data: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(data).and_then(|()| out.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::quiet(BROKEN_PIPE),
            _ => Failure::file("cannot write to standard output", &error),
        })
    }

    /// Writes lines.
    ///
    /// # Errors
    /// As `write`.
    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        self.write(format!("{text}{end}").as_bytes())
    }

    /// Writes one document: on one line for programs, spread out for people.
    ///
    /// # Errors
    /// As `write`.
    pub(crate) fn document(&self, value: &impl Serialize) -> Result<(), Failure> {
        if self.out.terminal { self.spread(value) } else { self.line(value) }
    }

    /// Writes one document, spread out.
    ///
    /// # Errors
    /// As `write`.
    pub(crate) fn spread(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.print(&serde_json::to_string_pretty(value).map_err(unwritable)?)
    }

    /// Writes one document of a stream of them, on one line.
    ///
    /// # Errors
    /// As `write`.
    pub(crate) fn line(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.print(&serde_json::to_string(value).map_err(unwritable)?)
    }

    /// What stands for a machine where only that is asked for: with `-q` its id, else its name.
    pub(crate) fn handle<'a>(&self, machine: &'a MachineInfo) -> &'a str {
        if self.quiet { &machine.id } else { machine.called() }
    }

    /// The answer of a verb that changed a machine: JSON, or its name where a program may read it.
    ///
    /// # Errors
    /// As `write`.
    pub(crate) fn changed(&self, machine: &MachineInfo) -> Result<(), Failure> {
        if self.json() {
            self.line(machine)
        } else if self.bare() || !self.out.terminal {
            self.print(self.handle(machine))
        } else {
            Ok(())
        }
    }
}

fn unwritable(error: serde_json::Error) -> Failure {
    Failure::file("cannot write the answer as JSON", &io::Error::from(error))
}
