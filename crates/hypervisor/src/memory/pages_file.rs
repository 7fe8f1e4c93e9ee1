//! The file of saved pages: the pages' bytes, then a list of which they are, then a fixed end that says how to read
//! both. Little-endian. Written in one go and digested meanwhile, so the list comes last.
//!
//! ```text
//! page bytes ... | first u64, pages u32, kind u32 (0: bytes, 1: zeros) ... | end: 64 bytes
//! ```

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use machine_core::Digest;
use sha2::{Digest as _, Sha256};

use super::{Failure, PAGE};

const MAGIC: [u8; 8] = *b"MPAGES\0\x01";
const ENTRY: usize = 16;
const END: usize = 64;
/// Bytes that are held at a time.
pub(super) const WINDOW: usize = 1 << 20;

/// Pages that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) pages: u64,
}

/// Pages of one kind that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) run: Run,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bytes,
    Zeros,
}

/// A file in the making.
pub(super) struct Writer {
    file: File,
    hash: Sha256,
    written: u64,
    pieces: Vec<Piece>,
}

/// What was written.
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) digest: Digest,
    pub(super) zero_pages: u64,
}

impl Writer {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { file, hash: Sha256::new(), written: 0, pieces: Vec::new() })
    }

    /// Adds pages that follow each other, as many as the bytes are.
    pub(super) fn add(&mut self, mut first: u64, bytes: &[u8]) -> io::Result<()> {
        let is_zero = |page: &&[u8]| page.iter().all(|byte| *byte == 0);
        let mut rest = bytes;
        while let Some(page) = rest.chunks(PAGE as usize).next() {
            let kind = if is_zero(&page) { Kind::Zeros } else { Kind::Bytes };
            let same = rest.chunks(PAGE as usize).take_while(|page| is_zero(page) == (kind == Kind::Zeros)).count();
            let (these, others) = rest.split_at(same * PAGE as usize);
            if kind == Kind::Bytes {
                self.put(these)?;
            }
            self.note(Piece { run: Run { first, pages: same as u64 }, kind });
            first += same as u64;
            rest = others;
        }
        Ok(())
    }

    fn note(&mut self, piece: Piece) {
        match self.pieces.last_mut() {
            Some(last) if last.kind == piece.kind && last.run.first + last.run.pages == piece.run.first => {
                last.run.pages += piece.run.pages;
            }
            Some(_) | None => self.pieces.push(piece),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Writes list and end, and syncs it all. `pages` is the size of the memory.
    pub(super) fn finish(mut self, pages: u64) -> io::Result<Written> {
        let data = self.written;
        let list: Vec<u8> = self.pieces.iter().flat_map(entry).collect();
        self.put(&list)?;
        let mut end = [0; END];
        end[..8].copy_from_slice(&MAGIC);
        for (place, number) in [(8, PAGE), (16, pages), (24, self.pieces.len() as u64), (32, data)] {
            end[place..place + 8].copy_from_slice(&number.to_le_bytes());
        }
        self.put(&end)?;
        self.file.sync_all()?;
        let zeros = self.pieces.iter().filter(|piece| piece.kind == Kind::Zeros);
        let zero_pages = zeros.map(|piece| piece.run.pages).sum();
        Ok(Written { bytes: self.written, digest: digest(self.hash), zero_pages })
    }
}

fn entry(piece: &Piece) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[..8].copy_from_slice(&piece.run.first.to_le_bytes());
    // A memory of 16 TiB has as many pages; none is as large.
    entry[8..12].copy_from_slice(&u32::try_from(piece.run.pages).unwrap_or(u32::MAX).to_le_bytes());
    let kind: u32 = match piece.kind {
        Kind::Bytes => 0,
        Kind::Zeros => 1,
    };
    entry[12..].copy_from_slice(&kind.to_le_bytes());
    entry
}

fn digest(hash: Sha256) -> Digest {
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}").parse().expect("a SHA-256 has 64 hexadecimal digits")
}

/// A file that is read. Its list was checked for sense; its digest is known when everything was read.
pub(super) struct Reader {
    file: File,
    pieces: Vec<Piece>,
    /// Where the list begins.
    data: u64,
    length: u64,
}

impl Reader {
    /// Opens a file of pages of a memory of so many.
    pub(super) fn open(path: &Path, pages: u64) -> Result<Self, Failure> {
        let damaged = |what: &str| Failure::Damaged(what.to_owned());
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let list_end = length.checked_sub(END as u64).ok_or_else(|| damaged("it is too short"))?;
        let mut end = [0; END];
        file.read_exact_at(&mut end, list_end)?;
        let number = |place: usize| end[place..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if !end.starts_with(&MAGIC) || number(8) != PAGE {
            return Err(damaged("it is no file of pages"));
        }
        let (entries, data) = (number(24), number(32));
        let list = list_end.checked_sub(data).filter(|list| entries.checked_mul(ENTRY as u64) == Some(*list));
        // No more pieces than pages: whatever it says, it is not much.
        let list = list.filter(|_| number(16) == pages && entries <= pages);
        let list = list.and_then(|list| usize::try_from(list).ok()).ok_or_else(|| damaged("its end makes no sense"))?;
        let mut bytes = vec![0; list];
        file.read_exact_at(&mut bytes, data)?;
        let pieces: Option<Vec<Piece>> = bytes.chunks_exact(ENTRY).map(piece).collect();
        let pieces = pieces.filter(|pieces| make_sense(pieces, pages, data));
        let pieces = pieces.ok_or_else(|| damaged("its list makes no sense"))?;
        Ok(Self { file, pieces, data, length })
    }

    /// Hands every page to `lay`, in order; `None` for pages of zeros. Answers the digest of the whole file.
    pub(super) fn read(self, mut lay: impl FnMut(Run, Option<&[u8]>) -> io::Result<()>) -> io::Result<Digest> {
        let mut hash = Sha256::new();
        let mut window = vec![0; WINDOW];
        let mut at = 0;
        for Piece { run, kind } in &self.pieces {
            let mut first = run.first;
            let end = run.first + run.pages;
            while first < end {
                let pages = (end - first).min(WINDOW as u64 / PAGE);
                let part = Run { first, pages };
                match kind {
                    Kind::Zeros => lay(part, None)?,
                    Kind::Bytes => {
                        let bytes = &mut window[..(pages * PAGE) as usize];
                        self.file.read_exact_at(bytes, at)?;
                        hash.update(&*bytes);
                        lay(part, Some(bytes))?;
                        at += pages * PAGE;
                    }
                }
                first += pages;
            }
        }
        self.hash_rest(&mut hash, &mut window)?;
        Ok(digest(hash))
    }

    fn hash_rest(&self, hash: &mut Sha256, window: &mut [u8]) -> io::Result<()> {
        let mut at = self.data;
        while at < self.length {
            let bytes = usize::try_from(self.length - at).unwrap_or(WINDOW).min(WINDOW);
            self.file.read_exact_at(&mut window[..bytes], at)?;
            hash.update(&window[..bytes]);
            at += bytes as u64;
        }
        Ok(())
    }
}

fn piece(entry: &[u8]) -> Option<Piece> {
    let (first, rest) = entry.split_first_chunk()?;
    let (pages, kind) = rest.split_first_chunk()?;
    let kind = match u32::from_le_bytes(*kind.first_chunk()?) {
        0 => Kind::Bytes,
        1 => Kind::Zeros,
        _ => return None,
    };
    Some(Piece { run: Run { first: u64::from_le_bytes(*first), pages: u32::from_le_bytes(*pages).into() }, kind })
}

/// In order, none twice, none beyond the memory's end, and as many bytes as there are.
fn make_sense(pieces: &[Piece], pages: u64, data: u64) -> bool {
    let mut next = 0;
    let mut bytes = 0;
    pieces.iter().all(|Piece { run, kind }| {
        let in_order = run.first >= next && run.pages > 0;
        let end = run.first.checked_add(run.pages).filter(|end| *end <= pages);
        next = end.unwrap_or(u64::MAX);
        bytes += if *kind == Kind::Bytes { run.pages * PAGE } else { 0 };
        in_order && end.is_some()
    }) && bytes == data
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PAGES: u64 = 64;

    fn page(byte: u8) -> Vec<u8> {
        vec![byte; PAGE as usize]
    }

    fn written(path: &Path) -> Written {
        let mut writer = Writer::create(path).unwrap();
        writer.add(2, &[page(1), page(2), page(0)].concat()).unwrap();
        writer.add(5, &[page(0), page(3)].concat()).unwrap();
        writer.add(63, &page(4)).unwrap();
        writer.finish(PAGES).unwrap()
    }

    fn read(path: &Path) -> Result<(Vec<(u64, u8)>, Digest), Failure> {
        let mut pages = Vec::new();
        let digest = Reader::open(path, PAGES)?.read(|run, bytes| {
            let byte = |place: u64| bytes.map_or(0, |bytes| bytes[(place * PAGE) as usize]);
            pages.extend((0..run.pages).map(|place| (run.first + place, byte(place))));
            Ok(())
        })?;
        Ok((pages, digest))
    }

    #[test]
    fn pages_come_back_as_they_went_and_zeros_take_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pages");
        let written = written(&path);
        assert_eq!(written.zero_pages, 2);
        assert_eq!(written.bytes, fs::metadata(&path).unwrap().len());
        assert!(written.bytes < 5 * PAGE);
        let (pages, digest) = read(&path).unwrap();
        assert_eq!(pages, [(2, 1), (3, 2), (4, 0), (5, 0), (6, 3), (63, 4)]);
        assert_eq!(digest, written.digest);
        assert!(Writer::create(&path).is_err(), "a file that is there is nobody's to overwrite");
    }

    #[test]
    fn every_flipped_bit_is_found_and_none_breaks_the_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pages");
        let digest = written(&path).digest;
        let whole = fs::read(&path).unwrap();
        let data = usize::try_from(4 * PAGE).unwrap();
        let places = [0, 4095, data - 1].into_iter().chain(data..whole.len());
        for place in places {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[place] ^= 1 << bit;
                fs::write(&path, flipped).unwrap();
                assert!(read(&path).is_err() || read(&path).is_ok_and(|(_, found)| found != digest), "{place}.{bit}");
            }
        }
        for length in [0, 10, 63, 64, data, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(read(&path), Err(Failure::Damaged(_))), "{length}");
        }
    }

    #[test]
    fn a_list_that_lies_is_refused() {
        let bytes = |first, pages| Piece { run: Run { first, pages }, kind: Kind::Bytes };
        assert!(make_sense(&[bytes(0, 2), bytes(5, 1)], 6, 3 * PAGE));
        for (pieces, data) in [
            (vec![bytes(0, 7)], 7),
            (vec![bytes(u64::MAX, 2)], 2),
            (vec![bytes(3, 1), bytes(3, 1)], 2),
            (vec![bytes(0, 0)], 0),
            (vec![bytes(0, 1)], 2),
        ] {
            assert!(!make_sense(&pieces, 6, data * PAGE), "{pieces:?}");
        }
    }
}
