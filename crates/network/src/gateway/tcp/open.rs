//! The guest asks for a connection: judged, dialled, and only then answered.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use machine_core::network::RESOLVER;
use machine_core::policy::egress::{Condition, Decision, Protocol, Verdict};
use rustix::io::Errno;

use super::flow::{Asking, Ends, Far, Flow, HostEnd, Stage, Way};
use super::stack::endpoint;
use super::{End, Tcp, asking};
use crate::gatekeeper::Wanted;
use crate::gateway::around::Around;
use crate::gateway::host::{self, Progress};
use crate::gateway::reactor::{Interest, Source, Token};
use crate::gateway::slots::Key;
use crate::packet::{self, Reason};
use crate::refusals::{Refusal, Refused};

/// How long the guest may take to say that it heard our answer.
const GREETING: Duration = Duration::from_secs(30);
/// A SYN is headers; what would use it to carry data is not spoken here.
const LONGEST_SYN: usize = 512;
const DOMAIN: u16 = 53;

impl Tcp {
    pub(super) fn open(&mut self, around: &mut Around<'_>, ends: Ends, segment: &packet::Tcp<'_>) {
        if segment.ip.len() > LONGEST_SYN || !self.flows.has_room() {
            return self.refuse(around, segment);
        }
        if ends.other.ip() == IpAddr::V4(RESOLVER) {
            return if ends.other.port() == DOMAIN {
                self.open_resolver(around, ends, segment)
            } else {
                self.refuse(around, segment)
            };
        }
        let wanted = host::wanted(ends.other, Protocol::Tcp);
        let decision = around.keeper.judge(around.now, &wanted);
        match decision.verdict {
            Verdict::Allow => self.dial(around, ends, wanted, decision.condition, segment),
            Verdict::Deny => {
                tell(around, &wanted, decision, None);
                self.refuse(around, segment);
            }
        }
    }

    fn open_resolver(&mut self, around: &mut Around<'_>, ends: Ends, segment: &packet::Tcp<'_>) {
        let far = Far::Resolver(Asking::new(around.now + asking::IDLE));
        let way = Way::Out { wanted: host::wanted(ends.other, Protocol::Tcp), condition: Condition::None, name: None };
        let stage = Stage::Dialling { syn: segment.ip.into() };
        if let Some(key) = self.add(around, Flow::new(ends, way, stage, far)) {
            self.greet(around, key);
        }
    }

    fn dial(
        &mut self,
        around: &mut Around<'_>,
        ends: Ends,
        wanted: Wanted,
        condition: Condition,
        segment: &packet::Tcp<'_>,
    ) {
        let (socket, progress) = match host::dial(SocketAddr::new(wanted.address, wanted.port)) {
            Ok(dialled) => dialled,
            Err(error) => return self.unreachable(around, segment.ip, error),
        };
        let name = around.keeper.names_of(around.now, wanted.address).into_iter().next();
        let far = Far::Host(HostEnd::new(socket));
        let flow =
            Flow::new(ends, Way::Out { wanted, condition, name }, Stage::Dialling { syn: segment.ip.into() }, far);
        let Some(key) = self.add(around, flow) else { return };
        if !self.watch(around, key) {
            self.refuse(around, segment);
            return self.end(around, key, End::Reset);
        }
        match progress {
            Progress::Open => self.greet(around, key),
            Progress::Dialling => {}
        }
    }

    /// Is told of what happens at the host's end from now on.
    pub(super) fn watch(&mut self, around: &Around<'_>, key: Key) -> bool {
        let Some(Flow { far: Far::Host(host), .. }) = self.flows.get(key) else { return false };
        around.reactor.add(&host.socket, Token::new(Source::Tcp, key), Interest::CHANGES).is_ok()
    }

    /// The host's side is open, or not.
    pub(super) fn dialled(&mut self, around: &mut Around<'_>, key: Key) {
        let Some(Flow { far: Far::Host(host), stage: Stage::Dialling { syn }, .. }) = self.flows.get(key) else {
            return;
        };
        match host::outcome(&host.socket) {
            Ok(()) => self.greet(around, key),
            Err(error) => {
                let syn = syn.clone();
                self.unreachable(around, &syn, error);
                self.end(around, key, End::Clean);
            }
        }
    }

    /// The guest is answered.
    fn greet(&mut self, around: &mut Around<'_>, key: Key) {
        let Some(flow) = self.flows.get_mut(key) else { return };
        let Stage::Dialling { syn } = &flow.stage else { return };
        let syn = syn.clone();
        let Ok(mut line) = self.lines.lend() else {
            self.stack.refuse(around.now, &syn, around.outbox);
            return self.end(around, key, End::Reset);
        };
        // A closed socket listens at any port but 0, which the guest cannot have asked for.
        let _ = line.socket().listen(endpoint(flow.ends.other));
        self.stack.take(around.now, &mut line, &syn, around.outbox);
        flow.line = Some(line);
        self.enter(key, Stage::Greeting { until: around.now + GREETING });
        self.queue(key);
    }

    /// The guest is told as the host was.
    fn unreachable(&mut self, around: &mut Around<'_>, syn: &[u8], error: Errno) {
        match error {
            // It asks again until it has had enough, as without us.
            Errno::TIMEDOUT => {}
            Errno::NETUNREACH | Errno::HOSTUNREACH => {
                if let Err(reason) = packet::unreachable(around.outbox, syn, Reason::Host) {
                    around.drops.count(reason);
                }
            }
            _ => self.stack.refuse(around.now, syn, around.outbox),
        }
    }
}

/// Tells of a refusal.
pub(super) fn tell(
    around: &mut Around<'_>,
    wanted: &Wanted,
    decision: Decision,
    name: Option<machine_core::policy::egress::DomainName>,
) {
    let refusal = Refusal {
        rule: decision.rule,
        what: Refused::Tcp,
        address: Some(wanted.address),
        port: Some(wanted.port),
        name,
    };
    around.refusals.tell(around.now, refusal);
}
