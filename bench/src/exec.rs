//! The round trip of `true` on a running machine, over the API, beside what fork and exec cost in the guest
//! itself; and what an idle server occupies.

use std::time::{Duration, Instant};

use machine_sdk::api::exec::ExecRequest;

use crate::boot::{truth, wish};
use crate::figures::Samples;
use crate::home::Home;
use crate::report::Report;

/// The guest's own shell forks, runs and waits, twenty at a time, and says the nanoseconds of each batch.
const IN_GUEST: &str = "b=0; while [ $b -lt 20 ]; do t=$(date +%s%N); i=0; \
     while [ $i -lt 20 ]; do /bin/true; i=$((i+1)); done; echo $(( ($(date +%s%N) - t) / 20 )); b=$((b+1)); done";

pub(crate) async fn measure(home: &Home, commands: usize, report: &mut Report) -> anyhow::Result<()> {
    let client = home.client();
    let machine = client.create(&wish(true)?, &mut |_| ()).await?;
    let request = truth()?;
    let mut trips = Samples::default();
    for round in 0..commands + 20 {
        let begun = Instant::now();
        client.exec(&machine.id, &request).await?;
        if round >= 20 {
            trips.add(begun.elapsed());
        }
    }
    let mut own = Samples::default();
    let shell: ExecRequest =
        serde_json::from_value(serde_json::json!({ "command": IN_GUEST, "shell": true, "timeout_secs": 120 }))?;
    let said = client.exec(&machine.id, &shell).await?;
    for nanos in said.stdout.split_whitespace().skip(1).filter_map(|line| line.parse().ok()) {
        own.add(Duration::from_nanos(nanos));
    }
    let base = own.figures();
    report.line("exec: fork, exec and wait in the guest (batches of 20)", "ms", base, None);
    report.line("exec: round trip of `true` over the API", "ms", trips.figures(), Some(base.p50));
    client.destroy(&machine.id, &mut |_| ()).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    report.single("server: resident memory, idle", "MiB", home.server_rss_mib()?);
    Ok(())
}
