//! What a VMM costs: read from the kernel's own accounts, where QEMU cannot embellish them.
//! One walk over the process's memory; blocks for a millisecond or a few.

use std::fs::File;
use std::io::{self, BufRead, BufReader};

use super::Vmm;
use super::guest_memory::{Guest, Mapping};
use super::identity::Stat;
use crate::boot_plan::Memory;

/// In bytes, unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VmmUsage {
    /// Memory that is present, shared or not.
    pub resident: u64,
    /// Memory that is its own and that the host cannot drop: pages of a file that it only read are not.
    pub private: u64,
    /// The guest's memory that is its own: what it changed since its image, or all that is present without
    /// one. Zero if the kernel's list does not show which memory is the guest's.
    pub guest_private: u64,
    /// The guest's memory that is present and its image's.
    pub guest_shared: u64,
    /// Processor time, in milliseconds.
    pub cpu_ms: u64,
}

/// What a VMM costs now. `memory` is that of its plan: by it the guest's memory is told from the VMM's own.
/// `NotFound`, if it has ended.
pub fn usage(vmm: &Vmm, memory: &Memory) -> io::Result<VmmUsage> {
    let process = vmm.record().vmm;
    let mut usage = VmmUsage::default();
    let guest = Guest::of(memory);
    for_each_mapping(File::open(format!("/proc/{}/smaps", process.pid))?, |mapping| {
        usage.resident += mapping.resident;
        usage.private += mapping.private;
        if guest.is(mapping) {
            let (private, shared) = guest.parts(mapping);
            usage.guest_private += private;
            usage.guest_shared += shared;
            usage.private += guest.served(mapping);
        }
    })?;
    // Looked at last: if it is still the same process now, it was while we read.
    let stat = Stat::read(process.pid)?;
    if stat.started != process.started {
        return Err(io::ErrorKind::NotFound.into());
    }
    usage.cpu_ms = stat.processor_ticks * 1000 / rustix::param::clock_ticks_per_second();
    Ok(usage)
}

fn for_each_mapping(smaps: impl io::Read, mut each: impl FnMut(&Mapping)) -> io::Result<()> {
    let mut lines = BufReader::with_capacity(64 << 10, smaps);
    let (mut line, mut mapping) = (Vec::new(), None);
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            mapping.iter().for_each(&mut each);
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line);
        match Mapping::read(&text) {
            Some(next) => mapping.replace(next).iter().for_each(&mut each),
            None => mapping.iter_mut().for_each(|mapping| mapping.take(&text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot_plan::Backing;
    use machine_core::MiB;

    const SMAPS: &str = "7f0000000000-7f0000400000 rw-p 00000000 08:01 77      /i/ram file (deleted)\n\
        Size:  4096 kB\nRss:  30 kB\nPrivate_Clean: 4 kB\nPrivate_Dirty: 8 kB\nAnonymous: 12 kB\nVmFlags: rd wr\n\
        7f0000400000-7f0000800000 rwxp 00000000 00:00 0 \nRss: 100 kB\nAnonymous: 100 kB\nPrivate_Dirty: 100 kB\n\
        7f0000800000-7f0000c00000 rw-p 00000000 00:00 0 \nRss: 7 kB\nAnonymous: 7 kB\nPrivate_Dirty: 7 kB\n";

    fn guest(backing: Backing, inode: Option<u64>) -> Vec<(u64, u64)> {
        let memory = Memory { size: MiB(4), backing };
        let mut guest = Guest::of(&memory);
        guest.inode = inode;
        let mut found = Vec::new();
        for_each_mapping(SMAPS.as_bytes(), |mapping| {
            if guest.is(mapping) {
                found.push(guest.parts(mapping));
            }
        })
        .unwrap();
        found
    }

    #[test]
    fn what_a_guest_changed_is_told_from_its_image() {
        assert_eq!(guest(Backing::Image("/i/ram file".into()), None), [(12 << 10, 18 << 10)]);
        assert_eq!(guest(Backing::Image("/elsewhere".into()), Some(77)), [(12 << 10, 18 << 10)]);
        assert_eq!(guest(Backing::Image("/elsewhere".into()), Some(78)), []);
        assert_eq!(guest(Backing::Kept("/i/ram file".into()), None), [(30 << 10, 0)]);
    }

    #[test]
    fn memory_that_others_map_too_is_still_the_guests_alone() {
        let smaps = "7f0000000000-7f0000400000 rw-s 00000000 00:01 5      /memfd:memory-backend-memfd (deleted)\n\
            Rss: 30 kB\nShared_Dirty: 22 kB\nPrivate_Dirty: 8 kB\nAnonymous: 0 kB\n";
        let memory = Memory { size: MiB(4), backing: Backing::Shared };
        let guest = Guest::of(&memory);
        let mut found = Vec::new();
        for_each_mapping(smaps.as_bytes(), |mapping| {
            found.push((guest.is(mapping), guest.parts(mapping), mapping.private + guest.served(mapping)));
        })
        .unwrap();
        assert_eq!(found, [(true, (30 << 10, 0), 30 << 10)]);
        let other = Memory { size: MiB(8), backing: Backing::Shared };
        for_each_mapping(smaps.as_bytes(), |mapping| assert!(!Guest::of(&other).is(mapping))).unwrap();
    }

    #[test]
    fn nameless_guest_memory_is_known_by_its_size_and_is_not_code() {
        assert_eq!(guest(Backing::Anonymous, None), [(7 << 10, 0)]);
    }
}
