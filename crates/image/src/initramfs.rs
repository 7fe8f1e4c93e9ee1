//! The first file system of a guest: the agent as `/init` and the modules it loads before it mounts the root disk.
//! Made by the host when it starts, since it belongs to (kernel, agent): a new agent needs no new template.

use crate::cpio::Archive;
use crate::kernel::KernelParts;
use crate::lz4;

/// Folders the agent mounts on, with their modes.
const FOLDERS: [(&str, u32); 8] = [
    ("dev", 0o755),
    ("modules", 0o755),
    ("newroot", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
];

/// The initramfs for `kernel` with `agent` as its first program: lz4-packed, the same bytes each time.
///
/// `/modules.list` names the files under `/modules` to load, one absolute path a line, in order.
#[must_use]
pub fn build_initramfs(kernel: &KernelParts, agent: &[u8]) -> Vec<u8> {
    let mut archive = Archive::new();
    for (path, mode) in FOLDERS {
        archive.folder(path, mode);
    }
    archive.device("dev/console", 0o600, 5, 1);
    archive.device("dev/null", 0o666, 1, 3);
    archive.file("init", 0o755, agent);
    let mut list = String::new();
    for module in &kernel.modules {
        archive.file(&format!("modules/{}", module.file), 0o644, &module.bytes);
        list.push_str("/modules/");
        list.push_str(&module.file);
        list.push('\n');
    }
    archive.file("modules.list", 0o644, list.as_bytes());
    lz4::legacy_frame(&archive.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::BootModule;

    fn parts() -> KernelParts {
        let module = |file: &str| BootModule { file: file.to_owned(), bytes: vec![7; 5000] };
        KernelParts { version: "6.12".to_owned(), modules: vec![module("b.ko"), module("a.ko")] }
    }

    fn unpacked(frame: &[u8]) -> Vec<u8> {
        lz4_flex::block::decompress(&frame[8..], 8 << 20).unwrap()
    }

    #[test]
    fn the_modules_are_listed_in_load_order() {
        let archive = unpacked(&build_initramfs(&parts(), b"agent"));
        let list = b"/modules/b.ko\n/modules/a.ko\n";
        assert!(archive.windows(list.len()).any(|window| window == list));
    }

    #[test]
    fn the_same_kernel_and_agent_give_the_same_bytes() {
        assert_eq!(build_initramfs(&parts(), b"agent"), build_initramfs(&parts(), b"agent"));
        assert_ne!(build_initramfs(&parts(), b"agent"), build_initramfs(&parts(), b"other"));
    }
}
