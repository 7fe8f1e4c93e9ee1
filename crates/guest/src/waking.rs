//! Waking, rest and measures: core's words to the wire's, and what a guest said to what can be
//! believed. Pure.

use machine_agent_protocol as wire;
use machine_core::promise::awakening::{Awakening, GuestAddress, Origin, Settled, SshHostKey, Vitals, Woken};
use machine_core::promise::guest::GuestError;

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
    fn a_guest_cannot_fill_the_screen() {
        let woken = to_woken(wire::Woken { failed_hooks: vec!["\u{1b}[2J".repeat(100); 100] });
        assert_eq!(woken.failed_hooks.len(), MOST_HOOKS);
        assert!(woken.failed_hooks.iter().all(|word| word.chars().count() == LONGEST_WORD && !word.contains('\u{1b}')));
    }
}
