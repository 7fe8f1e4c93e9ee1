//! `bench`: what machines cost and how long they take on this computer, beside plain QEMU in the same run.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use machine_bench::{What, Wish};
use machine_sdk::Client;
use machine_sdk::api::Code;
use machine_sdk::api::template::BuildTemplate;

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};

const AFTER_HELP: &str = "\
Builds the template `base` if it is not here. Machines and images of the measurement live in a
home of its own beside the images, which is removed at the end; yours are left alone, but take
part of the computer: measure while it is idle. Needs qemu-img.

Examples:
  machine bench create
  machine bench exec --count 1000 --json";

/// What to measure, and how often.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct BenchArguments {
    /// how often; each measurement has a default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: Option<u32>,

    /// also write what was measured to a file in this folder
    #[arg(long, value_name = "FOLDER")]
    results: Option<PathBuf>,

    /// what to measure
    #[arg(value_enum, value_name = "WHAT")]
    what: Measured,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measured {
    /// a cold boot until the first command's answer
    Boot,
    /// the round trip of a command
    Exec,
    /// creating machines from memory images of several sizes
    Create,
    /// what 1, 10, 50 and 100 idle machines cost
    Crowd,
    /// throughput, round trips and connects beside slirp and passt, and what rules cost; wants passt
    Network,
    /// a project: starts, commands, events of edits
    Project,
    /// many small files in a project's folder beside the guest's own disk; long, no part of all
    Files,
    /// `npm ci` in a project beside the guest's own disk; no part of all
    Install,
    /// all of it
    All,
}

/// Measures and tells.
pub(crate) async fn bench(asked: BenchArguments, desk: &Desk) -> Result<u8, Failure> {
    let how = BuildTemplate::default();
    let mut progress = Progress::new(&desk.voice, Trace::Kept);
    let build = async |client: &Client| client.build_template("base", &how, &mut |report| progress.tell(&report)).await;
    desk.link.ask(build).await?;
    drop(progress);
    let wish = Wish {
        what: asked.what.into(),
        machine: desk.context.program.clone(),
        images: desk.context.home.join("images"),
        count: asked.count.map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
        results: asked.results,
        json: desk.voice.json(),
    };
    machine_bench::run(&wish)
        .await
        .map_err(|error| Failure::new(Code::InternalError, format!("cannot measure: {error:#}")))?;
    Ok(0)
}

impl From<Measured> for What {
    fn from(measured: Measured) -> Self {
        match measured {
            Measured::Boot => Self::Boot,
            Measured::Exec => Self::Exec,
            Measured::Create => Self::Create,
            Measured::Crowd => Self::Crowd,
            Measured::Network => Self::Network,
            Measured::Project => Self::Project,
            Measured::Files => Self::Files,
            Measured::Install => Self::Install,
            Measured::All => Self::All,
        }
    }
}
