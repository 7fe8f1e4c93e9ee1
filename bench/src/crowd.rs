//! What many idle machines of one image cost: memory and processor time of each, and how soon each answers
//! while all of them live.

use std::time::{Duration, Instant};

use machine_sdk::Guests;
use machine_sdk::api::CreateMachine;

use crate::create::truth;
use crate::figures::Samples;
use crate::home::Home;
use crate::report::Report;

const MIB: f64 = 1024.0 * 1024.0;
const SIZES: [usize; 4] = [1, 10, 50, 100];
/// What a machine does idly is seen over so long.
const WATCH: Duration = Duration::from_secs(10);

pub(crate) async fn measure(home: &Home, most: usize, report: &mut Report) -> anyhow::Result<()> {
    let client = home.client();
    let wish: CreateMachine =
        serde_json::from_value(serde_json::json!({ "template": "base", "vcpus": 1, "memory_mb": 256 }))?;
    let mut alive = Vec::new();
    for size in SIZES.into_iter().filter(|size| *size <= most) {
        while alive.len() < size {
            alive.push(client.create(&wish, &mut |_| ()).await?.id);
        }
        idle(home, &alive, report).await?;
    }
    let mut pings = Samples::default();
    for id in &alive {
        let begun = Instant::now();
        client.stat_file(id, "/").await?;
        pings.add(begun.elapsed());
    }
    report.line(format!("crowd of {}: a question to each in turn", alive.len()), "ms", pings.figures(), None);
    let mut commands = Samples::default();
    for id in &alive {
        let begun = Instant::now();
        client.exec(id, &truth()?).await?;
        commands.add(begun.elapsed());
    }
    report.line(format!("crowd of {}: first `true` of each in turn", alive.len()), "ms", commands.figures(), None);
    for id in &alive {
        client.destroy(id, &mut |_| ()).await?;
    }
    Ok(())
}

async fn idle(home: &Home, alive: &[String], report: &mut Report) -> anyhow::Result<()> {
    let client = home.client();
    let before: u64 = client.usages(Guests::LeftAlone).await?.iter().map(|usage| usage.cpu_ms).sum();
    tokio::time::sleep(WATCH).await;
    let usages = client.usages(Guests::LeftAlone).await?;
    let worked = usages.iter().map(|usage| usage.cpu_ms).sum::<u64>() - before;
    let (mut resident, mut proportional, mut private, mut guest) =
        (Samples::default(), Samples::default(), Samples::default(), Samples::default());
    for usage in &usages {
        resident.push(usage.resident_bytes as f64 / MIB);
        private.push(usage.private_bytes as f64 / MIB);
        guest.push(usage.guest_private_bytes as f64 / MIB);
        proportional.push(home.vmm_pss_mib(&usage.id)?);
    }
    let name = |what: &str| format!("crowd of {}: {what}", alive.len());
    report.line(name("resident, each"), "MiB", resident.figures(), None);
    report.line(name("proportional (PSS), each"), "MiB", proportional.figures(), None);
    report.line(name("VMM-private, each"), "MiB", private.figures(), None);
    report.line(name("guest-private, each"), "MiB", guest.figures(), None);
    let share = worked as f64 / 10.0 / WATCH.as_secs_f64() / alive.len() as f64;
    report.single(name("idle processor time, each, of one core"), "%", share);
    Ok(())
}
