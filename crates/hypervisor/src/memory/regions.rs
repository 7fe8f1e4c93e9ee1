//! Where a guest's memory is in its VMM's address space. The kernel may show one memory as several mappings that
//! follow each other.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};

use super::PAGE;
use crate::boot_plan::{Backing, Memory};
use crate::process::guest_memory::{Guest, Mapping};

/// A piece of the guest's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    /// Its first page, counted from the memory's beginning.
    pub(super) page: u64,
    /// Its pages.
    pub(super) pages: u64,
    /// Where the VMM has it.
    pub(super) address: u64,
}

/// The whole of it, in order.
pub(super) fn of(pid: u32, memory: &Memory) -> io::Result<Vec<Region>> {
    let guest = Guest::of(memory);
    let mut mappings = Vec::new();
    for line in BufReader::new(File::open(format!("/proc/{pid}/maps"))?).lines() {
        mappings.extend(Mapping::read(&line?).filter(|mapping| guest.is(mapping)));
    }
    let regions = placed(&mappings, memory);
    match covers(&regions, memory.size.bytes() / PAGE) {
        true => Ok(regions),
        false => Err(io::Error::other(format!("{} mappings look like the guest's memory", mappings.len()))),
    }
}

fn placed(mappings: &[Mapping], memory: &Memory) -> Vec<Region> {
    // A file's mappings say which part of it they show; memory of no file is one mapping, known by its size.
    let page = |mapping: &Mapping| match memory.backing {
        Backing::Anonymous | Backing::Shared => 0,
        Backing::Kept(_) | Backing::Image(_) => mapping.offset / PAGE,
    };
    let region =
        |mapping: &Mapping| Region { page: page(mapping), pages: mapping.size / PAGE, address: mapping.address };
    let mut regions: Vec<Region> = mappings.iter().map(region).collect();
    regions.sort_by_key(|region| region.page);
    regions
}

/// Whether they are the memory, each page once.
fn covers(regions: &[Region], pages: u64) -> bool {
    let mut next = 0;
    regions.iter().all(|region| {
        let follows = region.page == next;
        next = region.page + region.pages;
        follows
    }) && next == pages
}

#[cfg(test)]
mod tests {
    use machine_core::MiB;

    use super::*;

    fn mapping(address: u64, offset: u64, size: u64) -> Mapping {
        let line = format!("{address:x}-{:x} rw-p {offset:08x} 08:01 7      /ram", address + size);
        Mapping::read(&line).unwrap()
    }

    #[test]
    fn mappings_of_a_file_are_put_in_order_and_must_be_whole() {
        let memory = Memory { size: MiB(4), backing: Backing::Image("/ram".into()) };
        let half = 2 << 20;
        let both = placed(&[mapping(0x9000_0000, half, half), mapping(0x1000_0000, 0, half)], &memory);
        assert_eq!(both.iter().map(|region| region.page).collect::<Vec<_>>(), [0, 512]);
        assert!(covers(&both, 1024));
        assert!(!covers(&both[..1], 1024) && !covers(&both[1..], 1024) && !covers(&[], 1024));
        let twice = placed(&[mapping(0x9000_0000, 0, 2 * half), mapping(0x1000_0000, 0, 2 * half)], &memory);
        assert!(!covers(&twice, 1024), "two memories of one file");
    }

    #[test]
    fn our_own_mapping_of_a_file_is_found() {
        let memory = Memory { size: MiB(1), backing: Backing::Image("/nowhere/ram".into()) };
        let found = of(std::process::id(), &memory);
        assert!(found.is_err_and(|error| error.to_string().contains("0 mappings")));
    }
}
