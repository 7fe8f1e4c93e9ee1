//! Asking before something goes that cannot be had back: on a terminal a person, elsewhere `--yes`.

use std::io::{self, BufRead as _, Write as _};

use super::exit::{CONSENT_REFUSED, Failure};
use super::session;
use super::voice::Voice;

/// What is to be agreed to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deed<'a> {
    /// What is done, as in `destroying`.
    pub(crate) doing: &'a str,
    /// What a person is asked, without the question mark.
    pub(crate) question: &'a str,
    /// What did not happen after a no, as in `not destroyed`.
    pub(crate) refused: &'a str,
    /// To what.
    pub(crate) names: &'a str,
}

/// Asks, and goes on after a yes.
///
/// # Errors
/// After a no, or where nobody is there to ask.
pub(crate) fn ask(deed: Deed<'_>, voice: &Voice) -> Result<(), Failure> {
    let Deed { doing, question, refused, names } = deed;
    if !session::stdin_is_terminal() || !voice.err.terminal {
        let message = format!("{doing} needs consent, and nobody is here to ask: {names}");
        return Err(Failure::usage(message).hint("add --yes if it is meant"));
    }
    let failed = |error: io::Error| Failure::file("cannot ask", &error);
    write!(io::stderr(), "{question}? [y/N] ").map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::usage(format!("{refused}: {names}")).exiting(CONSENT_REFUSED)),
    }
}
