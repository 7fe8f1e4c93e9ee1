//! Which pages of a mapping are its process's own, told by the kernel's page map: present or swapped, and not a
//! file's. What was only read is a file's still.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::PAGE;
use super::pages_file::Run;
use super::regions::Region;

const ENTRY: usize = 8;
/// Entries that are read at a time.
const WINDOW: usize = 64 << 10;
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_A_FILE: u64 = 1 << 61;

/// The pages of these regions that are the process's own, as runs in order.
pub(super) fn own(pid: u32, regions: &[Region]) -> io::Result<Vec<Run>> {
    let map = File::open(format!("/proc/{pid}/pagemap"))?;
    let mut runs = Runs::default();
    let mut window = vec![0; WINDOW * ENTRY];
    for region in regions {
        let mut done = 0;
        while done < region.pages {
            let pages = usize::try_from(region.pages - done).unwrap_or(WINDOW).min(WINDOW);
            let bytes = &mut window[..pages * ENTRY];
            map.read_exact_at(bytes, (region.address / PAGE + done) * ENTRY as u64)?;
            for (entry, page) in bytes.chunks_exact(ENTRY).zip(region.page + done..) {
                if is_own(u64::from_ne_bytes(entry.try_into().unwrap_or_default())) {
                    runs.add(page);
                }
            }
            done += pages as u64;
        }
    }
    Ok(runs.0)
}

fn is_own(entry: u64) -> bool {
    entry & (PRESENT | SWAPPED) != 0 && entry & OF_A_FILE == 0
}

#[derive(Default)]
struct Runs(Vec<Run>);

impl Runs {
    fn add(&mut self, page: u64) {
        match self.0.last_mut() {
            Some(last) if last.first + last.pages == page => last.pages += 1,
            Some(_) | None => self.0.push(Run { first: page, pages: 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_is_what_is_present_or_swapped_and_no_files() {
        for (entry, own) in
            [(0, false), (PRESENT, true), (SWAPPED, true), (PRESENT | OF_A_FILE, false), (OF_A_FILE, false)]
        {
            assert_eq!(is_own(entry), own, "{entry:x}");
        }
    }

    #[test]
    fn pages_that_follow_each_other_are_one_run() {
        let mut runs = Runs::default();
        [3, 4, 5, 9, 11, 12].into_iter().for_each(|page| runs.add(page));
        let runs: Vec<(u64, u64)> = runs.0.iter().map(|run| (run.first, run.pages)).collect();
        assert_eq!(runs, [(3, 3), (9, 1), (11, 2)]);
    }
}
