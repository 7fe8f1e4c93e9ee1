//! The boot id of a guest that did not boot. Programs take it for the life of a kernel, and this kernel began
//! another life when it was restored.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Where the kernel tells it.
pub(crate) const TOLD: &str = "/proc/sys/kernel/random/boot_id";
const FOLDER: &str = "/run/machine";
const OURS: &str = "/run/machine/boot_id";

/// From now on it is told by this file, in the kernel's place, and as it was. Bound once: later lives only write
/// another.
pub(crate) fn take_over() -> io::Result<File> {
    let open = || File::options().write(true).open(OURS);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    fs::create_dir_all(FOLDER)?;
    let new = Path::new(FOLDER).join("boot_id.new");
    fs::write(&new, fs::read(TOLD)?)?;
    rustix::mount::mount_bind(&new, TOLD)?;
    fs::rename(new, OURS)?;
    open()
}

/// Tells a fresh one, made of `chance`, and answers it.
pub(crate) fn renew(file: &File, mut chance: &File) -> io::Result<String> {
    let mut bytes = [0; 16];
    chance.read_exact(&mut bytes)?;
    let fresh = uuid(bytes);
    // As long as the one before.
    file.write_all_at(format!("{fresh}\n").as_bytes(), 0)?;
    Ok(fresh)
}

/// A random UUID (version 4), as the kernel writes it.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let number = u128::from_be_bytes(bytes);
    let hex = format!("{number:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_random_where_it_may_be() {
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
