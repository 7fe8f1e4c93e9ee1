//! The network: our gateway beside QEMU's own user network (slirp) and passt, with the same guest, kernel, disk
//! and NIC in the same run. Three machines live all the while; they are measured turn and turn about, so that all
//! meet the same hour. What the load generator itself needs is measured over the guest's own loopback.

mod host;
mod load;
mod npm;
mod side;
mod update;
mod work;

use anyhow::Context as _;
use tokio::net::TcpStream;

use crate::boot;
use crate::figures::Samples;
use crate::home::Home;
use crate::report::Report;
use host::Hosts;
use load::Load;
use side::Side;

/// Connections that only exist.
const IDLE: usize = 1000;
/// Entries of the rules whose cost is measured.
const RULES: usize = 200;

/// What one side showed. Throughputs in MB/s, trips in milliseconds, connects a second; of the process that
/// carries the packets, microseconds for each connect.
#[derive(Default)]
struct Shown {
    up: Samples,
    down: Samples,
    trip: Samples,
    connects: Samples,
    work: Samples,
}

pub(crate) async fn measure(home: &Home, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let hosts = Hosts::open().await?;
    let disk = boot::fresh_disk(home).await?;
    let ours = Side::ours(home, &hosts).await?;
    let sides = [Side::slirp(home, &ours, &disk).await?, Side::passt(home, &ours, &disk).await?, ours];
    let idle = [sides[1].process_rss()?, sides[2].process_rss()?];
    let mut shown = [Shown::default(), Shown::default(), Shown::default()];
    for round in 0..=rounds {
        for (side, shown) in sides.iter().zip(&mut shown) {
            // The first round warms up translated code and buffers.
            let mut unused = Shown::default();
            round_of(side, &hosts, if round > 0 { shown } else { &mut unused }).await?;
        }
    }
    tell(&sides, &shown, report);
    own_loopback(&sides[2], report).await?;
    for (side, before) in sides[1..].iter().zip(idle) {
        report.single(format!("network: {}: its process, idle", side.name()), "MiB", before);
        hold(side, &hosts, report).await?;
    }
    work::measure(&sides[1..], &hosts, report).await?;
    update::measure(&sides[1..], report).await?;
    npm::measure(&side::room(home, "npm")?, &sides[1..], report).await?;
    rules(home, &sides[2], &hosts, rounds, report).await?;
    for side in sides {
        side.end(home).await?;
    }
    Ok(())
}

async fn round_of(side: &Side, hosts: &Hosts, shown: &mut Shown) -> anyhow::Result<()> {
    let (up, down) =
        (side.run(Load::Up { port: hosts.sink }).await?, side.run(Load::Down { port: hosts.source }).await?);
    up.into_iter().for_each(|rate| shown.up.push(rate));
    down.into_iter().for_each(|rate| shown.down.push(rate));
    side.run(Load::Trips { port: hosts.echo }).await?.into_iter().for_each(|trip| shown.trip.push(trip));
    side.run(Load::Connects { port: hosts.door }).await?.into_iter().for_each(|rate| shown.connects.push(rate));
    Ok(())
}

/// Whether the host has what the network is measured beside.
pub(crate) fn has_passt() -> bool {
    let tried = std::process::Command::new("passt").arg("--version").output();
    tried.is_ok_and(|output| output.status.success())
}

/// Each line beside slirp's.
fn tell(sides: &[Side], shown: &[Shown], report: &mut Report) {
    let Some(slirp) = shown.first() else { return };
    for (side, own) in sides.iter().zip(shown) {
        let name = |what: &str| format!("network: {}: {what}", side.name());
        let mut line = |what: &str, unit, own: &Samples, base: &Samples| {
            report.line(name(what), unit, own.figures(), Some(base.figures().p50));
        };
        line("guest to host", "MB/s", &own.up, &slirp.up);
        line("host to guest", "MB/s", &own.down, &slirp.down);
        line("one byte there and back", "ms", &own.trip, &slirp.trip);
        line("connects and closes", "/s", &own.connects, &slirp.connects);
    }
}

/// What the load generator can do at best: no network but the guest's own.
async fn own_loopback(side: &Side, report: &mut Report) -> anyhow::Result<()> {
    for (what, unit, load) in
        [("one byte there and back", "ms", Load::OwnTrips), ("connects and closes", "/s", Load::OwnConnects)]
    {
        let mut samples = Samples::default();
        side.run(load).await?.into_iter().for_each(|sample| samples.push(sample));
        report.line(format!("network: the guest's own loopback: {what}"), unit, samples.figures(), None);
    }
    Ok(())
}

/// What connections cost that only exist.
async fn hold(side: &Side, hosts: &Hosts, report: &mut Report) -> anyhow::Result<()> {
    let before = side.process_rss()?;
    let load = Load::Hold { port: hosts.hold, count: IDLE };
    let (held, grown) = tokio::join!(side.run(load), async {
        let held: Vec<TcpStream> = hosts.take_held(IDLE).await?;
        let grown = side.process_rss()? - before;
        // The guest waits for all of them to close.
        drop(held);
        anyhow::Ok(grown)
    });
    held.context("the guest could not hold its connections")?;
    report.single(format!("network: {}: grown by {IDLE} idle connections", side.name()), "MiB", grown?);
    Ok(())
}

/// The same load with none and with many rules, in turns.
async fn rules(home: &Home, side: &Side, hosts: &Hosts, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let (mut without, mut with) = (Shown::default(), Shown::default());
    for round in 0..2 * rounds {
        // Who is first takes turns, too: the hour changes both alike.
        let order = if round % 2 == 0 { [0, RULES] } else { [RULES, 0] };
        for count in order {
            side.set_rules(home, hosts, count).await?;
            let shown = if count == 0 { &mut without } else { &mut with };
            round_of(side, hosts, shown).await?;
            shown.work.push(work::of_one(side, Load::Connects { port: hosts.door }).await?);
        }
    }
    let mut line = |what: &str, unit, without: &Samples, with: &Samples| {
        let base = without.figures();
        report.line(format!("network: machine, no rules: {what}"), unit, base, None);
        report.line(format!("network: machine, {RULES} rules: {what}"), unit, with.figures(), Some(base.p50));
    };
    line("guest to host", "MB/s", &without.up, &with.up);
    line("host to guest", "MB/s", &without.down, &with.down);
    line("one byte there and back", "ms", &without.trip, &with.trip);
    line("connects and closes", "/s", &without.connects, &with.connects);
    line("its process's time for a connect and close", "µs", &without.work, &with.work);
    Ok(())
}
