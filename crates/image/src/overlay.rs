//! Makes qcow2 overlays: a disk of its own over a base that is never written. In process, since it takes
//! microseconds here and a tool's start elsewhere. Knows nothing of what is on the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 4] = *b"QFI\xfb";
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// What one entry of the first-level table covers.
const L1_COVERS: u64 = CLUSTER * (CLUSTER / 8);
const HEADER: usize = 112;
const BACKING_FORMAT: u32 = 0xe279_2aca;
const LONGEST_PATH: usize = 1023;
/// So that the first-level table stays within what QEMU reads.
const LARGEST: u64 = 1 << 51;

/// How the base is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseFormat {
    /// Plain bytes.
    Raw,
    /// Another overlay.
    Qcow2,
}

/// Why there is no overlay.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// The base could not be read.
    #[error("cannot read the base disk {}", path.display())]
    Base {
        /// The base.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The base is said to be qcow2 and is not.
    #[error("the base disk is not qcow2: {}", path.display())]
    NotQcow2 {
        /// The base.
        path: PathBuf,
    },
    /// The path cannot stand in an overlay.
    #[error("the base disk's path is not absolute, or longer than 1023 bytes: {}", path.display())]
    BasePath {
        /// The path.
        path: PathBuf,
    },
    /// The disk would cut its base off.
    #[error("a disk of {wanted} bytes is smaller than its base of {base} bytes")]
    TooSmall {
        /// The size asked for.
        wanted: u64,
        /// The base's.
        base: u64,
    },
    /// The disk would be larger than QEMU can use.
    #[error("a disk of {wanted} bytes is larger than the largest possible: {LARGEST} bytes")]
    TooLarge {
        /// The size asked for.
        wanted: u64,
    },
    /// The overlay could not be written.
    #[error("cannot write the overlay {}", path.display())]
    Write {
        /// The overlay.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Creates the overlay `path` of `size` bytes (rounded up to a sector) over `base`, whose path must be absolute.
///
/// # Errors
/// When the size is less than the base's, the file is there already, or something cannot be read or written.
pub fn create_overlay(path: &Path, base: &Path, format: BaseFormat, size: u64) -> Result<(), OverlayError> {
    if !base.is_absolute() || base.as_os_str().len() > LONGEST_PATH {
        return Err(OverlayError::BasePath { path: base.to_owned() });
    }
    let least = virtual_size(base, format)?;
    if size < least {
        return Err(OverlayError::TooSmall { wanted: size, base: least });
    }
    if size > LARGEST {
        return Err(OverlayError::TooLarge { wanted: size });
    }
    write(path, base, format, size.next_multiple_of(512))
        .map_err(|source| OverlayError::Write { path: path.to_owned(), source })
}

/// The size that a guest sees of the disk `path`.
///
/// # Errors
/// When it cannot be read or is not what `format` says.
pub fn virtual_size(path: &Path, format: BaseFormat) -> Result<u64, OverlayError> {
    let unread = |source| OverlayError::Base { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unread)?;
    match format {
        BaseFormat::Raw => Ok(file.metadata().map_err(unread)?.len()),
        BaseFormat::Qcow2 => {
            let mut start = [0; 32];
            file.read_exact(&mut start).map_err(unread)?;
            match start.split_at(24) {
                (head, size) if head.starts_with(&MAGIC) => {
                    Ok(size.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
                }
                (_, _) => Err(OverlayError::NotQcow2 { path: path.to_owned() }),
            }
        }
    }
}

/// Cluster 0 is the header, 1 the table of reference counts, 2 the counts, 3 and on the first-level table.
fn write(path: &Path, base: &Path, format: BaseFormat, size: u64) -> io::Result<()> {
    let entries = size.div_ceil(L1_COVERS);
    let clusters = 3 + (entries * 8).div_ceil(CLUSTER);
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.set_len(clusters * CLUSTER)?;
    file.write_all_at(&(2 * CLUSTER).to_be_bytes(), CLUSTER)?;
    let counts: Vec<u8> = (0..clusters).flat_map(|_| 1_u16.to_be_bytes()).collect();
    file.write_all_at(&counts, 2 * CLUSTER)?;
    file.write_all_at(&header(base, format, size, entries), 0)
}

fn header(base: &Path, format: BaseFormat, size: u64, entries: u64) -> Vec<u8> {
    let name = base.as_os_str().as_bytes();
    let format: &[u8] = match format {
        BaseFormat::Raw => b"raw",
        BaseFormat::Qcow2 => b"qcow2",
    };
    let mut out = Vec::with_capacity(512);
    let long = |out: &mut Vec<u8>, value: u64| out.extend_from_slice(&value.to_be_bytes());
    let word = |out: &mut Vec<u8>, value: u32| out.extend_from_slice(&value.to_be_bytes());
    // Extensions: the base's format (8 bytes of head, 8 of padded name), then the end mark.
    let name_at = u64::try_from(HEADER).unwrap_or(0) + 16 + 8;
    out.extend_from_slice(&MAGIC);
    word(&mut out, 3);
    long(&mut out, name_at);
    word(&mut out, u32::try_from(name.len()).unwrap_or(0));
    word(&mut out, CLUSTER_BITS);
    long(&mut out, size);
    word(&mut out, 0); // not encrypted
    word(&mut out, u32::try_from(entries).unwrap_or(0));
    long(&mut out, 3 * CLUSTER);
    long(&mut out, CLUSTER);
    word(&mut out, 1); // clusters of the table of reference counts
    word(&mut out, 0); // no snapshots
    long(&mut out, 0);
    long(&mut out, 0); // no incompatible features
    long(&mut out, 0); // no compatible ones
    long(&mut out, 0); // no auto-clear ones
    word(&mut out, 4); // counts of 16 bits
    word(&mut out, u32::try_from(HEADER).unwrap_or(0));
    long(&mut out, 0); // compression: zlib
    word(&mut out, BACKING_FORMAT);
    word(&mut out, u32::try_from(format.len()).unwrap_or(0));
    out.extend_from_slice(format);
    out.resize(HEADER + 16, 0);
    long(&mut out, 0);
    out.extend_from_slice(name);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const MIB: u64 = 1 << 20;

    fn raw_base(folder: &Path) -> PathBuf {
        let base = folder.join("base.raw");
        File::create(&base).unwrap().set_len(5 * MIB).unwrap();
        base
    }

    /// What `qemu-img` says of a disk, where it is installed.
    fn qemu_img(verb: &str, path: &Path) -> Option<String> {
        let output = Command::new("qemu-img").args([verb, "--output=json"]).arg(path).output().ok()?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{verb}: {error}");
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn check(path: &Path, size: u64, base: &Path, format: &str) {
        assert_eq!(virtual_size(path, BaseFormat::Qcow2).unwrap(), size);
        let Some(info) = qemu_img("info", path) else { return };
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        assert_eq!(info["virtual-size"], size);
        assert_eq!(info["backing-filename"], base.to_str().unwrap());
        assert_eq!(info["backing-filename-format"], format);
        let found = qemu_img("check", path).unwrap();
        assert!(!found.contains("\"leaks\"") && !found.contains("\"corruptions\""), "{found}");
    }

    #[test]
    fn an_overlay_of_any_size_is_one_that_qemu_accepts() {
        let folder = tempfile::tempdir().unwrap();
        let base = raw_base(folder.path());
        for size in [5 * MIB, 513 * MIB, 10 << 30, 5 << 40] {
            let path = folder.path().join(format!("{size}.qcow2"));
            create_overlay(&path, &base, BaseFormat::Raw, size).unwrap();
            check(&path, size, &base, "raw");
        }
    }

    #[test]
    fn an_overlay_may_stand_on_another() {
        let folder = tempfile::tempdir().unwrap();
        let first = folder.path().join("first.qcow2");
        let second = folder.path().join("second.qcow2");
        create_overlay(&first, &raw_base(folder.path()), BaseFormat::Raw, 64 * MIB).unwrap();
        create_overlay(&second, &first, BaseFormat::Qcow2, 64 * MIB).unwrap();
        check(&second, 64 * MIB, &first, "qcow2");
    }

    #[test]
    fn a_disk_smaller_than_its_base_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.qcow2");
        let refused = create_overlay(&path, &raw_base(folder.path()), BaseFormat::Raw, MIB).unwrap_err();
        assert!(matches!(refused, OverlayError::TooSmall { base, .. } if base == 5 * MIB));
        assert!(!path.exists());
    }

    #[test]
    fn nothing_is_overwritten_and_no_path_is_relative() {
        let folder = tempfile::tempdir().unwrap();
        let base = raw_base(folder.path());
        let again = create_overlay(&base, &base, BaseFormat::Raw, 5 * MIB).unwrap_err();
        assert!(matches!(again, OverlayError::Write { .. }));
        let relative = create_overlay(&base, Path::new("base.raw"), BaseFormat::Raw, 5 * MIB).unwrap_err();
        assert!(matches!(relative, OverlayError::BasePath { .. }));
        let not = create_overlay(&folder.path().join("x"), &base, BaseFormat::Qcow2, 5 * MIB).unwrap_err();
        assert!(matches!(not, OverlayError::NotQcow2 { .. }));
    }

    #[test]
    fn what_a_guest_writes_goes_to_the_overlay_alone() {
        let folder = tempfile::tempdir().unwrap();
        let base = raw_base(folder.path());
        let path = folder.path().join("disk.qcow2");
        create_overlay(&path, &base, BaseFormat::Raw, 2 << 30).unwrap();
        let mut io = Command::new("qemu-io");
        io.args(["-c", "write -P 7 1536M 1M", "-c", "read -P 7 1536M 1M"]).arg(&path);
        let Ok(output) = io.output() else { return };
        assert!(output.status.success() && !String::from_utf8_lossy(&output.stdout).contains("failed"));
        assert!(std::fs::read(&base).unwrap().iter().all(|byte| *byte == 0));
        qemu_img("check", &path);
    }
}
