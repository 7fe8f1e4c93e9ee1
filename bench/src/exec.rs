//! The round trip of `true` on a running machine, over the API, beside what fork and exec cost in the guest
//! itself; and what an idle server occupies.

use std::time::{Duration, Instant};

use machine_sdk::api::exec::ExecRequest;

use crate::boot::{truth, wish};
use crate::figures::Samples;
use crate::home::Home;
use crate::report::Report;

/// The guest starts `true` and waits for it, each time after a rest as a server's next request would give it;
/// it says the nanoseconds of each. A processor that never rested is a third faster, and no server's case.
const IN_GUEST: &str = "
import os, time
for _ in range(120):
    time.sleep(0.002)
    begun = time.perf_counter_ns()
    os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)
    print(time.perf_counter_ns() - begun)
";

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
    let python = serde_json::json!({ "command": "python3", "args": ["-c", IN_GUEST], "timeout_secs": 120 });
    let said = client.exec(&machine.id, &serde_json::from_value::<ExecRequest>(python)?).await?;
    for nanos in said.stdout.split_whitespace().skip(20).filter_map(|line| line.parse().ok()) {
        own.add(Duration::from_nanos(nanos));
    }
    let base = own.figures();
    report.line("exec: start `true` and wait for it, in the guest itself", "ms", base, None);
    report.line("exec: round trip of `true` over the API", "ms", trips.figures(), Some(base.p50));
    client.destroy(&machine.id, &mut |_| ()).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    report.single("server: resident memory, idle", "MiB", home.server_rss_mib()?);
    Ok(())
}
