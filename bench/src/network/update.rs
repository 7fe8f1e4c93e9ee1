//! `apt-get update` in a guest, from the mirror that the template has of its host. Where the guest finds no mirror,
//! that is told and not measured.

use std::time::Instant;

use super::side::Side;
use crate::figures::Samples;
use crate::report::Report;

const ROUNDS: usize = 3;
/// From nothing each time.
const UPDATE: &str = "rm -rf /var/lib/apt/lists/* && apt-get update -qq -o APT::Update::Error-Mode=any";

pub(super) async fn measure(sides: &[Side], report: &mut Report) -> anyhow::Result<()> {
    in_turns(sides, "apt-get update", UPDATE, report).await
}

/// How long a line of shell takes on each side, turn and turn about; the sides after the first beside it.
pub(super) async fn in_turns(sides: &[Side], what: &str, line: &str, report: &mut Report) -> anyhow::Result<()> {
    let mut took = vec![Samples::default(); sides.len()];
    for _ in 0..ROUNDS {
        for (side, took) in sides.iter().zip(&mut took) {
            let begun = Instant::now();
            if let Err(why) = side.shell(line).await? {
                eprintln!("not measured: {what} over {}: {}", side.name(), why.trim());
                return Ok(());
            }
            took.add(begun.elapsed());
        }
    }
    let base = took.first().map(|first| first.figures().p50);
    for (side, took) in sides.iter().zip(&took) {
        report.line(format!("network: {}: {what}", side.name()), "ms", took.figures(), base);
    }
    Ok(())
}
