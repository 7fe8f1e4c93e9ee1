//! Measures what users wait for, beside plain QEMU in the same run: absolute times vary twofold from hour
//! to hour on a shared computer, ratios do not. Writes only what was measured.

mod boot;
mod exec;
mod figures;
mod home;
mod plain;
mod report;

use std::path::PathBuf;

use clap::Parser;

/// `machine-bench boot|exec|all`
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum)]
    what: What,
    /// The program to measure.
    #[arg(long, default_value = "target/release/machine")]
    machine: PathBuf,
    /// A folder of templates that has `base`.
    #[arg(long)]
    images: PathBuf,
    /// Where results are written; nowhere if absent.
    #[arg(long)]
    results: Option<PathBuf>,
    /// How many boots.
    #[arg(long, default_value_t = 20)]
    boots: usize,
    /// How many commands.
    #[arg(long, default_value_t = 300)]
    commands: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Create until the first command's answer.
    Boot,
    /// The round trip of a command.
    Exec,
    /// Both.
    All,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let home = home::Home::open(&arguments.machine, &arguments.images).await?;
    let mut report = report::Report::begin();
    if matches!(arguments.what, What::Boot | What::All) {
        boot::measure(&home, arguments.boots, &mut report).await?;
    }
    if matches!(arguments.what, What::Exec | What::All) {
        exec::measure(&home, arguments.commands, &mut report).await?;
    }
    home.close().await?;
    report.print();
    if let Some(folder) = &arguments.results {
        println!("written: {}", report.write(folder)?.display());
    }
    Ok(())
}
