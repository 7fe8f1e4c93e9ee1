//! The host's proxies, as guests are told of them. One on the host's own loopback is reached there by another
//! name, and needs an exception from the rules.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use machine_core::network::HOST_NAME;
use machine_core::policy::egress::Entry;

/// What the host's environment says of proxies. Their addresses may hold passwords.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    /// For `http`.
    pub http: Option<String>,
    /// For `https`.
    pub https: Option<String>,
    /// For whom there is none.
    pub none: Option<String>,
}

/// The parts of a proxy's address that matter here.
struct Address<'a> {
    /// What is before the host: scheme, user and password.
    before: &'a str,
    host: &'a str,
    port: Option<u16>,
    /// What is after the host: port and path.
    after: &'a str,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = [("http", &self.http), ("https", &self.https), ("none", &self.none)];
        f.debug_list().entries(known.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name)).finish()
    }
}

impl Proxies {
    /// Tells them in both spellings, since programs know either; what a machine was told itself stays.
    pub(super) fn add_to(&self, environment: &mut BTreeMap<String, String>) {
        let told = [
            ("HTTP_PROXY", self.http.as_deref().map(from_inside)),
            ("HTTPS_PROXY", self.https.as_deref().map(from_inside)),
            ("NO_PROXY", self.none.clone()),
        ];
        for (name, value) in told {
            let Some(value) = value else { continue };
            let spellings = [name.to_owned(), name.to_ascii_lowercase()];
            if !spellings.iter().any(|spelling| environment.contains_key(spelling)) {
                environment.extend(spellings.map(|spelling| (spelling, value.clone())));
            }
        }
    }

    /// The ways to those on the host's own loopback.
    pub(super) fn exceptions(&self) -> Vec<Entry> {
        let mut ways = Vec::new();
        for proxy in [&self.http, &self.https].into_iter().flatten() {
            let address = read(proxy);
            let entry = format!("{HOST_NAME}:{}/tcp", address.port.unwrap_or(usual_port(address.before)));
            ways.extend(entry.parse().ok().filter(|entry| is_loopback(address.host) && !ways.contains(entry)));
        }
        ways
    }
}

/// A proxy's address, as the guest must call it.
fn from_inside(proxy: &str) -> String {
    let Address { before, host, after, .. } = read(proxy);
    match is_loopback(host) {
        true => format!("{before}{HOST_NAME}{after}"),
        false => proxy.to_owned(),
    }
}

/// `[SCHEME://][USER[:PASSWORD]@]HOST[:PORT][/...]`, whatever is in it.
fn read(proxy: &str) -> Address<'_> {
    let scheme = proxy.find("://").map_or(0, |at| at + 3);
    let end = proxy[scheme..].find(['/', '?', '#']).map_or(proxy.len(), |at| scheme + at);
    let begin = proxy[scheme..end].rfind('@').map_or(scheme, |at| scheme + at + 1);
    let place = &proxy[begin..end];
    let host = match place.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, _)) => &place[..host.len() + 2],
        None => place.split_once(':').map_or(place, |(host, _)| host),
    };
    let port = place[host.len()..].strip_prefix(':').and_then(|port| port.parse().ok());
    Address { before: &proxy[..begin], host, port, after: &proxy[begin + host.len()..] }
}

fn usual_port(before: &str) -> u16 {
    match before.split_once("://").map(|(scheme, _)| scheme) {
        Some("https") => 443,
        Some(socks) if socks.starts_with("socks") => 1080,
        Some(_) | None => 80,
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(http: &str, https: &str) -> Proxies {
        Proxies { http: Some(http.to_owned()), https: Some(https.to_owned()), none: Some("a.example".to_owned()) }
    }

    #[test]
    fn a_proxy_on_the_hosts_loopback_is_called_by_the_hosts_name() {
        for (outside, inside) in [
            ("http://127.0.0.1:3128", "http://host.machine.internal:3128"),
            ("http://me:p@ss@localhost:3128/", "http://me:p@ss@host.machine.internal:3128/"),
            ("LOCALHOST:8080", "host.machine.internal:8080"),
            ("socks5h://[::1]:1080", "socks5h://host.machine.internal:1080"),
            ("http://127.0.0.1", "http://host.machine.internal"),
            ("http://proxy.example:3128", "http://proxy.example:3128"),
            ("http://10.0.0.1:3128", "http://10.0.0.1:3128"),
            ("http://127.0.0.1.example:1", "http://127.0.0.1.example:1"),
            ("", ""),
            ("[", "["),
            ("@:", "@:"),
        ] {
            assert_eq!(from_inside(outside), inside, "{outside}");
        }
    }

    #[test]
    fn only_a_proxy_on_the_hosts_loopback_needs_an_exception() {
        let ways = |http: &str, https: &str| {
            proxies(http, https).exceptions().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(ways("http://127.0.0.1:3128", "http://localhost:3128"), ["host.machine.internal:3128/tcp"]);
        assert_eq!(
            ways("http://u:p@127.0.0.1", "socks5://[::1]"),
            ["host.machine.internal:80/tcp", "host.machine.internal:1080/tcp"]
        );
        assert!(ways("http://10.0.0.1:3128", "").is_empty());
        assert!(ways("http://127.0.0.1:0", "").is_empty());
    }

    #[test]
    fn what_a_machine_was_told_itself_stays() {
        let mut environment = BTreeMap::from([("https_proxy".to_owned(), "mine".to_owned())]);
        proxies("http://127.0.0.1:1", "http://127.0.0.1:2").add_to(&mut environment);
        let told: Vec<_> = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            told,
            [
                "HTTP_PROXY=http://host.machine.internal:1",
                "NO_PROXY=a.example",
                "http_proxy=http://host.machine.internal:1",
                "https_proxy=mine",
                "no_proxy=a.example",
            ]
        );
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = format!("{:?}", proxies("http://me:secret@127.0.0.1", ""));
        assert_eq!(shown, r#"["http", "https", "none"]"#);
    }
}
