//! Writes `newc` cpio archives, the form of an initramfs. Same entries, same bytes. Pure.

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER: u32 = 0o020_000;

/// What an entry is.
enum Kind<'a> {
    Folder,
    File(&'a [u8]),
    Device { major: u32, minor: u32 },
}

/// An archive being written; owner is always root, the time always 0.
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// An empty archive.
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new(), entries: 0 }
    }

    /// Adds the folder `path` (no leading slash).
    pub(crate) fn folder(&mut self, path: &str, mode: u32) {
        self.add(path, mode, Kind::Folder);
    }

    /// Adds the file `path`.
    pub(crate) fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) {
        self.add(path, mode, Kind::File(bytes));
    }

    /// Adds the character device `path`.
    pub(crate) fn device(&mut self, path: &str, mode: u32, major: u32, minor: u32) {
        self.add(path, mode, Kind::Device { major, minor });
    }

    /// The archive's bytes.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, 0, &[], (0, 0));
        self.bytes
    }

    fn add(&mut self, path: &str, mode: u32, kind: Kind<'_>) {
        self.entries += 1;
        let inode = self.entries;
        match kind {
            Kind::Folder => self.entry(path, inode, DIRECTORY | mode, &[], (0, 0)),
            Kind::File(bytes) => self.entry(path, inode, REGULAR | mode, bytes, (0, 0)),
            Kind::Device { major, minor } => self.entry(path, inode, CHARACTER | mode, &[], (major, minor)),
        }
    }

    fn entry(&mut self, path: &str, inode: u32, mode: u32, data: &[u8], device: (u32, u32)) {
        use std::io::Write as _;
        let size = u32::try_from(data.len()).expect("a file in an initramfs is below 4 GiB");
        let name = u32::try_from(path.len() + 1).expect("a path is short");
        let links = if mode & 0o170_000 == DIRECTORY { 2 } else { 1 };
        let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name, 0];
        let written = fields.iter().try_fold((), |(), field| write!(self.bytes, "{field:08x}"));
        debug_assert!(written.is_ok(), "a vector takes every byte");
        let start = self.bytes.len() - fields.len() * 8;
        self.bytes.splice(start..start, *b"070701");
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_laid_out_as_newc_says() {
        let mut archive = Archive::new();
        archive.file("init", 0o755, b"hello");
        let bytes = archive.finish();
        assert_eq!(
            &bytes[..110],
            b"070701000000010000\
81ed00000000000000000000000100000000000000050000000000000000000000000000000000000005\
00000000"
                .as_slice()
        );
        assert_eq!(&bytes[110..124], b"init\0\0hello\0\0\0");
        assert!(bytes.ends_with(b"TRAILER!!!\0\0\0\0"));
    }

    #[test]
    fn the_cpio_tool_reads_it_back() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        let mut archive = Archive::new();
        archive.folder("dev", 0o755);
        archive.device("dev/console", 0o600, 5, 1);
        archive.file("modules.list", 0o644, b"");
        let Ok(mut cpio) =
            Command::new("cpio").args(["-t", "--quiet"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
        else {
            return; // The tool is not part of every host; the layout is pinned above.
        };
        cpio.stdin.take().unwrap().write_all(&archive.finish()).unwrap();
        let listed = cpio.wait_with_output().unwrap().stdout;
        assert_eq!(listed, b"dev\ndev/console\nmodules.list\n");
    }
}
