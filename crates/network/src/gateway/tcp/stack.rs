//! smoltcp, as one connection at a time sees it: a packet of the guest goes in, packets to the guest come out
//! into the outbox, and there is a time when it wants to be asked again.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use machine_core::network::MTU;
use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::ConnectError;
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::{HardwareAddress, IpEndpoint, TcpSeqNumber};

use super::ahead::{Shown, acknowledged};
use super::lines::Line;
use crate::packet::Outbox;

/// The interface that all connections share.
pub(crate) struct Stack {
    interface: Interface,
    start: Instant,
    nobody: SocketSet<'static>,
}

/// What the interface is attached to, for one call.
struct Port<'a> {
    incoming: Option<&'a [u8]>,
    outbox: &'a mut Outbox,
    acknowledged: Option<TcpSeqNumber>,
}

struct Incoming<'a>(&'a [u8]);
struct Outgoing<'a> {
    outbox: &'a mut Outbox,
    acknowledged: &'a mut Option<TcpSeqNumber>,
}

/// The stack's clock begins here, so that no time of its is zero, which means "never" there.
const BEGINNING: Duration = Duration::from_secs(1);
/// What wants to be asked again at once, though it was asked just now, is asked after this.
const AGAIN: Duration = Duration::from_millis(10);

impl Stack {
    /// One whose sequence numbers begin where `seed` says.
    pub(crate) fn new(now: Instant, seed: u64, outbox: &mut Outbox) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut port = Port::new(None, outbox);
        let mut interface = Interface::new(config, &mut port, StackInstant::from_micros(0));
        interface.set_any_ip(true);
        Self { interface, start: now, nobody: SocketSet::new(Vec::new()) }
    }

    /// A packet of the guest's.
    pub(crate) fn take(&mut self, now: Instant, line: &mut Line, packet: &[u8], outbox: &mut Outbox) {
        let (sockets, handle, ahead) = line.parts();
        if ahead.before(sockets.get(handle), packet) == Shown::Whole {
            let answer = self.show(now, sockets, packet, outbox);
            let again = ahead.after(now, sockets.get(handle), packet);
            ahead.answered(answer);
            if !again {
                return;
            }
        }
        if let Some(bare) = ahead.bare(packet) {
            let answer = self.show(now, sockets, bare, outbox);
            ahead.answered(answer);
        }
    }

    /// What was acknowledged in answer to it, if anything.
    fn show(
        &mut self,
        now: Instant,
        sockets: &mut SocketSet<'static>,
        packet: &[u8],
        outbox: &mut Outbox,
    ) -> Option<TcpSeqNumber> {
        let now = self.at(now);
        let mut port = Port::new(Some(packet), outbox);
        self.interface.poll_ingress_single(now, &mut port, sockets);
        port.acknowledged
    }

    /// A packet of the guest's for nobody: it is answered with a reset.
    pub(crate) fn refuse(&mut self, now: Instant, packet: &[u8], outbox: &mut Outbox) {
        let now = self.at(now);
        self.interface.poll_ingress_single(now, &mut Port::new(Some(packet), outbox), &mut self.nobody);
    }

    /// One packet to the guest, if there is one and room for it.
    pub(crate) fn give(&mut self, now: Instant, line: &mut Line, outbox: &mut Outbox) -> bool {
        let now = self.at(now);
        let mut port = Port::new(None, outbox);
        let result = self.interface.poll_egress(now, &mut port, line.set());
        line.ahead().answered(port.acknowledged);
        match result {
            PollResult::SocketStateChanged => true,
            PollResult::None => false,
        }
    }

    /// When the line wants to be asked again although nothing came. Ask after all was given that could be.
    pub(crate) fn due(&mut self, now: Instant, line: &mut Line) -> Option<Instant> {
        let at = self.interface.poll_at(self.at(now), line.set())?;
        let since_start = Duration::from_micros(u64::try_from(at.total_micros()).unwrap_or(0));
        Some((self.start + since_start.saturating_sub(BEGINNING)).max(now + AGAIN))
    }

    /// Calls the guest.
    pub(crate) fn call(&mut self, line: &mut Line, guest: SocketAddr, us: SocketAddr) -> Result<(), ConnectError> {
        line.socket().connect(self.interface.context(), endpoint(guest), endpoint(us))
    }

    fn at(&self, now: Instant) -> StackInstant {
        let since = now.saturating_duration_since(self.start) + BEGINNING;
        StackInstant::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// As smoltcp writes it.
pub(super) fn endpoint(address: SocketAddr) -> IpEndpoint {
    match address.ip() {
        IpAddr::V4(ip) => IpEndpoint::new(ip.into(), address.port()),
        IpAddr::V6(ip) => IpEndpoint::new(ip.into(), address.port()),
    }
}

impl<'a> Port<'a> {
    fn new(incoming: Option<&'a [u8]>, outbox: &'a mut Outbox) -> Self {
        Self { incoming, outbox, acknowledged: None }
    }
}

impl Device for Port<'_> {
    type RxToken<'a>
        = Incoming<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Outgoing<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: StackInstant) -> Option<(Incoming<'_>, Outgoing<'_>)> {
        let Self { incoming, outbox, acknowledged } = self;
        Some((Incoming(incoming.take()?), Outgoing { outbox, acknowledged }))
    }

    fn transmit(&mut self, _: StackInstant) -> Option<Outgoing<'_>> {
        let Self { outbox, acknowledged, .. } = self;
        if outbox.has_room() { Some(Outgoing { outbox, acknowledged }) } else { None }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = usize::from(MTU);
        // The wire is memory: what comes in was not damaged on its way. What goes out is summed.
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities
    }
}

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, look: F) -> R {
        look(self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut write = Some(write);
        let mut put = |place: &mut [u8]| {
            let result = write.take().map(|write| write(place));
            *self.acknowledged = acknowledged(place).or(*self.acknowledged);
            result
        };
        match self.outbox.ip(length, |place| put(place)) {
            Ok(Some(result)) => result,
            // There was no room: an answer to a packet just taken is lost, as on any wire.
            Ok(None) | Err(_) => {
                put(&mut vec![0; length]).expect("a full outbox has not called the closure, which is called once")
            }
        }
    }
}
