//! Other rules: what is open is judged again by them, as it was when it was opened.

use machine_core::policy::egress::{Condition, Verdict};

use super::flow::{Flow, Stage, Way};
use super::open::tell;
use super::{End, Tcp};
use crate::gateway::around::Around;
use crate::gateway::slots::Key;

impl Tcp {
    /// Resets what may be no longer. While nothing is allowed, that is everything.
    pub(crate) fn judge_again(&mut self, around: &mut Around<'_>) {
        let keys: Vec<Key> = self.flows.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(flow) = self.flows.get(key) else { continue };
            if may_stay(around, flow) {
                continue;
            }
            match flow.stage {
                Stage::Dialling { .. } => self.end(around, key, End::Reset),
                Stage::Greeting { .. }
                | Stage::Calling { .. }
                | Stage::Held { .. }
                | Stage::Carrying
                | Stage::Draining
                | Stage::Cutting => {
                    self.abort(key);
                    self.queue(key);
                }
            }
        }
    }
}

/// A name that was good when it was opened counts as long as it is: its answer's lifetime does not.
fn may_stay(around: &mut Around<'_>, flow: &Flow) -> bool {
    let (wanted, name) = match &flow.way {
        Way::In { .. } => return !around.keeper.is_closed(),
        Way::Out { wanted, .. } if wanted.address == std::net::IpAddr::V4(machine_core::network::RESOLVER) => {
            return true;
        }
        Way::Out { wanted, name, .. } => (*wanted, name),
    };
    let decision = around.keeper.judge_as(around.now, &wanted, name.as_ref());
    let decision = match (decision.verdict, decision.condition, &flow.stage) {
        (Verdict::Allow, Condition::Name, Stage::Carrying | Stage::Draining) => {
            around.keeper.judge_name(&wanted, name.as_ref())
        }
        (Verdict::Allow | Verdict::Deny, Condition::Name | Condition::None, _) => decision,
    };
    match decision.verdict {
        Verdict::Allow => true,
        Verdict::Deny => {
            tell(around, &wanted, decision, name.clone());
            false
        }
    }
}
