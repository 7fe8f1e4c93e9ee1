//! Coming to rest, so that the guest can be kept as an image: nothing half done, nothing unwritten, nobody's
//! identity, nobody's secrets, and what the first command of a machine made of it needs is in memory.
//!
//! A guest that goes on after it works as before, but has no name in its files, no IPv6 and no environment until
//! it is woken.

use crate::authorities::Trusted;
use crate::exec::stdio;
use crate::failure::failed;
use crate::house::DefaultEnv;
use crate::wake::{Before, Rest, Resting, World, keys};
use crate::{content, grow, script, secrets, users};
use machine_agent_protocol::{Failed, Settled};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// What systems keep of themselves, beside their names: chance for the next boot, and secrets made of it.
const LEFTOVERS: [&str; 3] =
    ["/var/lib/systemd/random-seed", "/var/lib/systemd/credential.secret", "/var/lib/NetworkManager/secret_key"];
/// Services that never rest do not keep the guest from being kept.
const QUIET_PATIENCE: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// So many looks in a row see nobody at work.
const QUIET_LOOKS: u32 = 3;
const COMMAND_PATIENCE: Duration = Duration::from_secs(5);

/// Rests, and answers what a machine made of this guest needs of its own.
pub(crate) async fn settle(world: &World, before: Before, rest: Rest) -> Result<(Settled, Resting), Failed> {
    grow::settle().await;
    for path in LEFTOVERS {
        content::remove(Path::new(path)).map_err(|error| failed(format_args!("cannot remove {path}"), &error))?;
    }
    secrets::drop_all().await?;
    world.env.send_replace(DefaultEnv::new());
    let mut trusted = Trusted::of_guest();
    if let Some(wanted) = rest.authorities {
        trusted.become_these(wanted)?;
    }
    let mut resting = match before {
        Before::Rested(resting) => (*resting).turn_over(trusted)?,
        Before::Nothing | Before::Woke(..) => Resting::lie_down(trusted)?,
    };
    let ssh_host_keys = keys::kinds(Path::new(keys::FOLDER));
    run_nothing(world).await;
    quiet().await;
    rustix::fs::sync();
    resting.ready()?;
    Ok((Settled { ssh_host_keys }, resting))
}

/// The first command reads the shell, its libraries and the list of users. Best now: an image's disk is cold.
/// A guest without a shell is none that needs this.
async fn run_nothing(world: &World) {
    users::find(None).ok();
    let Ok((output, theirs)) = stdio::output() else { return };
    let streams = || Ok([stdio::null()?, theirs.try_clone()?, theirs.try_clone()?]);
    let launch = streams().and_then(|stdio| script::launch(Path::new("/bin/sh"), &DefaultEnv::new(), stdio));
    let Ok(mut launch) = launch else { return };
    launch.argv.extend([c"-c".to_owned(), c"true".to_owned()]);
    let Ok(launched) = world.reaper.launch(launch).await else { return };
    timeout(COMMAND_PATIENCE, launched.ending).await.ok();
    drop(output);
}

/// Waits until nobody works, as long as that is worth it.
async fn quiet() {
    let until = Instant::now() + QUIET_PATIENCE;
    let mut seen = 0;
    while seen < QUIET_LOOKS && Instant::now() < until {
        tokio::time::sleep(LOOK_AGAIN).await;
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        seen = if at_work(&load) == Some(1) { seen + 1 } else { 0 };
    }
}

/// How many processes run or want to. Whoever reads it is one of them.
fn at_work(load: &str) -> Option<u32> {
    load.split_whitespace().nth(3)?.split_once('/')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_who_works() {
        assert_eq!(at_work("0.00 0.01 0.05 1/79 1234\n"), Some(1));
        assert_eq!(at_work("0.00"), None);
    }
}
