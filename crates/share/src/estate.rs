//! What a device has that its successor would need, gathered for the will: where its queues are, by which
//! descriptors they are kicked and called, and the machine's memory.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use vhost_user_backend::VringState;
use vhost_user_backend::bitmap::BitmapMmapRegion;
use virtio_queue::QueueT;
use vm_memory::{Address, GuestMemory, GuestMemoryAtomic, GuestMemoryMmap, GuestMemoryRegion};

use crate::sys;
use crate::will::{Place, Region, Strongbox, Words};

type Memory = GuestMemoryMmap<BitmapMmapRegion>;
type Queue = VringState<GuestMemoryAtomic<Memory>>;

/// What tells one set of queues from another.
pub(crate) type Mark = Vec<(Option<RawFd>, Option<RawFd>, u64)>;

/// Changes when the VMM sets queues up anew.
pub(crate) fn mark<'a>(queues: impl Iterator<Item = &'a Queue>) -> Mark {
    let of = |queue: &Queue| {
        let kick = queue.get_kick().as_ref().map(AsRawFd::as_raw_fd);
        (kick, queue.get_call().as_ref().map(AsRawFd::as_raw_fd), queue.get_queue().desc_table())
    };
    queues.map(of).collect()
}

/// Puts it where a successor looks.
pub(crate) fn bequeath<'a>(
    strongbox: &Strongbox,
    memory: &Memory,
    queues: impl Iterator<Item = &'a Queue>,
    event_index: bool,
) -> io::Result<()> {
    let mut words = Words { event_index, memory: Vec::new(), queues: Vec::new() };
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for region in memory.iter() {
        let file = region.file_offset().ok_or(io::ErrorKind::Unsupported)?;
        let length = usize::try_from(region.len()).map_err(io::Error::other)?;
        words.memory.push(Region { at: region.start_addr().raw_value(), length, offset: file.start() });
        descriptors.push(file.file().as_fd().try_clone_to_owned()?);
    }
    for queue in queues {
        // One that the machine does not use has nobody waiting.
        let (Some(kick), Some(call)) = (queue.get_kick(), queue.get_call()) else { continue };
        descriptors.extend([sys::copy(kick)?, sys::copy(call)?]);
        let queue = queue.get_queue();
        words.queues.push(Place {
            size: queue.size(),
            descriptors: queue.desc_table(),
            available: queue.avail_ring(),
            used: queue.used_ring(),
        });
    }
    let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    strongbox.put(&words, &descriptors)
}
