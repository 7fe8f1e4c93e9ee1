//! `sync back`: what a guest changed in its copy of a folder, shown, and copied out after a yes. What is
//! compared and written how is in `copied/`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::Desk;
use crate::cli::consent::{self, Deed};
use crate::cli::copied::{
    self, Comparison, Conflicts, CopiedFolder, LeftOut, Written, compare, document, left_out_document, render, summary,
};
use crate::cli::exit::Failure;
use crate::cli::project::{self, copies::ProjectCopy};

const AFTER_HELP: &str = "\
Shows a line for each path that changed in the machine since the folder was copied in: A added, M modified,
P mode, T kind, D deleted; with ! if something is against it. Then asks on a terminal, and needs --yes
elsewhere. Guarded paths, special files and links that lead out of the folder are never copied. What was changed here,
too, stays as it is here without --force. A file appears when it is complete.

Examples:
  machine sync back --dry-run --diff
  machine sync back
  machine sync back --yes --json";

/// What to do with a copied folder.
#[derive(Debug, Args)]
pub(crate) struct SyncArguments {
    /// which way
    #[command(subcommand)]
    pub(crate) way: SyncWay,
}

/// Which way.
#[derive(Debug, Subcommand)]
pub(crate) enum SyncWay {
    /// show what changed in the machine, and copy it out
    Back(BackArguments),
}

/// How.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct BackArguments {
    /// do not ask
    #[arg(short, long)]
    yes: bool,

    /// show what changed in texts
    #[arg(long)]
    diff: bool,

    /// overwrite what was changed here, too
    #[arg(long)]
    force: bool,

    /// show only, copy nothing
    #[arg(long, conflicts_with_all = ["yes", "force"])]
    dry_run: bool,
}

/// Works on the copies that the project's machine has.
pub(crate) async fn sync(asked: SyncArguments, desk: &Desk) -> Result<u8, Failure> {
    let SyncWay::Back(asked) = asked.way;
    let project = project::need(desk)?;
    let machine = project.made(desk).await?;
    let copies = project::copies::all(&project, &machine).into_iter().filter(ProjectCopy::comes_back);
    let folders: Vec<CopiedFolder> = copies.map(|copy| copy.folder).collect();
    if folders.is_empty() {
        return Err(Failure::usage("this project's machine has no copy of a folder that could come back")
            .hint("`mode: copy` makes one of a mount; folders that are shared need no copying"));
    }
    back(asked, desk, &machine.id, &folders).await
}

/// Shows what changed in a machine's copies of folders, and copies it out.
async fn back(asked: BackArguments, desk: &Desk, machine: &str, folders: &[CopiedFolder]) -> Result<u8, Failure> {
    let (mut code, mut documents) = (0, Vec::new());
    for folder in folders {
        let comparison = compare(desk, machine, folder).await?;
        show(&asked, desk, folder, &comparison)?;
        let mut document = json!({
            "here": folder.here.display().to_string(),
            "guest": folder.guest,
            "changes": document(&comparison.changes),
        });
        if !asked.dry_run {
            let written = copy_out(&asked, desk, folder, comparison).await?;
            document["copied"] = written.done.len().into();
            document["left_out"] = left_out_document(&written.left_out);
            code = code.max(exit_code(&written));
        }
        documents.push(document);
    }
    if desk.voice.json() {
        desk.voice.document(&json!({ "folders": documents }))?;
    }
    Ok(code)
}

fn show(asked: &BackArguments, desk: &Desk, folder: &CopiedFolder, comparison: &Comparison<'_>) -> Result<(), Failure> {
    if desk.voice.json() {
        return Ok(());
    }
    let paint = desk.voice.out.paint;
    desk.voice.print(&render(&comparison.changes, paint))?;
    if asked.diff {
        desk.voice.print(&comparison.diff(paint)?)?;
    }
    let counts = summary(comparison.changes.counts());
    let nothing = comparison.changes.all.is_empty();
    let told = if nothing { "nothing changed in the machine" } else { &counts };
    desk.voice.say(&format!("{}: {told}", folder.here.display()));
    Ok(())
}

async fn copy_out(
    asked: &BackArguments,
    desk: &Desk,
    folder: &CopiedFolder,
    mut comparison: Comparison<'_>,
) -> Result<Written, Failure> {
    if comparison.emptied && !asked.force {
        let message = format!("the machine's copy is empty: all would go from {}", folder.here.display());
        return Err(Failure::usage(message).hint("add --force if it is meant"));
    }
    let conflicts = if asked.force { Conflicts::Overwritten } else { Conflicts::Kept };
    if !asked.yes && comparison.would_write(conflicts) {
        consent(desk, folder, &mut comparison).await?;
    }
    let total = comparison.changes.all.len();
    let written = comparison.copy_out(conflicts).await?;
    if total > 0 {
        desk.voice.say(&format!("copied {} of {total}", written.done.len()));
    }
    if !written.left_out.is_empty() {
        desk.voice.say(&format!("left out:\n{}", copied::left_out(&written.left_out).trim_end()));
    }
    Ok(written)
}

/// A person answers on a thread of its own, so that Ctrl-C is heard meanwhile.
async fn consent(desk: &Desk, folder: &CopiedFolder, comparison: &mut Comparison<'_>) -> Result<(), Failure> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let (names, voice) = (folder.here.display().to_string(), desk.voice);
    std::thread::spawn(move || {
        let question = format!("copy these changes to {names}");
        let deed = Deed { doing: "copying out", question: &question, refused: "not copied", names: &names };
        // Nobody waits for it after a signal.
        let _ = answer.send(consent::ask(deed, &voice));
    });
    tokio::select! {
        answered = answered => answered.unwrap_or_else(|_| Err(Failure::usage("nobody answered"))),
        caught = comparison.caught() => Err(Failure::quiet(caught.exit())),
    }
}

/// What is never copied is told, and no failure; for the rest a person may have something to do.
fn exit_code(written: &Written) -> u8 {
    let open = |why: &LeftOut| match why {
        LeftOut::Obstacle(obstacle) => obstacle.gives_way(),
        LeftOut::ChangedMeanwhile | LeftOut::NotEmpty | LeftOut::NoWay => true,
    };
    u8::from(written.left_out.iter().any(|(_, why)| open(why)))
}
