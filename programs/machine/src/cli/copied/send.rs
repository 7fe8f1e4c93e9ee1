//! `copy_in`: a folder here into a guest, and what was sent into the ledger. Begun again, it begins anew.

use std::path::Path;

use machine_sdk::api::file::FileType;

use super::CopiedFolder;
use super::inside::Inside;
use super::ledger::{Ledger, Record};
use super::place::Tree;
use crate::cli::Desk;
use crate::cli::copy::guest::tar;
use crate::cli::copy::pack::{Packing, Root, Survey, pack, survey};
use crate::cli::copy::selection::Selection;
use crate::cli::copy::{Copy, blocking, stream};
use crate::cli::exit::Failure;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopiedIn {
    /// It was copied, so many bytes.
    Now { bytes: u64 },
    /// This machine has its copy already, and may have worked on it: nothing was done.
    Before,
}

/// Copies a folder into a machine that runs, unless that has it already.
///
/// # Errors
/// When a side fails; the next call begins anew.
pub(crate) async fn copy_in(desk: &Desk, machine: &str, folder: &CopiedFolder) -> Result<CopiedIn, Failure> {
    let selection = folder.selection()?;
    let mut copy = Copy::begin(desk, machine).await?;
    let id = folder.lasts.whose(&desk.link.ask(async |client| client.get(machine).await).await?);
    let ledger = Ledger::open(&folder.ledger, &folder.here)?;
    match ledger.read()? {
        Record::Copied { machine, .. } if machine == id => return Ok(CopiedIn::Before),
        // What a copy that was broken off left there is not the guest's work.
        Record::Copying { machine } if machine == id => clear(&copy, folder).await?,
        Record::Nothing | Record::Copying { .. } | Record::Copied { .. } => {}
    }
    let here = folder.here.clone();
    let surveyed = {
        let selection = selection.clone();
        blocking(move || survey(&here, &selection)).await??
    };
    if surveyed.skipped > 0 {
        desk.voice.say(&format!("special files are not copied: {} in {}", surveyed.skipped, folder.here.display()));
    }
    ledger.write(&Record::Copying { machine: id.clone() })?;
    let agreed = send(&mut copy, folder, selection, surveyed).await?;
    ledger.write(&Record::Copied { machine: id, agreed })?;
    Ok(CopiedIn::Now { bytes: surveyed.bytes })
}

async fn send(
    copy: &mut Copy<'_>,
    folder: &CopiedFolder,
    selection: Selection,
    surveyed: Survey,
) -> Result<Tree, Failure> {
    let (machine, guest) = (copy.machine, &folder.guest);
    copy.desk.link.ask(async |client| client.make_folder(machine, guest).await).await?;
    let bar = copy.bar(Some(surveyed.bytes), guest);
    let how = Packing { root: Root::Packed, owner: folder.owner.unwrap_or((0, 0)), selection };
    let (here, counter) = (folder.here.clone(), bar.clone());
    let start = tar(&["-x", "-p", "-f", "-", "-C", guest], true);
    let tried = format!("copy into {machine}:{guest}");
    let agreed = stream::send(copy, start, &tried, &bar, move |writer| {
        let mut agreed = Tree::new();
        let mut seen = |name: &Path, entry| {
            // The folder itself is none of its paths.
            if let Some(path) = Inside::new(name) {
                agreed.insert(path, entry);
            }
        };
        let packed = pack(&here, &how, writer, &counter, Some(&mut seen));
        (agreed, packed)
    });
    let agreed = agreed.await?;
    copy.done(&bar);
    Ok(agreed)
}

/// Removes what is in the guest's folder.
async fn clear(copy: &Copy<'_>, folder: &CopiedFolder) -> Result<(), Failure> {
    let (machine, guest) = (copy.machine, &folder.guest);
    match copy.desk.link.ask(async |client| client.stat_file(machine, guest).await).await {
        Ok(info) if info.kind == FileType::Dir => {
            copy.desk.link.ask(async |client| client.remove_file(machine, guest).await).await
        }
        Ok(_) => Ok(()),
        Err(failure) if failure.is_file_not_found() => Ok(()),
        Err(failure) => Err(failure),
    }
}
