//! Which devices there are that show a folder of the host, in the kernel's words. Looks, and changes nothing.

use std::fs;
use std::path::Path;

/// One folder for each device, with its tag in a file.
const DEVICES: &str = "/sys/fs/virtiofs";

/// Whether a device has this tag. A kernel older than 6.9 does not say: there, to mount is to ask.
pub(super) fn is_there(tag: &str) -> bool {
    is_among(Path::new(DEVICES), tag)
}

fn is_among(devices: &Path, tag: &str) -> bool {
    let Ok(devices) = fs::read_dir(devices) else { return true };
    let has_it = |device: fs::DirEntry| fs::read(device.path().join("tag")).is_ok_and(|found| called(&found) == tag);
    devices.flatten().any(has_it)
}

fn called(found: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(found.trim_ascii_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_known_by_its_tag_and_an_old_kernel_is_asked_otherwise() {
        let devices = tempfile::tempdir().unwrap();
        fs::create_dir(devices.path().join("3")).unwrap();
        fs::write(devices.path().join("3/tag"), "machine0\n").unwrap();
        assert!(is_among(devices.path(), "machine0"));
        assert!(!is_among(devices.path(), "machine"));
        assert!(is_among(&devices.path().join("none"), "machine"));
    }
}
