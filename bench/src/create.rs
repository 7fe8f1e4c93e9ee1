//! Creating machines from memory images: over the API until the create answers (the agent has answered and is
//! the machine), and on until the first command's answer; beside plain QEMU doing the same restore by hand.
//! Turn and turn about, so that both meet the same hour.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use machine_sdk::Guests;
use machine_sdk::api::exec::ExecRequest;
use machine_sdk::api::template::BuildTemplate;
use machine_sdk::api::{CreateMachine, ReportInfo, ServiceWord, StageWord};

use crate::figures::Samples;
use crate::home::Home;
use crate::plain::Plain;
use crate::report::Report;

const MIB: f64 = 1024.0 * 1024.0;

/// One shape of machine, and how much of its memory its image has touched.
struct Case {
    name: &'static str,
    cpus: u32,
    memory: u64,
    touched: u64,
}

/// Twenty MiB is what a guest that only booted has touched.
const CASES: [Case; 6] = [
    Case { name: "256 MiB", cpus: 1, memory: 256, touched: 0 },
    Case { name: "1 GiB", cpus: 1, memory: 1024, touched: 0 },
    Case { name: "1 GiB, 512 MiB touched", cpus: 1, memory: 1024, touched: 512 },
    Case { name: "4 GiB", cpus: 1, memory: 4096, touched: 0 },
    Case { name: "4 GiB, 2 GiB touched", cpus: 1, memory: 4096, touched: 2048 },
    Case { name: "512 MiB, 2 cpus", cpus: 2, memory: 512, touched: 0 },
];

#[derive(Default)]
struct Figures {
    plain_answer: Samples,
    plain_command: Samples,
    answer: Samples,
    command: Samples,
    by_cli: Samples,
    guest_private: Samples,
    private_before: Samples,
    private_after: Samples,
}

pub(crate) async fn measure(home: &Home, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    for case in &CASES {
        let kept = make_image(home, case).await?;
        report.single(format!("create {}: image made on top of its boot", case.name), "ms", kept);
        let mut figures = Figures::default();
        for round in 0..=rounds {
            // The first round warms the page cache for all.
            let mut unused = Figures::default();
            let into = if round > 0 { &mut figures } else { &mut unused };
            by_api(home, case, into).await?;
            into.by_cli.add(by_cli(home, case).await?);
        }
        tell(case, &figures, report);
    }
    Ok(())
}

/// Makes the image with its touched memory; answers what keeping it took, in milliseconds.
async fn make_image(home: &Home, case: &Case) -> anyhow::Result<f64> {
    // Random numbers would take the emulated guest minutes; bytes that are not zero are enough.
    let fill = format!(
        "mkdir /touched && mount -t tmpfs -o size=95% none /touched && \
         tr '\\0' x < /dev/zero | head -c {}M > /touched/memory",
        case.touched
    );
    let warm_up = (case.touched > 0).then_some(fill);
    let image = serde_json::json!({
        "vcpus": case.cpus, "memory_mb": case.memory, "warm_up": warm_up, "anew": true,
    });
    let how: BuildTemplate = serde_json::from_value(serde_json::json!({ "image": image }))?;
    let mut kept = None;
    let mut note = |report| {
        if let ReportInfo::Ended { stage: StageWord::Keep, micros } = report {
            kept = Some(micros as f64 / 1000.0);
        }
    };
    home.client().build_template("base", &how, &mut note).await?;
    kept.context("no image was kept")
}

async fn by_api(home: &Home, case: &Case, figures: &mut Figures) -> anyhow::Result<()> {
    let client = home.client();
    let begun = Instant::now();
    let machine = client.create(&wish(case)?, &mut |_| ()).await?;
    figures.answer.add(begun.elapsed());
    let before = client.usage(&machine.id, Guests::LeftAlone).await?;
    let used = begun.elapsed();
    let resumed = Instant::now();
    client.exec(&machine.id, &truth()?).await?;
    // Without the time in which the figures were asked for.
    let answered = figures.answer.last() + resumed.elapsed();
    figures.command.add(answered.min(used + resumed.elapsed()));
    let after = client.usage(&machine.id, Guests::LeftAlone).await?;
    figures.guest_private.push(before.guest_private_bytes as f64 / MIB);
    figures.private_before.push(before.private_bytes as f64 / MIB);
    figures.private_after.push(after.private_bytes as f64 / MIB);
    anyhow::ensure!(machine.served_by == Some(ServiceWord::Image), "a create was not served by its image");
    let by_hand = Plain::like(&home.machine_folder(&machine.id), home.folder())?.restored_by(home)?;
    client.destroy(&machine.id, &mut |_| ()).await?;
    let plain = by_hand.restore().await?;
    figures.plain_answer.add(plain.answered);
    figures.plain_command.add(plain.command);
    Ok(())
}

/// The same by the command line, from the start of its process to its end.
async fn by_cli(home: &Home, case: &Case) -> anyhow::Result<Duration> {
    let (cpus, memory) = (case.cpus.to_string(), format!("{}M", case.memory));
    let begun = Instant::now();
    let name = home.cli(&["create", "--name", "by-cli", "--cpus", &cpus, "--memory", &memory]).await?;
    let took = begun.elapsed();
    home.client().destroy(name.trim(), &mut |_| ()).await?;
    Ok(took)
}

fn tell(case: &Case, figures: &Figures, report: &mut Report) {
    let name = |what: &str| format!("create {}: {what}", case.name);
    let answer = figures.plain_answer.figures();
    let command = figures.plain_command.figures();
    report.line(name("plain QEMU, start to agent's answer"), "ms", answer, None);
    report.line(name("create answered"), "ms", figures.answer.figures(), Some(answer.p50));
    report.line(name("the same by the command line"), "ms", figures.by_cli.figures(), Some(answer.p50));
    report.line(name("plain QEMU, start to first `true`"), "ms", command, None);
    report.line(name("create until first `true` answered"), "ms", figures.command.figures(), Some(command.p50));
    report.line(name("guest-private memory"), "MiB", figures.guest_private.figures(), None);
    report.line(name("VMM-private memory, no command yet"), "MiB", figures.private_before.figures(), None);
    report.line(name("VMM-private memory, one command"), "MiB", figures.private_after.figures(), None);
}

fn wish(case: &Case) -> anyhow::Result<CreateMachine> {
    let wish = serde_json::json!({ "template": "base", "vcpus": case.cpus, "memory_mb": case.memory });
    Ok(serde_json::from_value(wish)?)
}

/// What the shell does of `true`, as the plain side does it.
pub(crate) fn truth() -> anyhow::Result<ExecRequest> {
    Ok(serde_json::from_value(serde_json::json!({ "command": "true", "shell": true }))?)
}
