//! Cold boot: from asking for a machine until its first command has answered, over the API, beside plain QEMU
//! with the same kernel, initramfs, disk and accelerator until its first line. Turn and turn about, so that
//! both meet the same hour.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use machine_sdk::api::CreateMachine;
use machine_sdk::api::exec::ExecRequest;

use crate::figures::Samples;
use crate::home::Home;
use crate::plain::Plain;
use crate::report::Report;

pub(crate) async fn measure(home: &Home, boots: usize, report: &mut Report) -> anyhow::Result<()> {
    let disk = fresh_disk(home).await?;
    let (mut created, mut answered, mut plain) = (Samples::default(), Samples::default(), Samples::default());
    for round in 0..=boots {
        let client = home.client();
        let begun = Instant::now();
        let machine = client.create(&wish(true)?, &mut |_| ()).await?;
        let made = begun.elapsed();
        client.exec(&machine.id, &truth()?).await?;
        let total = begun.elapsed();
        let by_hand = Plain::like(&home.machine_folder(&machine.id), home.folder())?;
        client.destroy(&machine.id, &mut |_| ()).await?;
        let beside = by_hand.boot(&disk).await?;
        // The first round warms the page cache for both.
        if round > 0 {
            created.add(made);
            answered.add(total);
            plain.add(beside);
        }
    }
    let base = plain.figures();
    report.line("boot: plain QEMU, start to first user-space line", "ms", base, None);
    report.line("boot: create answered", "ms", created.figures(), Some(base.p50));
    report.line("boot: create until first command answered", "ms", answered.figures(), Some(base.p50));
    Ok(())
}

/// A machine's disk as it is before its first boot.
pub(crate) async fn fresh_disk(home: &Home) -> anyhow::Result<PathBuf> {
    let client = home.client();
    let machine = client.create(&wish(false)?, &mut |_| ()).await?;
    let copy = home.folder().join("fresh.qcow2");
    std::fs::copy(home.machine_folder(&machine.id).join("root.qcow2"), &copy).context("no root disk")?;
    client.destroy(&machine.id, &mut |_| ()).await?;
    Ok(copy)
}

pub(crate) fn wish(start: bool) -> anyhow::Result<CreateMachine> {
    let wish = serde_json::json!({ "template": "base", "vcpus": 1, "memory_mb": 512, "disk_mb": 10240, "start": start, "cold": true });
    Ok(serde_json::from_value(wish)?)
}

pub(crate) fn truth() -> anyhow::Result<ExecRequest> {
    Ok(serde_json::from_value(serde_json::json!({ "command": "true" }))?)
}
