//! Writes the pages of a resting guest's memory that are not its image's to a file.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::pages_file::{Run, WINDOW, Writer};
use super::regions::Region;
use super::{Failure, PAGE, SavedPages, pagemap, regions};
use crate::boot_plan::Memory;

/// The file is new, synced, and whole, or not there.
pub(super) fn save(pid: u32, memory: &Memory, to: &Path) -> Result<SavedPages, Failure> {
    let saved = write(pid, memory, to);
    if saved.is_err() {
        let _ = fs::remove_file(to);
    }
    Ok(saved?)
}

fn write(pid: u32, memory: &Memory, to: &Path) -> io::Result<SavedPages> {
    let regions = regions::of(pid, memory)?;
    let runs = pagemap::own(pid, &regions)?;
    let process = File::open(format!("/proc/{pid}/mem"))?;
    let mut writer = Writer::create(to)?;
    let mut window = vec![0; WINDOW];
    for part in runs.iter().copied().flat_map(parts) {
        let bytes = &mut window[..(part.pages * PAGE) as usize];
        for (piece, address) in addresses(&regions, part) {
            let from = ((piece.first - part.first) * PAGE) as usize;
            process.read_exact_at(&mut bytes[from..from + (piece.pages * PAGE) as usize], address)?;
        }
        writer.add(part.first, bytes)?;
    }
    let written = writer.finish(memory.size.bytes() / PAGE)?;
    let pages = runs.iter().map(|run| run.pages).sum();
    Ok(SavedPages { bytes: written.bytes, digest: written.digest, pages, zero_pages: written.zero_pages })
}

/// A run in parts of one window at most.
fn parts(run: Run) -> impl Iterator<Item = Run> {
    let most = WINDOW as u64 / PAGE;
    let end = run.first + run.pages;
    (run.first..end).step_by(WINDOW / PAGE as usize).map(move |first| Run { first, pages: (end - first).min(most) })
}

/// Where these pages are: one address in most cases, more where the mappings' borders are between them.
pub(super) fn addresses(regions: &[Region], run: Run) -> impl Iterator<Item = (Run, u64)> {
    regions.iter().filter_map(move |region| {
        let first = run.first.max(region.page);
        let end = (run.first + run.pages).min(region.page + region.pages);
        let pages = end.checked_sub(first).filter(|pages| *pages > 0)?;
        Some((Run { first, pages }, region.address + (first - region.page) * PAGE))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_goes_in_parts_and_over_a_border() {
        let run = Run { first: 100, pages: 600 };
        let parts: Vec<(u64, u64)> = parts(run).map(|part| (part.first, part.pages)).collect();
        assert_eq!(parts, [(100, 256), (356, 256), (612, 88)]);
        let regions =
            [Region { page: 0, pages: 110, address: 0x10_0000 }, Region { page: 110, pages: 900, address: 0x90_0000 }];
        let found: Vec<(Run, u64)> = addresses(&regions, Run { first: 108, pages: 4 }).collect();
        let expected =
            [(Run { first: 108, pages: 2 }, 0x10_0000 + 108 * PAGE), (Run { first: 110, pages: 2 }, 0x90_0000)];
        assert_eq!(found, expected);
    }
}
