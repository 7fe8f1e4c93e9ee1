//! The verbs: one file each, with its flags and all that it does on this side of the server.

pub(crate) mod agent;
pub(crate) mod bench;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod destroy;
pub(crate) mod egress;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod hibernate;
pub(crate) mod image;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod lock;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod ports;
pub(crate) mod provision;
pub(crate) mod reset;
pub(crate) mod restart;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod shell;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod sync;
pub(crate) mod template;
pub(crate) mod top;
pub(crate) mod trust;
pub(crate) mod version;

use super::Desk;
use super::exit::Failure;
use super::project;

/// The machines that were named; without a name, the project's.
async fn named_or_the_projects(names: Vec<String>, desk: &Desk) -> Result<Vec<String>, Failure> {
    match names.is_empty() {
        true => Ok(vec![project::meant_one(None, desk).await?]),
        false => Ok(names),
    }
}

/// Does the same with several machines: all are tried, each failure is told, the first one's exit code
/// is the verb's.
async fn each(
    names: &[String],
    desk: &Desk,
    mut work: impl AsyncFnMut(&str) -> Result<(), Failure>,
) -> Result<u8, Failure> {
    let mut code = 0;
    for name in names {
        match work(name).await {
            Ok(()) => {}
            Err(failure @ Failure::Quiet { .. }) => return Err(failure),
            Err(failure) => {
                desk.voice.fail(&failure);
                code = if code == 0 { failure.exit() } else { code };
            }
        }
    }
    Ok(code)
}
