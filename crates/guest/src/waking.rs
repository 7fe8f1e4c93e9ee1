//! Waking, rest and measures: core's words to the wire's, and what a guest said to what can be
//! believed. Pure.

use machine_agent_protocol as wire;
use machine_core::promise::awakening::{Awakening, GuestAddress, Origin, Settled, SshHostKey, Vitals, Woken};
use machine_core::promise::guest::GuestError;
use machine_core::spec::RootLife;

use crate::promise::project;

/// More hooks fail in no honest guest.
const MOST_HOOKS: usize = 64;
/// No word about one is longer, in characters.
const LONGEST_WORD: usize = 200;
/// OpenSSH knows fewer kinds.
const MOST_KINDS: usize = 16;
const LONGEST_KIND: usize = 32;

pub(crate) fn to_wake(awakening: &Awakening) -> Result<wire::WakeAs, GuestError> {
    let nanos = awakening.now.as_nanosecond();
    Ok(wire::WakeAs {
        id: awakening.machine.to_string(),
        generation: awakening.generation.0,
        origin: match awakening.origin {
            Origin::Boot => wire::WakeOrigin::Boot,
            Origin::Image => wire::WakeOrigin::Image,
            Origin::Saved => wire::WakeOrigin::Saved,
        },
        unix_nanos: u64::try_from(nanos).map_err(|_| GuestError::Invalid(format!("no such time: {nanos} ns")))?,
        entropy: awakening.entropy.to_vec(),
        hostname: awakening.identity.hostname.clone(),
        machine_id: awakening.identity.machine_id.clone(),
        mac: awakening.mac,
        address: awakening.address.map(to_address),
        env: awakening.identity.envs.clone(),
        ssh_host_keys: awakening.ssh_host_keys.iter().map(to_key).collect(),
        root_bytes: awakening.root_bytes,
        certificate_authorities: Some(awakening.certificate_authorities.clone()),
        mounts: (!awakening.mounts.is_empty()).then(|| awakening.mounts.iter().map(project::to_mount).collect()),
        root: match awakening.root {
            // As it is: an older agent needs no new word.
            RootLife::Persistent | RootLife::Ephemeral => None,
            RootLife::ReadOnly => Some(wire::WakeRoot::ReadOnly),
        },
    })
}

fn to_address(address: GuestAddress) -> wire::WakeAddress {
    wire::WakeAddress {
        ip: address.ip.octets(),
        prefix: address.prefix,
        gateway: address.gateway.map(|ip| ip.octets()),
        dns: address.dns.map(|ip| ip.octets()),
    }
}

fn to_key(key: &SshHostKey) -> wire::HostKey {
    wire::HostKey { kind: key.kind.clone(), private: key.private.clone(), public: key.public.clone() }
}

/// An older agent takes no notice of words that it does not know: what it did must be what was asked.
pub(crate) fn check_woken(asked: &wire::WakeAs, woken: &wire::Woken) -> Result<(), GuestError> {
    let mounts = asked.mounts.as_ref().map_or(0, Vec::len);
    let is_there = woken.mounts.and_then(|mounts| usize::try_from(mounts).ok()).unwrap_or(0);
    let older = |what: &str| {
        Err(GuestError::Unsupported(format!("this guest cannot {what}: its agent is older than this server")))
    };
    if mounts != is_there {
        return older("mount folders of the host");
    }
    if asked.root.is_some() && asked.root != woken.root {
        return older("make its root read-only");
    }
    Ok(())
}

/// A guest's words are shown to people, so they are short and plain.
pub(crate) fn to_woken(woken: wire::Woken) -> Woken {
    let plain = |word: String| -> String {
        word.chars().take(LONGEST_WORD).map(|c| if c.is_control() { ' ' } else { c }).collect()
    };
    Woken { failed_hooks: woken.failed_hooks.into_iter().take(MOST_HOOKS).map(plain).collect() }
}

/// The host makes keys of these kinds, so only plain words are kinds.
pub(crate) fn to_settled(settled: wire::Settled) -> Result<Settled, GuestError> {
    let kinds = settled.ssh_host_keys;
    if kinds.len() > MOST_KINDS {
        return Err(GuestError::Garbage(format!("{} kinds of SSH host keys", kinds.len())));
    }
    let plain = |kind: &String| {
        let word = kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        word && (1..=LONGEST_KIND).contains(&kind.len())
    };
    match kinds.iter().find(|kind| !plain(kind)) {
        Some(strange) => Err(GuestError::Garbage(format!("not a kind of SSH host key: {strange:.32?}"))),
        None => Ok(Settled { ssh_host_keys: kinds }),
    }
}

pub(crate) fn to_vitals(measured: &wire::Measured) -> Vitals {
    Vitals {
        cpu_busy_ms: measured.cpu_busy_ms,
        cpu_idle_ms: measured.cpu_idle_ms,
        cpus: measured.cpus,
        memory_total_bytes: measured.memory_total_bytes,
        memory_available_bytes: measured.memory_available_bytes,
        disk_total_bytes: measured.disk_total_bytes,
        disk_available_bytes: measured.disk_available_bytes,
        network_received_bytes: measured.network.received_bytes,
        network_sent_bytes: measured.network.sent_bytes,
        processes: measured.processes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(kinds: &[&str]) -> wire::Settled {
        wire::Settled { ssh_host_keys: kinds.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn only_plain_words_are_kinds_of_keys() {
        assert_eq!(to_settled(kinds(&["ed25519", "rsa"])).unwrap().ssh_host_keys, ["ed25519", "rsa"]);
        for strange in ["", "-f", "../x", "RSA", "a b", &"k".repeat(33)] {
            assert!(to_settled(kinds(&[strange])).is_err(), "{strange}");
        }
        assert!(to_settled(kinds(&["rsa"; 17])).is_err());
    }

    #[test]
    fn an_agent_that_took_no_notice_is_older() {
        let asked = |mounts: Option<Vec<wire::Mount>>, root| wire::WakeAs {
            id: String::new(),
            generation: 0,
            origin: wire::WakeOrigin::Boot,
            unix_nanos: 0,
            entropy: Vec::new(),
            hostname: String::new(),
            machine_id: String::new(),
            mac: None,
            address: None,
            env: [].into(),
            ssh_host_keys: Vec::new(),
            root_bytes: None,
            certificate_authorities: None,
            mounts,
            root,
        };
        let silent = wire::Woken::default();
        assert_eq!(check_woken(&asked(None, None), &silent), Ok(()));
        let (access, owner) = (wire::MountAccess::ReadOnly, wire::Owner::default());
        let mount = wire::Mount { tag: "t".into(), target: "/t".into(), access, excludes: Vec::new(), owner };
        let one = || Some(vec![mount.clone()]);
        assert!(matches!(check_woken(&asked(one(), None), &silent), Err(GuestError::Unsupported(_))));
        let read_only = Some(wire::WakeRoot::ReadOnly);
        assert!(matches!(check_woken(&asked(None, read_only), &silent), Err(GuestError::Unsupported(_))));
        let did = wire::Woken { mounts: Some(1), root: read_only, ..silent };
        assert_eq!(check_woken(&asked(one(), read_only), &did), Ok(()));
    }

    #[test]
    fn a_guest_cannot_fill_the_screen() {
        let woken =
            to_woken(wire::Woken { failed_hooks: vec!["\u{1b}[2J".repeat(100); 100], ..wire::Woken::default() });
        assert_eq!(woken.failed_hooks.len(), MOST_HOOKS);
        assert!(woken.failed_hooks.iter().all(|word| word.chars().count() == LONGEST_WORD && !word.contains('\u{1b}')));
    }
}
