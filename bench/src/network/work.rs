//! What a network costs its host: processor time of the process that carries the packets, for each connection and
//! each megabyte. Where an emulated guest is the limit of every network, this tells what ours could carry.

use super::host::Hosts;
use super::load::{CONNECTS, Load};
use super::side::Side;
use crate::figures::Samples;
use crate::report::Report;

const ROUNDS: usize = 5;
/// How long a load pours, in seconds, as the program has it.
const POUR: f64 = 2.0;

/// The sides after the first beside it, turn and turn about.
pub(super) async fn measure(sides: &[Side], hosts: &Hosts, report: &mut Report) -> anyhow::Result<()> {
    let loads = [
        ("a connect and close", "µs", Load::Connects { port: hosts.door }),
        ("a MB, guest to host", "µs", Load::Up { port: hosts.sink }),
        ("a MB, host to guest", "µs", Load::Down { port: hosts.source }),
    ];
    for (what, unit, load) in loads {
        let mut cost = vec![Samples::default(); sides.len()];
        for _ in 0..ROUNDS {
            for (side, cost) in sides.iter().zip(&mut cost) {
                cost.push(of_one(side, load).await?);
            }
        }
        let base = cost.first().map(|first| first.figures().p50);
        for (side, cost) in sides.iter().zip(&cost) {
            let name = format!("network: {}: its process's time for {what}", side.name());
            report.line(name, unit, cost.figures(), base);
        }
    }
    Ok(())
}

/// Microseconds of the process for one of what the load does.
pub(super) async fn of_one(side: &Side, load: Load) -> anyhow::Result<f64> {
    let before = side.process_time()?;
    let rate: f64 = side.run(load).await?.into_iter().sum();
    let spent = (side.process_time()? - before).as_secs_f64() * 1e6;
    Ok(spent / if matches!(load, Load::Connects { .. }) { CONNECTS } else { rate * POUR })
}
