//! A project whose root is kept: its start boots, beside plain QEMU with the same kernel, initramfs and disk until
//! the guest's first line. Turn and turn about, so that both meet the same hour.

use anyhow::Context as _;
use machine_sdk::MachineFilter;

use super::Project;
use crate::figures::Samples;
use crate::home::Home;
use crate::plain::Plain;
use crate::report::Report;

const MACHINEFILE: &str = "version: 1\nname: kept\nroot: persistent\npackages: {apt: [git]}\n\
    resources: {cpus: 2, memory: 1GiB}\n";

pub(super) async fn measure(home: &Home, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let project = Project::lay(home, "kept", MACHINEFILE)?;
    project.timed(&["start"]).await?;
    let machines = home.client().list(&MachineFilter::default()).await?;
    let folder = home.machine_folder(&machines.first().context("the project has no machine")?.id);
    let (mut started, mut plain) = (Samples::default(), Samples::default());
    for round in 0..=rounds {
        project.timed(&["stop"]).await?;
        let took = project.timed(&["start"]).await?;
        let by_hand = Plain::like(&folder, home.folder())?.without_waiting();
        project.timed(&["stop"]).await?;
        let beside = by_hand.boot(&folder.join("root.qcow2")).await?;
        project.timed(&["start"]).await?;
        // The first round warms the page cache for both.
        if round > 0 {
            started.add(took);
            plain.add(beside);
        }
    }
    project.timed(&["destroy", "--yes"]).await?;
    let base = plain.figures();
    report.line("project: plain QEMU on a kept root, start to first user-space line", "ms", base, None);
    report.line("project: machine start on a kept root, until ready", "ms", started.figures(), Some(base.p50));
    Ok(())
}
