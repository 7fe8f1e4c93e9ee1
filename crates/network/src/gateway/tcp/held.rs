//! A connection that is allowed on condition: the guest's first bytes stay here until they named a host that is
//! allowed. Nothing goes the other way, either.

use std::time::Duration;

use machine_core::policy::egress::{Condition, Decision, DomainName, Verdict};
use smoltcp::socket::tcp::Socket;

use super::Tcp;
use super::flow::{Flow, Stage, Way};
use super::open::tell;
use super::turn::Next;
use crate::gateway::around::Around;
use crate::gateway::slots::Key;
use crate::sniff::{MOST, Sniffer, Verdict as Sniffed};

/// How long the guest may take to name a host.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

impl Tcp {
    /// Looks at what came.
    pub(super) fn look(&mut self, around: &mut Around<'_>, key: Key) -> Next {
        let Some(flow) = self.flows.get_mut(key) else { return Next::On };
        let Stage::Held { sniffer, seen, until } = &mut flow.stage else { return Next::On };
        let (Some(line), Way::Out { wanted, .. }) = (&mut flow.line, &flow.way) else { return Next::Cut };
        let wanted = *wanted;
        let sniffed = if *until <= around.now {
            Sniffed::Refused("named no host in time")
        } else {
            sniff(line.socket(), sniffer, seen)
        };
        let (decision, name) = match sniffed {
            Sniffed::NeedMore => return Next::Wait,
            Sniffed::Name(name) => (around.keeper.judge_name(&wanted, Some(&name)), Some(name)),
            Sniffed::NoName => (around.keeper.judge_name(&wanted, None), None),
            Sniffed::Refused(why) => (refused(why), None),
        };
        match decision.verdict {
            Verdict::Allow => self.let_go(key, name),
            Verdict::Deny => {
                tell(around, &wanted, decision, name);
                Next::Cut
            }
        }
    }

    fn let_go(&mut self, key: Key, said: Option<DomainName>) -> Next {
        self.enter(key, Stage::Carrying);
        if let Some(Flow { way: Way::Out { name, .. }, .. }) = self.flows.get_mut(key)
            && said.is_some()
        {
            *name = said;
        }
        Next::On
    }
}

/// What the bytes in the ring say; they stay there. A ring that was never read holds them in one piece.
fn sniff(guest: &mut Socket<'_>, sniffer: &mut Sniffer, seen: &mut usize) -> Sniffed {
    let bytes = guest.peek(MOST).unwrap_or_default();
    let new = bytes.get(*seen..).unwrap_or_default();
    *seen = bytes.len();
    match sniffer.push(new) {
        Sniffed::NeedMore if is_over(guest) => sniffer.at_end(),
        verdict @ (Sniffed::NeedMore | Sniffed::Name(_) | Sniffed::NoName | Sniffed::Refused(_)) => verdict,
    }
}

/// Whether the guest says no more.
fn is_over(guest: &Socket<'_>) -> bool {
    use smoltcp::socket::tcp::State;
    !matches!(guest.state(), State::SynReceived | State::Established)
}

fn refused(why: &str) -> Decision {
    Decision { verdict: Verdict::Deny, rule: format!("names decide: {why}"), condition: Condition::None }
}
