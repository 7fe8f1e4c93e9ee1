//! Answers for a share that died: everything that the machine asked it, and asks it still, fails as "not connected".
//! Nobody else can: a machine's kernel waits for the answer to each request, also before it lets go of the device.
//!
//! ```text
//! answering what waits ──nothing left──▶ asleep ──kick──▶ answering what waits
//! ```
//! A share answers one request of a queue after the other, so what is not in the ring of used ones is unanswered.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use virtiofsd::descriptor_utils::{Reader, Writer};
use virtiofsd::fuse::{InHeader, Opcode, OutHeader};
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap, GuestRegionMmap};

use crate::will::{Place, Region, Will};

type Memory = GuestMemoryMmap<()>;

/// In the place of a dead share.
pub(crate) struct Mourner {
    memory: Memory,
    queues: Vec<Left>,
}

/// A queue that nobody serves.
struct Left {
    queue: Queue,
    kick: OwnedFd,
    call: OwnedFd,
}

impl Mourner {
    pub(crate) fn of(will: Will) -> io::Result<Self> {
        let Will { words, descriptors } = will;
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next().ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof));
        let mut regions = Vec::new();
        for region in &words.memory {
            regions.push(mapped(region, next()?)?);
        }
        let memory = Memory::from_regions(regions).map_err(io::Error::other)?;
        let mut queues = Vec::new();
        for place in &words.queues {
            let (kick, call) = (next()?, next()?);
            queues.push(Left { queue: queue(place, words.event_index, &memory)?, kick, call });
        }
        Ok(Self { memory, queues })
    }

    /// Answers what waits, and what comes until then; without an end, if there is none.
    pub(crate) fn mourn(mut self, until: Option<Instant>) {
        loop {
            let memory = &self.memory;
            // One whose machine broke its form only keeps that machine waiting.
            self.queues.retain_mut(|left| left.answer(memory).is_ok());
            let pause = until.map(|until| until.saturating_duration_since(Instant::now()));
            let pause = pause.map(|pause| Timespec::try_from(pause).unwrap_or_default());
            let mut kicks: Vec<_> = self.queues.iter().map(|left| PollFd::new(&left.kick, PollFlags::IN)).collect();
            let kicked = poll(&mut kicks, pause.as_ref());
            if kicks.is_empty() || !matches!(kicked, Ok(1..) | Err(Errno::INTR)) {
                return;
            }
        }
    }
}

impl Left {
    fn answer(&mut self, memory: &Memory) -> io::Result<()> {
        let mut kicks = [0; 8];
        match rustix::io::read(&self.kick, &mut kicks) {
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        loop {
            while let Some(chain) = self.queue.iter(memory).map_err(io::Error::other)?.next() {
                let head = chain.head_index();
                let answered = refuse(memory, chain).unwrap_or(0);
                self.queue.add_used(memory, head, answered).map_err(io::Error::other)?;
            }
            if !self.queue.enable_notification(memory).map_err(io::Error::other)? {
                break;
            }
        }
        // Also where there was nothing: who died may have answered, and said so to nobody.
        rustix::io::write(&self.call, &1_u64.to_ne_bytes())?;
        Ok(())
    }
}

type Chain<'a> = virtio_queue::DescriptorChain<&'a Memory>;

/// How many bytes were answered.
fn refuse(memory: &Memory, chain: Chain<'_>) -> io::Result<u32> {
    const LENGTH: u32 = size_of::<OutHeader>() as u32;
    let asked: InHeader = Reader::new(memory, chain.clone()).map_err(io::Error::other)?.read_obj()?;
    if [Opcode::Forget as u32, Opcode::BatchForget as u32].contains(&asked.opcode) {
        return Ok(0);
    }
    let refusal = OutHeader { len: LENGTH, error: -libc::ENOTCONN, unique: asked.unique };
    Writer::new(memory, chain).map_err(io::Error::other)?.write_obj(refusal)?;
    Ok(LENGTH)
}

fn mapped(region: &Region, file: OwnedFd) -> io::Result<GuestRegionMmap<()>> {
    let file = FileOffset::new(File::from(file), region.offset);
    let mapped = MmapRegionBuilder::new(region.length)
        .with_file_offset(file)
        .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
        .with_mmap_flags(libc::MAP_NORESERVE | libc::MAP_SHARED)
        .build()
        .map_err(io::Error::other)?;
    GuestRegionMmap::new(mapped, GuestAddress(region.at)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn queue(place: &Place, event_index: bool, memory: &Memory) -> io::Result<Queue> {
    let mut queue = Queue::new(place.size).map_err(io::Error::other)?;
    queue.set_size(place.size);
    queue.try_set_desc_table_address(GuestAddress(place.descriptors)).map_err(io::Error::other)?;
    queue.try_set_avail_ring_address(GuestAddress(place.available)).map_err(io::Error::other)?;
    queue.try_set_used_ring_address(GuestAddress(place.used)).map_err(io::Error::other)?;
    queue.set_event_idx(event_index);
    queue.set_ready(true);
    let answered = queue.used_idx(memory, Ordering::Acquire).map_err(io::Error::other)?.0;
    queue.set_next_avail(answered);
    queue.set_next_used(answered);
    if queue.is_valid(memory) { Ok(queue) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::will::Words;
    use rustix::event::{EventfdFlags, eventfd};
    use std::time::Duration;
    use vm_memory::Bytes;

    const PLACE: Place = Place { size: 8, descriptors: 0x1000, available: 0x2000, used: 0x3000 };
    const REQUESTS: u64 = 0x4000;
    const ANSWERS: u64 = 0x5000;

    /// A machine's memory with one queue, of which two requests were answered before the share died.
    struct Machine {
        memory: Memory,
        asked: u16,
    }

    impl Machine {
        fn new(file: &File) -> Self {
            file.set_len(0x10000).unwrap();
            let region = Region { at: 0, length: 0x10000, offset: 0 };
            let region = mapped(&region, file.try_clone().unwrap().into()).unwrap();
            let memory = Memory::from_regions(vec![region]).unwrap();
            memory.write_obj(2_u16, GuestAddress(PLACE.used + 2)).unwrap();
            Self { memory, asked: 2 }
        }

        /// What the machine's kernel writes when it asks: the request, and room for the answer.
        fn ask(&mut self, opcode: Opcode) {
            let (number, head) = (u64::from(self.asked), (self.asked * 2) % PLACE.size);
            let header = InHeader { opcode: opcode as u32, unique: number, ..InHeader::default() };
            self.memory.write_obj(header, GuestAddress(REQUESTS + number * 64)).unwrap();
            let descriptors = [(REQUESTS + number * 64, 40_u32, 1_u16, head + 1), (ANSWERS + number * 64, 16, 2, 0)];
            for (at, (address, length, flags, next)) in (u64::from(head)..).zip(descriptors) {
                let at = PLACE.descriptors + at * 16;
                self.memory.write_obj(address, GuestAddress(at)).unwrap();
                self.memory.write_obj(length, GuestAddress(at + 8)).unwrap();
                self.memory.write_obj(flags, GuestAddress(at + 12)).unwrap();
                self.memory.write_obj(next, GuestAddress(at + 14)).unwrap();
            }
            let slot = PLACE.available + 4 + u64::from(self.asked % PLACE.size) * 2;
            self.memory.write_obj(head, GuestAddress(slot)).unwrap();
            self.asked += 1;
            self.memory.write_obj(self.asked, GuestAddress(PLACE.available + 2)).unwrap();
        }

        fn used(&self) -> u16 {
            self.memory.read_obj(GuestAddress(PLACE.used + 2)).unwrap()
        }

        fn answer(&self, number: u64) -> OutHeader {
            self.memory.read_obj(GuestAddress(ANSWERS + number * 64)).unwrap()
        }
    }

    #[test]
    fn what_waits_and_what_comes_is_answered_once_as_not_connected() {
        let file = tempfile::tempfile().unwrap();
        let mut machine = Machine::new(&file);
        machine.ask(Opcode::Getattr);
        machine.ask(Opcode::Forget);
        let [kick, call] = [(); 2].map(|()| eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap());
        let words = Words {
            event_index: false,
            memory: vec![Region { at: 0, length: 0x10000, offset: 0 }],
            queues: vec![PLACE],
        };
        let kicked = kick.try_clone().unwrap();
        let descriptors = vec![file.into(), kick, call.try_clone().unwrap()];
        let mourner = Mourner::of(Will { words, descriptors }).unwrap();
        let end = Instant::now() + Duration::from_secs(1);
        let mourning = std::thread::spawn(move || mourner.mourn(Some(end)));
        let called = || poll(&mut [PollFd::new(&call, PollFlags::IN)], None).unwrap();
        called();
        rustix::io::read(&call, &mut [0; 8]).unwrap();
        assert_eq!(machine.used(), 4);
        let refused = machine.answer(2);
        assert_eq!((refused.len, refused.error, refused.unique), (16, -libc::ENOTCONN, 2));
        assert_eq!(machine.answer(3).len, 0, "who is told to forget says nothing");

        machine.ask(Opcode::Read);
        rustix::io::write(&kicked, &1_u64.to_ne_bytes()).unwrap();
        called();
        assert_eq!((machine.used(), machine.answer(4).error), (5, -libc::ENOTCONN));
        mourning.join().unwrap();
    }

    #[test]
    fn a_will_that_makes_no_sense_is_none() {
        let file = || tempfile::tempfile().unwrap().into();
        let will = |place: Place, descriptors| {
            let memory = vec![Region { at: 0, length: 0x1000, offset: 0 }];
            Will { words: Words { event_index: true, memory, queues: vec![place] }, descriptors }
        };
        assert!(Mourner::of(will(PLACE, vec![file(), file(), file()])).is_err(), "a queue outside the memory");
        assert!(Mourner::of(will(Place { size: 7, ..PLACE }, vec![file(), file(), file()])).is_err());
        assert!(Mourner::of(will(PLACE, vec![])).is_err());
    }
}
