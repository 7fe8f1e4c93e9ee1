//! Shows a folder by hand: `share PLAN.json`, as `machine share` does. For whoever measures or debugs it.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(plan) = std::env::args_os().nth(1) else {
        eprintln!("share: the one argument is a plan");
        return ExitCode::FAILURE;
    };
    match machine_share::run(Path::new(&plan)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("share: {error}: {:?}", std::error::Error::source(&error));
            ExitCode::FAILURE
        }
    }
}
