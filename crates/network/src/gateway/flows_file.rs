//! Which connections the guest believes are open, in a file that outlives the gateway: the next one ends them,
//! so that programs in the guest connect again instead of waiting.
//!
//! The file holds a row for each place; a row of zeros is none. It is written through memory: a gateway that is
//! killed leaves what it wrote. Nothing is promised over a crash of the host: then there is no guest either.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::slots::Key;
use super::tcp::Ends;
use crate::sys::MappedFile;

const MAGIC: &[u8; 8] = b"mflows\x001";
/// Ports of 2, addresses of 16, as IPv6 writes them.
const ROW: usize = 36;

/// The file.
#[derive(Debug)]
pub(crate) struct FlowsFile {
    rows: MappedFile,
}

impl FlowsFile {
    /// What a predecessor left in the file, which is then empty, for `most` connections. What is no such file
    /// is treated as an empty one.
    pub(crate) fn take_over(path: &Path, most: usize) -> io::Result<(Self, Vec<Ends>)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(path)?;
        let left = read(&mut file, most)?;
        let length = MAGIC.len() + most * ROW;
        file.set_len(0)?;
        file.set_len(u64::try_from(length).map_err(io::Error::other)?)?;
        let mut rows = MappedFile::new(&file, length)?;
        if let Some(magic) = rows.bytes().get_mut(..MAGIC.len()) {
            magic.copy_from_slice(MAGIC);
        }
        Ok((Self { rows }, left))
    }

    /// A connection is open.
    pub(crate) fn note(&mut self, key: Key, ends: &Ends) {
        if let Some(row) = self.row(key) {
            row.copy_from_slice(&write_row(ends));
        }
    }

    /// It is no more.
    pub(crate) fn forget(&mut self, key: Key) {
        if let Some(row) = self.row(key) {
            row.fill(0);
        }
    }

    fn row(&mut self, key: Key) -> Option<&mut [u8]> {
        let from = MAGIC.len() + usize::try_from(key.index).ok()? * ROW;
        self.rows.bytes().get_mut(from..from + ROW)
    }
}

fn read(file: &mut File, most: usize) -> io::Result<Vec<Ends>> {
    let mut bytes = Vec::new();
    let longest = u64::try_from(MAGIC.len() + most * ROW).map_err(io::Error::other)?;
    file.take(longest).read_to_end(&mut bytes)?;
    let rows = bytes.strip_prefix(MAGIC).unwrap_or_default();
    Ok(rows.as_chunks::<ROW>().0.iter().filter_map(read_row).collect())
}

fn write_row(ends: &Ends) -> [u8; ROW] {
    let mut row = [0; ROW];
    let ports = [ends.guest.port().to_be_bytes(), ends.other.port().to_be_bytes()];
    row[..4].copy_from_slice(ports.as_flattened());
    let wide = |address: IpAddr| match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    row[4..20].copy_from_slice(&wide(ends.guest.ip()));
    row[20..].copy_from_slice(&wide(ends.other.ip()));
    row
}

/// Nothing for a row that no connection left: the guest is told nothing strange by a file that is damaged.
fn read_row(row: &[u8; ROW]) -> Option<Ends> {
    let port =
        |from: usize| Some(u16::from_be_bytes(row.get(from..from + 2)?.try_into().ok()?)).filter(|&port| port != 0);
    let address = |from: usize| {
        let wide: [u8; 16] = row.get(from..from + 16)?.try_into().ok()?;
        Some(Ipv6Addr::from(wide).to_canonical()).filter(|address| !address.is_unspecified() && !address.is_multicast())
    };
    let guest = SocketAddr::new(address(4)?, port(0)?);
    let other = SocketAddr::new(address(20)?, port(2)?);
    (guest.is_ipv4() == other.is_ipv4()).then_some(Ends { guest, other })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(guest: &str, other: &str) -> Ends {
        Ends { guest: guest.parse().unwrap(), other: other.parse().unwrap() }
    }

    fn key(index: u32) -> Key {
        Key { index, generation: 9 }
    }

    #[test]
    fn a_successor_reads_what_was_open_and_only_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flows");
        let (mut file, left) = FlowsFile::take_over(&path, 8).unwrap();
        assert!(left.is_empty());
        let four = ends("10.0.2.15:40000", "192.0.2.1:443");
        let six = ends("[fd6d:6163:68ee::15]:40001", "[2001:db8::1]:80");
        file.note(key(0), &four);
        file.note(key(7), &six);
        file.note(key(3), &four);
        file.forget(key(3));
        file.note(key(8), &four);
        drop(file);
        let (_, left) = FlowsFile::take_over(&path, 8).unwrap();
        assert_eq!(left, [four, six]);
        let (_, left) = FlowsFile::take_over(&path, 8).unwrap();
        assert!(left.is_empty());
    }

    #[test]
    fn a_damaged_file_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flows");
        for damaged in [&b"hello"[..], &[0xff; 500], b"mflows\x001\x01"] {
            std::fs::write(&path, damaged).unwrap();
            assert!(FlowsFile::take_over(&path, 8).unwrap().1.is_empty());
        }
        let mut strange = MAGIC.to_vec();
        strange.extend([0xff; 2 * ROW]);
        std::fs::write(&path, strange).unwrap();
        assert!(FlowsFile::take_over(&path, 8).unwrap().1.is_empty());
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, path) = (folder.path().join("target"), folder.path().join("flows"));
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(FlowsFile::take_over(&path, 8).is_err());
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    }
}
