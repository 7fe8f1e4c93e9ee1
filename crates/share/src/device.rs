//! The virtio-fs device: takes the machine's messages from its queues, has them answered, and gives them back.
//! What they mean is `folder`'s; their form is virtiofsd's, but for the greeting, which is in `greeting`.
//!
//! ```text
//! asleep ──kick──▶ serving ──queue empty──▶ lingering ──nothing came──▶ asleep
//!                     ▲───────────a request came───────────┘
//! ```
//! A machine that breaks the form of messages gets no answer: only itself waits for it.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use vhost::vhost_user::message::{
    VhostTransferStateDirection, VhostTransferStatePhase, VhostUserProtocolFeatures, VhostUserVirtioFeatures,
};
use vhost_user_backend::bitmap::BitmapMmapRegion;
use vhost_user_backend::{VhostUserBackend, VringMutex, VringState, VringT};
use virtio_bindings::bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::{DescriptorChain, QueueOwnedT, QueueT};
use virtiofsd::descriptor_utils::{Reader, Writer};
use virtiofsd::server::Server;
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryLoadGuard, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

use crate::estate::{self, Mark};
use crate::folder::{Answering, SharedFolder};
use crate::greeting;
use crate::plan::Cache;
use crate::slept;
use crate::will::Strongbox;

/// One queue for what is urgent (forgetting), one for requests.
const QUEUES: usize = 2;
const QUEUE_SIZE: usize = 1024;

type Memory = GuestMemoryMmap<BitmapMmapRegion>;
type MemoryNow = GuestMemoryLoadGuard<Memory>;
type Chain = DescriptorChain<MemoryNow>;
type Queue = VringState<GuestMemoryAtomic<Memory>>;

/// What the VMM set up.
#[derive(Default)]
struct Set {
    memory: Option<GuestMemoryAtomic<Memory>>,
    event_index: bool,
}

/// The device of one machine.
pub(crate) struct Device {
    folder: Arc<SharedFolder>,
    server: Server<Answering>,
    handing: Mutex<Option<JoinHandle<io::Result<()>>>>,
    cache: Cache,
    set: RwLock<Set>,
    strongbox: Option<Arc<Strongbox>>,
    /// What was bequeathed last.
    bequeathed: Mutex<Option<Mark>>,
}

impl Device {
    pub(crate) fn new(folder: SharedFolder, cache: Cache, strongbox: Option<Arc<Strongbox>>) -> Self {
        let folder = Arc::new(folder);
        let server = Server::new(Answering(Arc::clone(&folder)));
        let (handing, set, bequeathed) = (Mutex::default(), RwLock::default(), Mutex::default());
        Self { folder, server, handing, cache, set, strongbox, bequeathed }
    }

    /// Before the first request is answered, and whenever the VMM changed something.
    fn bequeath(&self, queues: &[VringMutex<GuestMemoryAtomic<Memory>>]) {
        let Some(strongbox) = &self.strongbox else { return };
        let queues: Vec<_> = queues.iter().map(VringT::get_ref).collect();
        let mark = estate::mark(queues.iter().map(|queue| &**queue));
        let mut bequeathed = self.bequeathed.lock().unwrap_or_else(PoisonError::into_inner);
        if bequeathed.as_ref() == Some(&mark) {
            return;
        }
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        let Some(memory) = &set.memory else { return };
        let queues = queues.iter().map(|queue| &**queue);
        if let Err(error) = estate::bequeath(strongbox, &memory.memory(), queues, set.event_index) {
            eprintln!("machine share: nobody could answer in our place: {error}");
        }
        *bequeathed = Some(mark);
    }

    fn serve(&self, queue: &mut Queue) -> io::Result<()> {
        let (memory, event_index) = {
            let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
            (set.memory.clone().ok_or(io::ErrorKind::NotConnected)?, set.event_index)
        };
        loop {
            queue.disable_notification().map_err(io::Error::other)?;
            self.serve_while_busy(queue, &memory, event_index)?;
            if !queue.enable_notification().map_err(io::Error::other)? {
                return Ok(());
            }
        }
    }

    fn serve_while_busy(
        &self,
        queue: &mut Queue,
        memory: &GuestMemoryAtomic<Memory>,
        event_index: bool,
    ) -> io::Result<()> {
        let linger = Duration::from_micros(self.cache.linger_us);
        let mut since = Instant::now();
        loop {
            let next = queue.get_queue_mut().iter(memory.memory()).map_err(io::Error::other)?.next();
            if let Some(chain) = next {
                self.give_back(queue, chain, event_index)?;
                since = Instant::now();
            } else if linger.is_zero() || since.elapsed() > linger {
                return Ok(());
            }
            std::hint::spin_loop();
        }
    }

    fn give_back(&self, queue: &mut Queue, chain: Chain, event_index: bool) -> io::Result<()> {
        let head = chain.head_index();
        let length = self.answer(chain).unwrap_or(0);
        queue.add_used(head, u32::try_from(length).unwrap_or(0)).map_err(io::Error::other)?;
        if !event_index || queue.needs_notification().unwrap_or(true) {
            queue.signal_used_queue()?;
        }
        Ok(())
    }

    /// How many bytes were written into the chain; `None` where there is nothing to answer to.
    fn answer(&self, chain: Chain) -> Option<usize> {
        let memory = chain.memory().clone();
        let reader = Reader::new(&memory, chain.clone()).ok()?;
        let writer = Writer::new(&memory, chain.clone()).ok()?;
        if greeting::is_one(Reader::new(&memory, chain).ok()?) {
            self.server.destroy();
            return greeting::answer(reader, writer, self.cache.writes).ok();
        }
        self.server.handle_message(reader, writer, None::<&mut ()>).ok()
    }
}

impl VhostUserBackend for Device {
    type Bitmap = BitmapMmapRegion;
    type Vring = VringMutex<GuestMemoryAtomic<Memory>>;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE
    }

    fn features(&self) -> u64 {
        1 << VIRTIO_F_VERSION_1
            | 1 << VIRTIO_RING_F_INDIRECT_DESC
            | 1 << VIRTIO_RING_F_EVENT_IDX
            | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
            | VhostUserVirtioFeatures::LOG_ALL.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS
            | VhostUserProtocolFeatures::RESET_DEVICE
            | VhostUserProtocolFeatures::LOG_SHMFD
            | VhostUserProtocolFeatures::DEVICE_STATE
    }

    fn reset_device(&self) {
        self.server.destroy();
    }

    fn set_event_idx(&self, enabled: bool) {
        self.set.write().unwrap_or_else(PoisonError::into_inner).event_index = enabled;
    }

    fn update_memory(&self, memory: GuestMemoryAtomic<Memory>) -> io::Result<()> {
        self.set.write().unwrap_or_else(PoisonError::into_inner).memory = Some(memory);
        *self.bequeathed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    fn handle_event(&self, queue: u16, events: EventSet, queues: &[Self::Vring], _: usize) -> io::Result<()> {
        self.bequeath(queues);
        match queues.get(usize::from(queue)) {
            Some(queue) if events == EventSet::IN => {
                let mut queue = queue.get_mut();
                // Stopped since it was kicked: whoever starts it is kicked, too.
                if queue.get_queue().ready() { self.serve(&mut queue) } else { Ok(()) }
            }
            Some(_) | None => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn set_device_state_fd(
        &self,
        direction: VhostTransferStateDirection,
        phase: VhostTransferStatePhase,
        pipe: File,
    ) -> io::Result<Option<File>> {
        if phase != VhostTransferStatePhase::STOPPED {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let (folder, since) = (Arc::clone(&self.folder), slept::since());
        // On a thread: the VMM reads or writes the other end only after our answer.
        let handing = std::thread::Builder::new().name("state".to_owned()).spawn(move || match direction {
            VhostTransferStateDirection::SAVE => folder.save(pipe, since),
            VhostTransferStateDirection::LOAD => folder.load(pipe),
        })?;
        *self.handing.lock().unwrap_or_else(PoisonError::into_inner) = Some(handing);
        Ok(None)
    }

    fn check_device_state(&self) -> io::Result<()> {
        let handing = self.handing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = handing.ok_or(io::ErrorKind::InvalidInput)?.join();
        let ended = ended.unwrap_or_else(|_| Err(io::Error::other("the thread that hands the state over died")));
        // The VMM does not say why.
        ended.inspect_err(|error| eprintln!("machine share: cannot hand the state over: {error}"))
    }

    fn exit_event(&self, _: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK).ok()
    }
}
