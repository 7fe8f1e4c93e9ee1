//! Measures what users wait for, beside plain QEMU in the same run: absolute times vary twofold from hour
//! to hour on a shared computer, ratios do not. Tells, and writes, only what was measured.

mod boot;
mod create;
mod crowd;
mod exec;
mod figures;
mod home;
mod network;
mod plain;
mod project;
mod report;

use std::path::PathBuf;

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A cold boot until the first command's answer.
    Boot,
    /// The round trip of a command.
    Exec,
    /// Creating machines from memory images of several sizes.
    Create,
    /// What many idle machines cost.
    Crowd,
    /// Throughput, trips and connects, beside slirp and passt; what rules cost. Wants passt.
    Network,
    /// A project: starts, commands, events of edits.
    Project,
    /// Many small files in a project's folder, beside the guest's own disk. Long, and so no part of `All`.
    Files,
    /// `npm ci` in a project's folder, beside the guest's own disk. Wants the host's npm, and so no part of `All`.
    Install,
    /// All of it but `Files` and `Install`.
    All,
}

/// One measurement.
#[derive(Debug, Clone)]
pub struct Wish {
    /// What to measure.
    pub what: What,
    /// The program to measure.
    pub machine: PathBuf,
    /// A folder of templates that has `base`. Nothing in it is changed; the measurements' own home is made
    /// beside it.
    pub images: PathBuf,
    /// How often; each measurement has a default.
    pub count: Option<usize>,
    /// Where results are written; nowhere if absent.
    pub results: Option<PathBuf>,
    /// Told on standard output as JSON, not as a table.
    pub json: bool,
}

/// Measures and tells. Everything made for it is gone afterwards.
///
/// # Errors
/// If something could not be measured.
pub async fn run(wish: &Wish) -> anyhow::Result<()> {
    let home = home::Home::open(&wish.machine, &wish.images).await?;
    let mut report = report::Report::begin();
    let measured = tokio::select! {
        measured = measure(wish, &home, &mut report) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    home.close().await?;
    measured?;
    report.print(wish.json)?;
    if let Some(folder) = &wish.results {
        eprintln!("written: {}", report.write(folder)?.display());
    }
    Ok(())
}

async fn measure(wish: &Wish, home: &home::Home, report: &mut report::Report) -> anyhow::Result<()> {
    let wants = |what| wish.what == what || wish.what == What::All;
    if wants(What::Boot) {
        boot::measure(home, wish.count.unwrap_or(20), report).await?;
    }
    if wants(What::Exec) {
        exec::measure(home, wish.count.unwrap_or(300), report).await?;
    }
    if wants(What::Create) {
        create::measure(home, wish.count.unwrap_or(20), report).await?;
    }
    if wants(What::Project) {
        project::measure(home, wish.count.unwrap_or(20), report).await?;
    }
    if wish.what == What::Files {
        project::measure_files(home, wish.count.unwrap_or(3), report).await?;
    }
    if wish.what == What::Install {
        project::measure_install(home, wish.count.unwrap_or(5), report).await?;
    }
    if wants(What::Crowd) {
        crowd::measure(home, wish.count.unwrap_or(100), report).await?;
    }
    if wish.what == What::All && !network::has_passt() {
        eprintln!("not measured: the network: passt is missing (scripts/install-host bench)");
    } else if wants(What::Network) {
        network::measure(home, wish.count.unwrap_or(10), report).await?;
    }
    Ok(())
}
