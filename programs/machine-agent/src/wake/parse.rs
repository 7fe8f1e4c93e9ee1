//! From what the host said to what can be done. Nothing was changed yet, so a word that makes no sense is refused
//! here or never.

use crate::authorities::certificate;
use crate::failure::invalid;
use crate::house::DefaultEnv;
use crate::identity::{check_hostname, check_machine_id};
use crate::network::Address;
use crate::share::{self, Place};
use machine_agent_protocol::{Failed, HostKey, Mount, Settle, WakeAddress, WakeAs, WakeOrigin, WakeRoot};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const LONGEST_ID: usize = 64;
const ENTROPY: std::ops::RangeInclusive<usize> = 16..=4096;
const MOST_KEYS: usize = 16;
const LONGEST_KIND: usize = 32;
const LONGEST_KEY: usize = 64 * 1024;
/// Whole lists of them are half as long.
const MOST_AUTHORITIES: usize = 512;
const LONGEST_AUTHORITY: usize = 64 * 1024;
/// The kernel's clock ends in 2262.
const LAST_MOMENT: u64 = i64::MAX.unsigned_abs();

/// Which awakening this is; the same one may be told twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Which {
    pub(crate) id: String,
    pub(crate) generation: u64,
    pub(crate) origin: WakeOrigin,
}

/// Everything to become, each part possible by itself.
#[derive(Debug)]
pub(crate) struct Waking {
    pub(crate) which: Which,
    pub(crate) clock: Clock,
    pub(crate) entropy: Vec<u8>,
    pub(crate) hostname: String,
    pub(crate) machine_id: String,
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) address: Option<Address>,
    pub(crate) env: DefaultEnv,
    pub(crate) keys: Vec<HostKey>,
    pub(crate) root_bytes: Option<u64>,
    /// As every list has them. None: those that there are stay.
    pub(crate) authorities: Option<Vec<String>>,
    pub(crate) mounts: Vec<Place>,
    pub(crate) root: Option<WakeRoot>,
}

/// What time it was when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) unix: Duration,
    pub(crate) arrived: Instant,
}

impl Clock {
    /// The time now: what passed since the word came is ours to add.
    pub(crate) fn now(self) -> Duration {
        self.unix + self.arrived.elapsed()
    }
}

/// Reads what the host said, whose bytes came at `arrived`.
pub(crate) fn parse(wake: WakeAs, arrived: Instant) -> Result<Waking, Failed> {
    check_id(&wake.id)?;
    check_hostname(&wake.hostname)?;
    check_machine_id(&wake.machine_id)?;
    check_env(&wake.env)?;
    check_keys(&wake.ssh_host_keys)?;
    if wake.unix_nanos > LAST_MOMENT {
        return Err(invalid("no such time"));
    }
    if !ENTROPY.contains(&wake.entropy.len()) {
        return Err(invalid(format!("entropy has 16 to 4096 bytes, not {}", wake.entropy.len())));
    }
    // Group addresses belong to nobody, and the one of zeros is none.
    if wake.mac.is_some_and(|mac| mac[0] & 1 != 0 || mac == [0; 6]) {
        return Err(invalid("a network card's address is its own, and not zero"));
    }
    Ok(Waking {
        which: Which { id: wake.id, generation: wake.generation, origin: wake.origin },
        clock: Clock { unix: Duration::from_nanos(wake.unix_nanos), arrived },
        entropy: wake.entropy,
        hostname: wake.hostname,
        machine_id: wake.machine_id,
        mac: wake.mac,
        address: wake.address.map(address).transpose()?,
        env: wake.env,
        keys: wake.ssh_host_keys,
        root_bytes: wake.root_bytes,
        authorities: wake.certificate_authorities.map(authorities).transpose()?,
        mounts: mounts(wake.mounts.unwrap_or_default())?,
        root: wake.root,
    })
}

/// What a guest at rest shall hold.
#[derive(Debug)]
pub(crate) struct Rest {
    /// Certificate authorities that it trusts; those that it does, if none are said.
    pub(crate) authorities: Option<Vec<String>>,
}

/// Reads what the host said about resting.
pub(crate) fn parse_rest(settle: Settle) -> Result<Rest, Failed> {
    Ok(Rest { authorities: settle.certificate_authorities.map(authorities).transpose()? })
}

fn check_id(id: &str) -> Result<(), Failed> {
    let plain = id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if id.is_empty() || id.len() > LONGEST_ID || !plain {
        return Err(invalid(format!("not a machine's id: {id:.64?}")));
    }
    Ok(())
}

fn check_env(env: &DefaultEnv) -> Result<(), Failed> {
    let strange =
        env.iter().find(|(name, value)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0'));
    match strange {
        Some((name, _)) => Err(invalid(format!("not a variable of an environment: {name:.64?}"))),
        None => Ok(()),
    }
}

fn check_keys(keys: &[HostKey]) -> Result<(), Failed> {
    let kinds: BTreeSet<&str> = keys.iter().map(|key| key.kind.as_str()).collect();
    if kinds.len() != keys.len() || keys.len() > MOST_KEYS {
        return Err(invalid("SSH host keys are of one kind each, and of 16 kinds at most"));
    }
    for key in keys {
        let plain = key.kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if key.kind.is_empty() || key.kind.len() > LONGEST_KIND || !plain {
            return Err(invalid(format!("not a kind of SSH host key: {:.32?}", key.kind)));
        }
        if [&key.private, &key.public].into_iter().any(|half| half.trim().is_empty() || half.len() > LONGEST_KEY) {
            return Err(invalid(format!("not an SSH host key: {}", key.kind)));
        }
    }
    Ok(())
}

fn authorities(said: Vec<String>) -> Result<Vec<String>, Failed> {
    if said.len() > MOST_AUTHORITIES || said.iter().any(|text| text.len() > LONGEST_AUTHORITY) {
        return Err(invalid("too many certificate authorities, or too long ones"));
    }
    let read = |text: &String| certificate(text).ok_or_else(|| invalid(format!("not one certificate: {text:.64?}")));
    said.iter().map(read).collect()
}

fn mounts(said: Vec<Mount>) -> Result<Vec<Place>, Failed> {
    if said.len() > WakeAs::MOST_MOUNTS {
        return Err(invalid(format!("at most {} folders of the host", WakeAs::MOST_MOUNTS)));
    }
    let mut places = said.into_iter().map(share::parse).collect::<Result<Vec<_>, _>>()?;
    // One below another comes after it, or it would be covered.
    places.sort_by(|one, other| one.target.cmp(&other.target));
    match places.windows(2).find(|pair| pair[0].target == pair[1].target) {
        Some(pair) => Err(invalid(format!("two folders at one place: {}", pair[0].target.display()))),
        None => Ok(places),
    }
}

fn address(said: WakeAddress) -> Result<Address, Failed> {
    let one = |octets: [u8; 4]| {
        let ip = Ipv4Addr::from(octets);
        let nobody = ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() || ip.is_loopback();
        if nobody { Err(invalid(format!("not an address of a network card: {ip}"))) } else { Ok(ip) }
    };
    if said.prefix > 32 {
        return Err(invalid(format!("a network's prefix has at most 32 bits, not {}", said.prefix)));
    }
    // A guest may resolve names at its own loopback.
    let dns = said.dns.map(Ipv4Addr::from);
    Ok(Address { ip: one(said.ip)?, prefix: said.prefix, gateway: said.gateway.map(one).transpose()?, dns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine_agent_protocol::FailureCode;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n";

    fn folder(target: &str) -> Mount {
        let (tag, excludes) = ("a".to_owned(), Vec::new());
        Mount { tag, target: target.into(), access: Default::default(), excludes, owner: Default::default() }
    }

    fn sound() -> WakeAs {
        let key = HostKey { kind: "ed25519".into(), private: "p".into(), public: "q".into() };
        WakeAs {
            id: "m0123".into(),
            generation: 3,
            origin: WakeOrigin::Image,
            unix_nanos: 1_700_000_000_000_000_000,
            entropy: vec![1; 64],
            hostname: "web".into(),
            machine_id: "0".repeat(32),
            mac: Some([2, 0, 0, 0, 0, 1]),
            address: Some(WakeAddress { ip: [10, 0, 2, 15], prefix: 24, gateway: Some([10, 0, 2, 2]), dns: None }),
            env: [("A".to_owned(), "b=c".to_owned())].into(),
            ssh_host_keys: vec![key],
            root_bytes: Some(1 << 30),
            certificate_authorities: Some(vec![CERTIFICATE.to_owned()]),
            mounts: Some(vec![folder("/srv/a/b"), folder("/srv/a")]),
            root: Some(WakeRoot::ReadOnly),
        }
    }

    fn check_refused(what: &str, spoil: impl FnOnce(&mut WakeAs)) {
        let mut wake = sound();
        spoil(&mut wake);
        let refused = parse(wake, Instant::now()).err();
        assert_eq!(refused.map(|failed| failed.code), Some(FailureCode::Invalid), "{what}");
    }

    #[test]
    fn what_makes_sense_is_taken() {
        let waking = parse(sound(), Instant::now()).unwrap();
        assert_eq!(waking.authorities.unwrap(), [CERTIFICATE]);
        assert_eq!((waking.which.generation, waking.address.unwrap().prefix), (3, 24));
        let targets: Vec<_> = waking.mounts.iter().map(|place| place.target.to_str().unwrap()).collect();
        assert_eq!(targets, ["/srv/a", "/srv/a/b"]);
        let passed = waking.clock.now() - waking.clock.unix;
        assert!(passed < Duration::from_secs(10), "{passed:?}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        check_refused("no id", |wake| wake.id.clear());
        check_refused("an id that leaves its folder", |wake| wake.id = "../x".into());
        check_refused("after the end of time", |wake| wake.unix_nanos = u64::MAX);
        check_refused("no chance", |wake| wake.entropy.clear());
        check_refused("much chance", |wake| wake.entropy = vec![0; 5000]);
        check_refused("no name", |wake| wake.hostname.clear());
        check_refused("short machine-id", |wake| wake.machine_id = "0".into());
        check_refused("a group's card", |wake| wake.mac = Some([1, 0, 0, 0, 0, 1]));
        check_refused("no card", |wake| wake.mac = Some([0; 6]));
        check_refused("a variable without a name", |wake| wake.env = [(String::new(), String::new())].into());
        check_refused("a zero byte", |wake| wake.env = [("A".to_owned(), "\0".to_owned())].into());
        check_refused("a key outside of its folder", |wake| wake.ssh_host_keys[0].kind = "../x".into());
        check_refused("half a key", |wake| wake.ssh_host_keys[0].public = "\n".into());
        for strange in ["", "YWJj", &CERTIFICATE.repeat(2), &CERTIFICATE.replace("YWJj", "\u{1b}[2J")] {
            check_refused("a strange authority", |wake| wake.certificate_authorities = Some(vec![strange.into()]));
        }
        let many = vec![CERTIFICATE.to_owned(); 513];
        check_refused("too many authorities", |wake| wake.certificate_authorities = Some(many));
        check_refused("a folder over the system", |wake| wake.mounts = Some(vec![folder("/usr/x")]));
        check_refused("one place twice", |wake| wake.mounts = Some(vec![folder("/srv/a"), folder("/srv/a/")]));
        check_refused("too many folders", |wake| wake.mounts = Some(vec![folder("/srv/a"); 33]));
        check_refused("a kind twice", |wake| wake.ssh_host_keys.push(wake.ssh_host_keys[0].clone()));
        let strange: [fn(&mut WakeAddress); 3] =
            [|said| said.prefix = 33, |said| said.ip = [127, 0, 0, 1], |said| said.gateway = Some([0; 4])];
        for spoil in strange {
            check_refused("a strange address", |wake| spoil(wake.address.as_mut().unwrap()));
        }
    }
}
