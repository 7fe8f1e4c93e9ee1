//! The boot id of a guest that did not boot. Programs take it for the life of a kernel, and this kernel began
//! another life when it was restored.

use crate::content;
use crate::plate::{Plate, Told};
use std::fs;
use std::io;
use std::path::Path;

/// Where the kernel tells it.
pub(crate) const TOLD: &str = "/proc/sys/kernel/random/boot_id";
const FOLDER: &str = "/run/machine";
const OURS: &str = "/run/machine/boot_id";
/// With the line's end.
const LENGTH: usize = 37;
const HEX: [u8; 16] = *b"0123456789abcdef";

/// From now on it is told by this file, in the kernel's place, and as it was. Bound once: later lives only write
/// another.
fn take_over() -> io::Result<()> {
    if Path::new(OURS).exists() {
        return Ok(());
    }
    fs::create_dir_all(FOLDER)?;
    let new = Path::new(FOLDER).join("boot_id.new");
    fs::write(&new, fs::read(TOLD)?)?;
    rustix::mount::mount_bind(&new, TOLD)?;
    fs::rename(new, OURS)
}

/// The plate that tells it: as it was, until another is told.
pub(crate) fn plate() -> io::Result<Option<Plate>> {
    take_over()?;
    Plate::lie_down(Path::new(OURS), "", &fs::read_to_string(OURS)?, LENGTH)
}

/// Tells a fresh one, and answers it.
pub(crate) fn renew(plate: Option<&mut Plate>, random: [u8; 16]) -> io::Result<String> {
    let mut fresh = uuid(random);
    fresh.push('\n');
    if plate.is_none_or(|plate| plate.tell(&fresh) == Told::No) {
        take_over()?;
        content::ensure(Path::new(OURS), &fresh)?;
    }
    fresh.pop();
    Ok(fresh)
}

/// A random UUID (version 4), as the kernel writes it.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    // By hand: to format is much code, and an emulated guest runs all of it for the first time.
    let mut text = String::with_capacity(LENGTH);
    for (at, byte) in bytes.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 0x0f] {
            text.push(char::from(HEX[usize::from(digit)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_random_where_it_may_be() {
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let each: [u8; 16] = std::array::from_fn(|at| u8::try_from(at).unwrap() * 0x11);
        assert_eq!(uuid(each), "00112233-4455-4677-8899-aabbccddeeff");
    }
}
