//! The one task that owns the connection: carries bytes, hands requests to tasks, and their
//! words back to the host. Does none of the work itself.
//!
//! ```text
//! Waiting for a host ──door opens──▶ Carrying ──stream lost──▶ Waiting for a host
//! ```

use crate::door::{Door, Moved, Transport};
use crate::house::House;
use crate::line::{Inbound, Line, Outbound, Teller, What};
use machine_agent_protocol::{AgentConnection, AgentEvent, AgentFacts, Channel, ProtocolError, StreamId};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot, watch};

/// Words of tasks that wait for the desk.
const WORDS: usize = 32;

struct Waiting {
    bytes: Vec<u8>,
    sent: usize,
    taken: oneshot::Sender<()>,
}

pub(crate) struct Desk {
    connection: AgentConnection,
    house: House,
    boot_id: watch::Receiver<String>,
    session: u64,
    inboxes: HashMap<StreamId, mpsc::UnboundedSender<Inbound>>,
    /// Bytes that wait for credit.
    waiting: HashMap<(StreamId, Channel), VecDeque<Waiting>>,
    words: mpsc::Receiver<Outbound>,
    door_for_words: mpsc::Sender<Outbound>,
}

impl Desk {
    pub(crate) fn new(facts: AgentFacts, house: House) -> Self {
        let (door_for_words, words) = mpsc::channel(WORDS);
        let (inboxes, waiting) = (HashMap::new(), HashMap::new());
        let (connection, boot_id) = (AgentConnection::new(facts), house.life.boot_id());
        Self { connection, house, boot_id, session: 0, inboxes, waiting, words, door_for_words }
    }

    /// Serves one host after the other.
    pub(crate) async fn serve(mut self, door: Door) -> io::Result<()> {
        let mut door = door.open()?;
        crate::console::say(format_args!("ready"));
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let Some(mut transport) = self.wait_for_host(&mut door).await? else { return Ok(()) };
            while self.step(&mut transport, &mut chunk).await {}
            door.closed(transport);
            self.connection.hang_up();
            self.lose_streams();
        }
    }

    /// Detached work goes on, so its words are heard (and thrown away) meanwhile.
    async fn wait_for_host(&mut self, door: &mut crate::door::OpenDoor) -> io::Result<Option<Transport>> {
        let opening = door.wait();
        tokio::pin!(opening);
        loop {
            tokio::select! {
                opened = &mut opening => return opened,
                _ = self.words.recv() => {}
            }
        }
    }

    async fn step(&mut self, transport: &mut Transport, chunk: &mut [u8]) -> bool {
        self.send_waiting();
        tokio::select! {
            moved = transport.exchange(chunk, self.connection.output()) => match moved {
                Ok(Moved::Read(0)) | Err(_) => return false,
                Ok(Moved::Read(count)) => {
                    let arrived = Instant::now();
                    self.follow_boot_id();
                    self.connection.receive(&chunk[..count]);
                    self.take_events(arrived);
                }
                Ok(Moved::Wrote(count)) => self.connection.wrote(count),
            },
            word = self.words.recv() => {
                // All that is said by now travels in one write.
                let mut word = word;
                while let Some(said) = word {
                    self.word(said);
                    word = self.words.try_recv().ok();
                }
            }
        }
        true
    }

    /// Welcomes tell the boot id that waking gave.
    fn follow_boot_id(&mut self) {
        if self.boot_id.has_changed().unwrap_or(false) {
            let fresh = self.boot_id.borrow_and_update().clone();
            self.connection.set_boot_id(fresh);
        }
    }

    fn take_events(&mut self, arrived: Instant) {
        while let Some(event) = self.connection.next_event() {
            match event {
                AgentEvent::SessionStarted(_) => self.lose_streams(),
                AgentEvent::SessionLost(error) => {
                    match error {
                        // The next host took over: the way of things.
                        ProtocolError::SessionLost => {}
                        error => crate::console::say(format_args!("session lost: {error}")),
                    }
                    self.lose_streams();
                }
                AgentEvent::Request { stream, request } => {
                    let (sender, inbox) = mpsc::unbounded_channel();
                    self.inboxes.insert(stream, sender);
                    let (session, desk) = (self.session, self.door_for_words.clone());
                    let line = Line { teller: Teller { session, stream, desk }, inbox };
                    self.house.take(request, line, arrived);
                }
                AgentEvent::Control { stream, control } => self.tell(stream, Inbound::Control(control)),
                AgentEvent::Data { stream, channel: Channel::Content, bytes } => {
                    self.tell(stream, Inbound::Data(bytes));
                }
                // The host has nothing to say on these; its window there just never reopens.
                AgentEvent::Data { .. } => {}
                AgentEvent::End { stream, .. } => self.tell(stream, Inbound::End),
                AgentEvent::Reset { stream, .. } => self.forget(stream),
            }
        }
    }

    /// A task that does not listen any more has answered or will.
    fn tell(&self, stream: StreamId, what: Inbound) {
        if let Some(inbox) = self.inboxes.get(&stream) {
            inbox.send(what).unwrap_or_default();
        }
    }

    fn forget(&mut self, stream: StreamId) {
        self.inboxes.remove(&stream);
        self.waiting.retain(|(of, _), _| *of != stream);
    }

    fn lose_streams(&mut self) {
        self.session += 1;
        self.inboxes.clear();
        self.waiting.clear();
    }

    fn word(&mut self, word: Outbound) {
        let Outbound { session, stream, what } = word;
        if session != self.session {
            return;
        }
        // Words for a stream that the host has just closed are thrown away.
        match what {
            What::Answer(answer) => self.connection.answer(stream, &answer).unwrap_or_default(),
            What::Finish(answer) => {
                self.connection.finish(stream, &answer).unwrap_or_default();
                self.forget(stream);
            }
            What::Data { channel, bytes, taken } => {
                let queue = self.waiting.entry((stream, channel)).or_default();
                queue.push_back(Waiting { bytes, sent: 0, taken });
            }
            What::End(channel) => self.connection.end(stream, channel).unwrap_or_default(),
            What::Consumed(count) => self.connection.consume(stream, Channel::Content, count),
        }
    }

    fn send_waiting(&mut self) {
        let connection = &mut self.connection;
        self.waiting.retain(|(stream, channel), queue| {
            while let Some(mut front) = queue.pop_front() {
                match connection.send_data(*stream, *channel, &front.bytes[front.sent..]) {
                    // Dropping `taken` says Gone.
                    Err(_) => {}
                    Ok(count) => {
                        front.sent += count;
                        if front.sent < front.bytes.len() {
                            queue.push_front(front);
                            return true;
                        }
                        front.taken.send(()).unwrap_or_default();
                    }
                }
            }
            false
        });
    }
}
