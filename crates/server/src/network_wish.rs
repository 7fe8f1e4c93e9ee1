//! A network as it came over the wire becomes what the engine takes. All that is wrong is told at once, each by
//! its field; what the contract knows and we do not do yet is refused by name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr as _;

use machine_api::network::{EgressMode, EgressWish, ForwardParts, ForwardWish, NetworkWish};
use machine_core::Refusal;
use machine_core::network::{Forward, NetworkMode, NetworkSpec, Transport};
use machine_core::policy::egress::{EgressPolicy, Entry, Peer, Verdict};
use machine_engine::EgressChange;

use crate::refused::{invalid, later};

/// What is wrong with a wish.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn say(&mut self, at: &str, what: impl std::fmt::Display) {
        self.0.push(format!("{at}: {what}"));
    }

    fn or<T>(self, good: T) -> Result<T, Refusal> {
        if self.0.is_empty() { Ok(good) } else { Err(invalid(self.0.join("; "))) }
    }
}

/// Reads the `network` and the `internet_access` of a create.
pub(crate) fn network(wish: Option<NetworkWish>, internet_access: Option<bool>) -> Result<NetworkSpec, Refusal> {
    let wish = wish.unwrap_or_default();
    if wish.allow_public_traffic == Some(false) {
        return Err(later("network.allow_public_traffic"));
    }
    if wish.mask_request_host.is_some() {
        return Err(later("network.mask_request_host"));
    }
    let mut wrong = Wrong::default();
    let asked = wish.egress.is_some() || wish.allow_out.is_some() || wish.deny_out.is_some();
    let egress = match (wish.egress, internet_access) {
        (_, Some(false)) if asked => {
            wrong.say("internet_access", "false contradicts network.egress, which says what may be reached");
            EgressChange::default()
        }
        (_, Some(false)) => nothing(),
        (Some(egress), _) => {
            if wish.allow_out.is_some() || wish.deny_out.is_some() {
                wrong.say("network.allow_out", "the old form of network.egress: say one of them");
            }
            read_egress("network.egress", egress, &mut wrong)?
        }
        (None, _) => {
            let allow = cidrs("network.allow_out", &wish.allow_out.unwrap_or_default(), &mut wrong);
            let deny = cidrs("network.deny_out", &wish.deny_out.unwrap_or_default(), &mut wrong);
            custom(allow, deny)
        }
    };
    let spec = NetworkSpec {
        mode: wish.mode.map_or(NetworkMode::User, Into::into),
        egress: egress.applied_to(&EgressPolicy::default()),
        forwards: read_forwards("network.forwards", &wish.forwards.unwrap_or_default(), &mut wrong),
        host_ca: wish.host_ca.unwrap_or_default(),
        proxy: wish.proxy.unwrap_or_default(),
        finds_ports: wish.find_ports.unwrap_or_default(),
    };
    wrong.or(spec)
}

/// Reads a change of what a machine may reach.
pub(crate) fn egress(wish: EgressWish) -> Result<EgressChange, Refusal> {
    let mut wrong = Wrong::default();
    if wish == EgressWish::default() {
        wrong.say("egress", "no change is asked for");
    }
    let change = read_egress("egress", wish, &mut wrong)?;
    wrong.or(change)
}

/// Reads ports of the host that shall lead to a machine.
pub(crate) fn forwards(wishes: &[ForwardWish]) -> Result<Vec<Forward>, Refusal> {
    let mut wrong = Wrong::default();
    let forwards = read_forwards("forwards", wishes, &mut wrong);
    if wishes.is_empty() {
        wrong.say("forwards", "none is asked for");
    }
    wrong.or(forwards)
}

/// Reads where the host listens: `ADDRESS:PORT`, or `PORT` of 127.0.0.1.
pub(crate) fn listen(text: &str) -> Option<SocketAddr> {
    let here = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(here);
    }
    text.parse().ok()
}

fn read_egress(at: &str, wish: EgressWish, wrong: &mut Wrong) -> Result<EgressChange, Refusal> {
    if wish.rate_limit.is_some() {
        return Err(later(&format!("{at}.rate_limit")));
    }
    let ours = [
        ("policy", wish.policy.is_some()),
        ("allow", wish.allow.is_some()),
        ("deny", wish.deny.is_some()),
        ("remove", wish.remove.is_some()),
        ("add_allow", wish.add_allow.is_some()),
        ("add_deny", wish.add_deny.is_some()),
    ];
    let theirs = wish.mode.is_some() || wish.allow_cidrs.is_some() || wish.deny_cidrs.is_some();
    if let (true, Some((field, _))) = (theirs, ours.iter().find(|(_, said)| *said)) {
        wrong.say(&format!("{at}.{field}"), "cannot be said together with mode and its lists of CIDRs");
    }
    if theirs {
        return Ok(contracts(at, &wish, wrong));
    }
    let mut read =
        |field: &str, texts: Option<Vec<String>>| texts.map(|texts| entries(&format!("{at}.{field}"), &texts, wrong));
    Ok(EgressChange {
        otherwise: wish.policy.map(Into::into),
        allow: read("allow", wish.allow),
        deny: read("deny", wish.deny),
        remove: read("remove", wish.remove).unwrap_or_default(),
        add_allow: read("add_allow", wish.add_allow).unwrap_or_default(),
        add_deny: read("add_deny", wish.add_deny).unwrap_or_default(),
    })
}

/// The contract's form: a mode, which replaces everything.
fn contracts(at: &str, wish: &EgressWish, wrong: &mut Wrong) -> EgressChange {
    let list = |texts: &Option<Vec<String>>| texts.clone().unwrap_or_default();
    let (allow, deny) = (list(&wish.allow_cidrs), list(&wish.deny_cidrs));
    let lists = [("allow_cidrs", &allow), ("deny_cidrs", &deny)];
    let Some(mode) = wish.mode else {
        wrong.say(&format!("{at}.mode"), "missing: lists of CIDRs belong to mode custom");
        return EgressChange::default();
    };
    let replaced = match mode {
        EgressMode::Custom => {
            let [allow, deny] = lists.map(|(field, texts)| cidrs(&format!("{at}.{field}"), texts, wrong));
            return custom(allow, deny);
        }
        EgressMode::AllowAll => EgressChange::to(EgressPolicy::default()),
        EgressMode::DenyAll => nothing(),
    };
    for (field, _) in lists.iter().filter(|(_, texts)| !texts.is_empty()) {
        wrong.say(&format!("{at}.{field}"), "belongs to mode custom");
    }
    replaced
}

fn nothing() -> EgressChange {
    EgressChange::to(EgressPolicy { otherwise: Verdict::Deny, ..EgressPolicy::default() })
}

/// As the contract has it: if anything is allowed, nothing else is.
fn custom(allow: Vec<Entry>, deny: Vec<Entry>) -> EgressChange {
    let otherwise = if allow.is_empty() { Verdict::Allow } else { Verdict::Deny };
    EgressChange::to(EgressPolicy { otherwise, allow, deny })
}

fn entries(at: &str, texts: &[String], wrong: &mut Wrong) -> Vec<Entry> {
    let read = |(place, text): (usize, &String)| match Entry::from_str(text) {
        Ok(entry) => Some(entry),
        Err(error) => {
            wrong.say(&format!("{at}[{place}]"), error);
            None
        }
    };
    texts.iter().enumerate().filter_map(read).collect()
}

fn cidrs(at: &str, texts: &[String], wrong: &mut Wrong) -> Vec<Entry> {
    let entries = entries(at, texts, wrong);
    for entry in &entries {
        let is_cidr = matches!(&entry.peer, Peer::Net(net) if net.addr().is_ipv4());
        if !is_cidr || entry.port.is_some() || entry.protocol.is_some() {
            wrong.say(at, format!("not an IPv4 CIDR: '{entry}' (egress.allow and egress.deny take more)"));
        }
    }
    entries
}

fn read_forwards(at: &str, wishes: &[ForwardWish], wrong: &mut Wrong) -> Vec<Forward> {
    let read = |(place, wish): (usize, &ForwardWish)| match read_forward(wish) {
        Ok(forward) => Some(forward),
        Err(why) => {
            wrong.say(&format!("{at}[{place}]"), why);
            None
        }
    };
    wishes.iter().enumerate().filter_map(read).collect()
}

fn read_forward(wish: &ForwardWish) -> Result<Forward, String> {
    let ForwardParts { listen: wanted, guest, transport } = match wish {
        ForwardWish::Text(text) => return text.parse().map_err(|error| format!("{error}")),
        ForwardWish::Parts(parts) => parts,
    };
    if *guest == 0 {
        return Err("guest: not a port: 0".to_owned());
    }
    let place = wanted.clone().unwrap_or_else(|| guest.to_string());
    let listen = listen(&place).ok_or_else(|| format!("listen: not ADDRESS:PORT or PORT: '{place}'"))?;
    Ok(Forward { listen, guest: *guest, transport: transport.map_or(Transport::Tcp, Into::into) })
}

#[cfg(test)]
#[path = "network_wish_tests.rs"]
mod tests;
