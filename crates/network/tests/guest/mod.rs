//! A guest for tests: real TCP, by smoltcp, over the wire that a VMM would have. Sockets are in several sets,
//! since smoltcp looks at all of a set for each packet.

use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, HardwareAddress, IpAddress, IpCidr, IpEndpoint, IpProtocol,
    Ipv4Packet, TcpPacket,
};

/// The guest's card.
pub const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
/// The gateway's card.
pub const GATEWAY_MAC: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];
/// The host's loopback, as a guest sees it.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The resolver.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// The guest.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(60);

const IN_A_SET: u16 = 64;
const FIRST_PORT: u16 = 10_000;

/// A guest.
pub struct Guest {
    interface: Interface,
    wire: Wire,
    sets: Vec<SocketSet<'static>>,
    dirty: BTreeSet<usize>,
    swept: Instant,
    start: Instant,
    next: u16,
}

/// A connection of the guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conn {
    set: usize,
    handle: SocketHandle,
}

struct Wire {
    socket: OwnedFd,
    came: VecDeque<Vec<u8>>,
    /// Frames that a test wants to see for itself.
    watched: Option<Vec<Vec<u8>>>,
    closed: bool,
}

impl Guest {
    /// One at the end of this wire.
    pub fn new(socket: OwnedFd) -> Self {
        let mut wire = Wire { socket, came: VecDeque::new(), watched: None, closed: false };
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(MAC)));
        config.random_seed = 7;
        let mut interface = Interface::new(config, &mut wire, StackInstant::from_millis(0));
        interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(IpAddress::Ipv4(GUEST), 24)).unwrap());
        interface.routes_mut().add_default_ipv4_route(HOST).unwrap();
        let now = Instant::now();
        Self { interface, wire, sets: Vec::new(), dirty: BTreeSet::new(), swept: now, start: now, next: 0 }
    }

    /// Gives the wire up: the gateway sees its VMM go.
    pub fn unplug(self) -> OwnedFd {
        self.wire.socket
    }

    /// Another gateway is at the other end, or will be: the guest itself goes on.
    pub fn replug(&mut self, socket: OwnedFd) {
        self.wire.socket = socket;
        self.wire.closed = false;
    }

    /// Begins a connection.
    pub fn connect(&mut self, to: SocketAddrV4, room: usize) -> Conn {
        let (conn, port) = self.add(room);
        let now = self.at();
        self.interface.poll_maintenance(now);
        let socket = self.sets[conn.set].get_mut::<Socket<'_>>(conn.handle);
        let remote = IpEndpoint::new(IpAddress::Ipv4(*to.ip()), to.port());
        socket.connect(self.interface.context(), remote, port).unwrap();
        conn
    }

    /// Listens for one connection.
    pub fn listen(&mut self, port: u16, room: usize) -> Conn {
        let (conn, _) = self.add(room);
        self.socket(conn).listen(port).unwrap();
        conn
    }

    fn add(&mut self, room: usize) -> (Conn, u16) {
        let number = self.next;
        self.next += 1;
        let set = usize::from(number / IN_A_SET);
        if set == self.sets.len() {
            self.sets.push(SocketSet::new(Vec::new()));
        }
        let mut socket = Socket::new(SocketBuffer::new(vec![0; room]), SocketBuffer::new(vec![0; room]));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let handle = self.sets[set].add(socket);
        self.dirty.insert(set);
        (Conn { set, handle }, FIRST_PORT + number)
    }

    /// The connection's socket.
    pub fn socket(&mut self, conn: Conn) -> &mut Socket<'static> {
        self.dirty.insert(conn.set);
        self.sets[conn.set].get_mut(conn.handle)
    }

    /// How far it is.
    pub fn state(&self, conn: Conn) -> State {
        self.sets[conn.set].get::<Socket<'_>>(conn.handle).state()
    }

    /// Takes and gives what is there, once.
    pub fn turn(&mut self) {
        self.wire.take();
        while let Some(frame) = self.wire.came.front() {
            let sets = sets_of(frame, self.sets.len());
            let now = self.at();
            let mut empty = SocketSet::new(Vec::new());
            let set = match sets {
                Some(set) => {
                    self.dirty.insert(set);
                    &mut self.sets[set]
                }
                // A listener may be in any set: those are asked in turn, by hand.
                None => match listening(&mut self.sets, frame) {
                    Some(set) => {
                        self.dirty.insert(set);
                        &mut self.sets[set]
                    }
                    None => &mut empty,
                },
            };
            match self.interface.poll_ingress_single(now, &mut self.wire, set) {
                PollIngressSingleResult::None => break,
                PollIngressSingleResult::PacketProcessed | PollIngressSingleResult::SocketStateChanged => {}
            }
        }
        if self.swept.elapsed() > Duration::from_millis(200) {
            self.swept = Instant::now();
            self.dirty.extend(0..self.sets.len());
        }
        let now = self.at();
        for set in std::mem::take(&mut self.dirty) {
            while matches!(
                self.interface.poll_egress(now, &mut self.wire, &mut self.sets[set]),
                smoltcp::iface::PollResult::SocketStateChanged
            ) {}
        }
    }

    /// Takes what is there and answers none of it.
    pub fn turn_deaf(&mut self) {
        self.wire.take();
        self.wire.came.clear();
    }

    /// Goes on until it is so.
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + LONG;
        loop {
            self.turn();
            if is_so(self) {
                return;
            }
            assert!(Instant::now() < end, "waited in vain for {what}");
            if self.dirty.is_empty() {
                self.wait(Duration::from_millis(20));
            }
        }
    }

    /// Waits for the wire, for at most so long.
    pub fn wait(&mut self, most: Duration) {
        if self.wire.closed {
            return;
        }
        let timeout = Timespec { tv_sec: most.as_secs() as i64, tv_nsec: i64::from(most.subsec_nanos()) };
        let _ = poll(&mut [PollFd::new(&self.wire.socket, PollFlags::IN)], Some(&timeout));
    }

    /// Sends all of it, and reads as much as comes meanwhile.
    pub fn send(&mut self, conn: Conn, bytes: &[u8]) {
        let mut rest = bytes;
        self.until("all bytes to be sent", |guest| {
            let sent = guest.socket(conn).send_slice(rest).unwrap();
            rest = &rest[sent..];
            rest.is_empty()
        });
    }

    /// Reads so many bytes.
    pub fn read(&mut self, conn: Conn, length: usize) -> Vec<u8> {
        let mut got = Vec::new();
        self.until("bytes to come", |guest| {
            while got.len() < length && guest.socket(conn).can_recv() {
                let most = length - got.len();
                guest
                    .socket(conn)
                    .recv(|bytes| {
                        let some = &bytes[..bytes.len().min(most)];
                        got.extend_from_slice(some);
                        (some.len(), ())
                    })
                    .unwrap();
            }
            got.len() == length
        });
        got
    }

    /// Waits for a connection to be there.
    pub fn established(&mut self, conn: Conn) {
        self.until("a connection", |guest| guest.socket(conn).may_send());
    }

    /// Waits for a connection to be reset.
    pub fn gone(&mut self, conn: Conn) {
        self.until("a connection to end", |guest| guest.state(conn) == State::Closed);
    }

    /// Puts a frame on the wire as it is.
    pub fn raw(&mut self, frame: &[u8]) {
        self.wire.put(frame);
    }

    /// Puts a packet on the wire that may be no frame.
    pub fn packet(&mut self, packet: &[u8]) {
        self.wire.put_packet(packet);
    }

    /// From now on, frames that come are kept for the test.
    pub fn watch(&mut self) {
        self.wire.watched = Some(Vec::new());
    }

    /// Frames that came since.
    pub fn watched(&mut self) -> Vec<Vec<u8>> {
        self.wire.watched.replace(Vec::new()).unwrap_or_default()
    }

    /// Whether the gateway is gone.
    pub fn is_unplugged(&self) -> bool {
        self.wire.closed
    }

    fn at(&self) -> StackInstant {
        StackInstant::from_micros(self.start.elapsed().as_micros() as i64 + 1)
    }
}

/// The segment in a frame.
pub fn tcp_of(frame: &[u8]) -> Option<TcpPacket<&[u8]>> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let ip = Ipv4Packet::new_checked(frame.payload()).ok()?;
    let is_tcp = frame.ethertype() == EthernetProtocol::Ipv4 && ip.next_header() == IpProtocol::Tcp;
    is_tcp.then(|| TcpPacket::new_checked(ip.payload()).ok()).flatten()
}

fn sets_of(frame: &[u8], sets: usize) -> Option<usize> {
    let port = tcp_of(frame)?.dst_port();
    let set = usize::from(port.checked_sub(FIRST_PORT)? / IN_A_SET);
    (set < sets).then_some(set)
}

fn listening(sets: &mut [SocketSet<'static>], frame: &[u8]) -> Option<usize> {
    let port = tcp_of(frame)?.dst_port();
    let has = |set: &SocketSet<'static>| {
        set.iter().any(|(_, socket)| {
            let smoltcp::socket::Socket::Tcp(socket) = socket;
            socket.local_endpoint().map_or(socket.listen_endpoint().port, |end| end.port) == port
                && socket.state() != State::Closed
        })
    };
    sets.iter().position(has)
}

impl Wire {
    fn take(&mut self) {
        let mut buffer = vec![0; 70_000];
        while self.came.len() < 256 {
            match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => {
                    self.closed = true;
                    return;
                }
                Ok((_, length)) => self.cut(&buffer[..length]),
                Err(_) => return,
            }
        }
    }

    fn cut(&mut self, mut packet: &[u8]) {
        while let Some((length, rest)) = packet.split_first_chunk::<4>() {
            let (frame, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
            if let Some(watched) = &mut self.watched {
                watched.push(frame.to_vec());
            }
            self.came.push_back(frame.to_vec());
            packet = rest;
        }
        assert!(packet.is_empty(), "the gateway sends whole frames");
    }

    fn put(&mut self, frame: &[u8]) {
        let length = u32::try_from(frame.len()).unwrap().to_be_bytes();
        self.put_packet(&[&length[..], frame].concat());
    }

    /// Waits for room: a guest's card does, too. What comes meanwhile is taken.
    fn put_packet(&mut self, packet: &[u8]) {
        let end = Instant::now() + LONG;
        loop {
            match send(&self.socket, packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) => return,
                Err(Errno::AGAIN) => {
                    assert!(Instant::now() < end, "the gateway takes no frame");
                    self.take();
                    let room = PollFd::new(&self.socket, PollFlags::OUT);
                    let _ = poll(&mut [room], Some(&Timespec { tv_sec: 0, tv_nsec: 1_000_000 }));
                }
                Err(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }
}

struct Frame(Vec<u8>);
struct Slot<'a>(&'a mut Wire);

impl Device for Wire {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Slot<'a>;
    fn receive(&mut self, _: StackInstant) -> Option<(Frame, Slot<'_>)> {
        let frame = self.came.pop_front()?;
        Some((Frame(frame), Slot(self)))
    }
    fn transmit(&mut self, _: StackInstant) -> Option<Slot<'_>> {
        Some(Slot(self))
    }
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 14 + 65_520;
        capabilities
    }
}

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, look: F) -> R {
        look(&self.0)
    }
}

impl TxToken for Slot<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        self.0.put(&frame);
        result
    }
}

/// Where `host.machine.internal` answers for a port of the host's loopback.
pub fn host(address: SocketAddr) -> SocketAddrV4 {
    SocketAddrV4::new(HOST, address.port())
}
