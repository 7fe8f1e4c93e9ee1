//! A command in the foreground: its output is held until its end, within a bound.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Path, State};
use machine_api::exec::{ExecRequest, ExecResponse};
use machine_core::promise::guest::{self, Exit, Guest, GuestError, Life, Login, ProcessEvent, Program, Stdin};
use machine_core::{Code, Refusal};

use super::note_machine;
use super::place::{self, Subject};
use crate::App;
use crate::door::Asker;
use crate::read::Json;
use crate::refused::{Refused, invalid, not_implemented};
use crate::wish::check_envs;

const TIMEOUT_SECS: f64 = 30.0;
/// A year: longer is a mistake, and would overflow clocks.
const LONGEST_SECS: f64 = 366.0 * 86_400.0;
/// How much output is held; more is asked for by `attach`.
const MOST_OUTPUT: usize = 32 << 20;
/// The guest keeps the timeout; this much later we do not wait for its word.
const AFTER_TIMEOUT: Duration = Duration::from_secs(10);

/// `POST /v1/machines/{id}/exec`. A client that goes away hangs the command up.
pub(crate) async fn run(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Json(wish): Json<ExecRequest>,
) -> Result<axum::Json<ExecResponse>, Refused> {
    let mut request = understand(wish)?;
    let (machine, guest) = app.server.desk.guest(&asker.owner, &reference).await?;
    note_machine(&machine);
    request.cwd = request.cwd.or_else(|| machine.spec.cwd.clone());
    let timeout = request.timeout;
    let ran = run_to_end(guest.as_ref(), request);
    let response = match timeout {
        None => ran.await,
        Some(limit) => {
            tokio::time::timeout(limit.saturating_add(AFTER_TIMEOUT), ran).await.unwrap_or_else(|_| Err(timed_out()))
        }
    };
    Ok(axum::Json(response.map_err(|refusal| refusal.about(machine.called()))?))
}

/// As the guest's.
pub(crate) fn login(asked: bool) -> Login {
    if asked { Login::Yes } else { Login::No }
}

/// Permission bits, in octal.
pub(crate) fn umask(text: Option<&str>) -> Result<Option<u32>, Refusal> {
    let bits = |text: &str| u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o777);
    match text.map(|text| (text, bits(text))) {
        None => Ok(None),
        Some((_, Some(bits))) => Ok(Some(bits)),
        Some((text, None)) => Err(invalid(format!("umask: not octal permission bits: {text:.32}"))),
    }
}

fn understand(wish: ExecRequest) -> Result<guest::ExecRequest, Refusal> {
    if wish.background {
        return Err(not_implemented("background: not implemented in this version")
            .hint("a detached command goes on by itself: `machine exec --detach`"));
    }
    if wish.shell && !wish.args.is_empty() {
        return Err(invalid("args: a shell's line has no arguments of its own; leave them out, or shell"));
    }
    if wish.command.is_empty() {
        return Err(invalid("command: empty"));
    }
    check_envs(wish.envs.keys())?;
    let timeout = wish.timeout_secs.unwrap_or(TIMEOUT_SECS);
    if !(0.0..=LONGEST_SECS).contains(&timeout) {
        return Err(invalid(format!("timeout_secs: out of range: {timeout} (0, which is never, to {LONGEST_SECS})")));
    }
    let program = if wish.shell {
        Program::Shell(wish.command)
    } else {
        Program::Argv(std::iter::once(wish.command).chain(wish.args).collect())
    };
    Ok(guest::ExecRequest {
        program,
        cwd: wish.cwd,
        envs: wish.envs,
        user: wish.user,
        stdin: Stdin::Null,
        terminal: None,
        timeout: (timeout > 0.0).then(|| Duration::from_secs_f64(timeout)),
        life: Life::Attached,
        login: login(wish.login),
        umask: umask(wish.umask.as_deref())?,
    })
}

async fn run_to_end(guest: &dyn Guest, request: guest::ExecRequest) -> Result<ExecResponse, Refusal> {
    let mut process = match guest.exec(request).await {
        Ok(process) => process,
        Err(error) => return not_started(error),
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match process.next().await.map_err(Refusal::from)? {
            ProcessEvent::Stdout(bytes) => stdout.extend_from_slice(&bytes),
            ProcessEvent::Stderr(bytes) => stderr.extend_from_slice(&bytes),
            ProcessEvent::Exited(exit) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let pid = Some(process.pid());
                return Ok(ExecResponse { exit_code: code(exit)?, stdout: text(&stdout), stderr: text(&stderr), pid });
            }
        }
        if stdout.len() + stderr.len() > MOST_OUTPUT {
            return Err(Refusal::new(
                Code::ExecFailed,
                format!("the command wrote more than {} MiB and was ended", MOST_OUTPUT >> 20),
            )
            .reason("output_too_large")
            .hint("stream its output: `machine exec`, or GET /v1/machines/{id}/attach"));
        }
    }
}

/// A program that cannot be started ends as in a shell; the rest is refused.
fn not_started(error: GuestError) -> Result<ExecResponse, Refusal> {
    let shell = |exit_code| {
        let stderr = format!("{error}\n");
        Ok(ExecResponse { exit_code, stdout: String::new(), stderr, pid: None })
    };
    match &error {
        GuestError::ProgramNotFound(_) => shell(127),
        GuestError::NotExecutable(_) => shell(126),
        GuestError::Lost
        | GuestError::Garbage(_)
        | GuestError::Late(_)
        | GuestError::NotFound(_)
        | GuestError::Refused(_)
        | GuestError::NoSpace(_)
        | GuestError::Invalid(_)
        | GuestError::Unsupported(_)
        | GuestError::Failed(_) => Err(place::refusal(Subject::Command, error)),
    }
}

fn code(exit: Exit) -> Result<i32, Refusal> {
    match exit {
        Exit::Code(code) => Ok(code),
        Exit::Signal(signal) => Ok(128_i32.saturating_add(signal)),
        Exit::TimedOut => Err(timed_out()),
        Exit::Detached => Err(Refusal::new(Code::ExecFailed, "the guest let go of a command in the foreground")),
    }
}

fn timed_out() -> Refusal {
    Refusal::new(Code::ExecTimeout, "the command ran longer than its timeout and was killed")
        .hint("ask for a longer `timeout_secs`; 0 is never")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_umask_is_octal() {
        assert_eq!(umask(Some("077")).unwrap(), Some(0o77));
        assert_eq!(umask(None).unwrap(), None);
        for bad in ["", "8", "-1", "1000", "0o22"] {
            assert!(umask(Some(bad)).unwrap_err().message.starts_with("umask"), "{bad}");
        }
    }

    #[test]
    fn a_timeout_is_thirty_seconds_unless_said_and_never_if_zero() {
        let wish = |timeout_secs| ExecRequest { command: "a".to_owned(), timeout_secs, ..ExecRequest::default() };
        assert_eq!(understand(wish(None)).unwrap().timeout, Some(Duration::from_secs(30)));
        assert_eq!(understand(wish(Some(0.0))).unwrap().timeout, None);
        for bad in [-1.0, f64::NAN, 1e300] {
            assert!(understand(wish(Some(bad))).unwrap_err().message.starts_with("timeout_secs"));
        }
    }
}
