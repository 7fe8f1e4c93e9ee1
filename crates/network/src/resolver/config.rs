//! The host's resolver configuration: who is asked, and how long. Looked at again when questions come, so that a
//! VPN or another network is followed. `search` is not for us: the guest asks for whole names.

use std::fs::{self, Metadata};
use std::io::Read;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use machine_core::network::Transport;

/// As many as the C library takes.
const MOST_SERVERS: usize = 3;
/// How often the file is looked at, at most.
const LOOK: Duration = Duration::from_millis(500);
const LONGEST_FILE: u64 = 64 * 1024;

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Servers {
    pub(super) addresses: Vec<SocketAddr>,
    /// How long one is waited for before the next is asked as well.
    pub(super) patience: Duration,
    /// How often each is asked.
    pub(super) attempts: usize,
    /// How a question is asked first.
    pub(super) transport: Transport,
}

/// The configuration, as it was when it was last looked at.
#[derive(Debug)]
pub(super) struct Config {
    path: PathBuf,
    port: u16,
    looked: Option<Instant>,
    stamp: Option<Stamp>,
    servers: Servers,
    /// How often it was read.
    edition: u64,
}

/// What tells one state of a file from another; a symbolic link is followed.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

impl Config {
    /// Of this file; servers are asked at this port.
    pub(super) fn new(path: &Path, port: u16) -> Self {
        let servers = read("", port, |_| None);
        Self { path: path.to_owned(), port, looked: None, stamp: None, servers, edition: 0 }
    }

    /// Who is asked now, and which edition of the file said so. A file that is not there (it is being replaced,
    /// maybe) or cannot be read leaves what was known.
    pub(super) fn servers(&mut self, now: Instant) -> (&Servers, u64) {
        if self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK) {
            self.looked = Some(now);
            self.look();
        }
        (&self.servers, self.edition)
    }

    fn look(&mut self) {
        let known = fs::metadata(&self.path).ok().map(|file| Stamp::of(&file));
        if known.is_none() || known == self.stamp {
            return;
        }
        let Ok(file) = fs::File::open(&self.path) else { return };
        // Of what was opened, before it is read: what changes meanwhile is read next time.
        let Ok(stamp) = file.metadata().map(|file| Stamp::of(&file)) else { return };
        let mut bytes = Vec::new();
        if file.take(LONGEST_FILE).read_to_end(&mut bytes).is_ok() {
            self.servers = read(&String::from_utf8_lossy(&bytes), self.port, super::wire::scope);
            self.stamp = Some(stamp);
            self.edition += 1;
        }
    }
}

/// Reads what resolv.conf(5) says. What is not understood is not there, as for the C library.
fn read(text: &str, port: u16, scope: impl Fn(&str) -> Option<u32>) -> Servers {
    let mut addresses = Vec::new();
    let (mut timeout, mut attempts, mut transport) = (5_u64, 2, Transport::Udp);
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => addresses.extend(words.next().and_then(|word| server(word, port, &scope))),
            Some("options") => {
                for option in words {
                    match option.split_once(':') {
                        Some(("timeout", count)) => timeout = count.parse().unwrap_or(timeout),
                        Some(("attempts", count)) => attempts = count.parse().unwrap_or(attempts),
                        None if option == "use-vc" => transport = Transport::Tcp,
                        Some(_) | None => {}
                    }
                }
            }
            Some(_) | None => {}
        }
    }
    addresses.truncate(MOST_SERVERS);
    let most = Duration::from_secs(if addresses.len() > 1 { 1 } else { 2 });
    let patience = Duration::from_secs(timeout).clamp(Duration::from_secs(1), most);
    Servers { addresses, patience, attempts: attempts.clamp(1, 5), transport }
}

/// An address, that of a link with the link's name or number behind it.
fn server(word: &str, port: u16, scope: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    let Some((address, link)) = word.split_once('%') else {
        return Some(SocketAddr::new(word.parse::<IpAddr>().ok()?, port));
    };
    let link = link.parse().ok().or_else(|| scope(link))?;
    Some(SocketAddr::V6(SocketAddrV6::new(address.parse().ok()?, port, 0, link)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(text: &str) -> Servers {
        read(text, 53, |link| (link == "eth0").then_some(2))
    }

    #[test]
    fn servers_and_options_are_read() {
        let text = "# made by somebody\nsearch example.com\nnameserver 127.0.0.53 # here\nnameserver ::1\n\
                    options edns0 timeout:3 attempts:4 use-vc\n";
        let read = servers(text);
        assert_eq!(read.addresses, ["127.0.0.53:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!((read.patience, read.attempts), (Duration::from_secs(1), 4));
        assert_eq!(read.transport, Transport::Tcp);
    }

    #[test]
    fn what_is_not_understood_is_not_there() {
        let text = "nameserver\nnameserver nonsense\n nameserver 127.0.0.1\nnameserver 127.1\nnameservers 127.0.0.2\n\
                    ;nameserver 127.0.0.3\noptions timeout:x attempts:-1 attempts:900\n";
        let read = servers(text);
        assert_eq!(read.addresses, ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!((read.patience, read.attempts), (Duration::from_secs(2), 5));
        assert_eq!(servers("").addresses, []);
    }

    #[test]
    fn addresses_of_a_link_are_read_with_it() {
        let text = "nameserver fe80::1%eth0\nnameserver fe80::2%7\nnameserver fe80::3%gone\n";
        let links: Vec<_> = servers(text).addresses.iter().map(ToString::to_string).collect();
        assert_eq!(links, ["[fe80::1%2]:53", "[fe80::2%7]:53"]);
    }

    #[test]
    fn three_are_asked_at_most() {
        assert_eq!(servers(&"nameserver 127.0.0.1\n".repeat(9)).addresses.len(), 3);
    }

    #[test]
    fn a_file_that_changes_is_followed_twice_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        let now = Instant::now();
        let mut config = Config::new(&path, 53);
        let asks = |config: &mut Config, after: u64| {
            let (servers, _) = config.servers(now + Duration::from_millis(after));
            servers.addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>()
        };
        assert!(asks(&mut config, 0).is_empty());
        fs::write(&path, "nameserver 127.0.0.1\n").unwrap();
        assert!(asks(&mut config, 499).is_empty());
        assert_eq!(asks(&mut config, 500), ["127.0.0.1"]);
        // Replaced whole, as by a rename.
        let other = folder.path().join("other");
        fs::write(&other, "nameserver 127.0.0.2\n").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(asks(&mut config, 1000), ["127.0.0.2"]);
        // Replaced by a link to somewhere else.
        fs::remove_file(&path).unwrap();
        assert_eq!(asks(&mut config, 1500), ["127.0.0.2"]);
        fs::write(&other, "nameserver 127.0.0.3\n").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert_eq!(asks(&mut config, 2000), ["127.0.0.3"]);
        // Written anew in its place.
        fs::write(&other, "nameserver 127.0.0.40\n").unwrap();
        assert_eq!(asks(&mut config, 2500), ["127.0.0.40"]);
        fs::write(&other, "").unwrap();
        assert!(asks(&mut config, 3000).is_empty());
    }
}
