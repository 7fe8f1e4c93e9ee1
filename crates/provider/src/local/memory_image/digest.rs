//! Digests of large sparse files: memory is mostly nothing, and nothing costs nothing here.
//!
//! A file's digest is the SHA-256 of its length and of each 64 KiB piece that is not all zeros, with its place.
//! It depends on the content alone, not on where the file system keeps holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use machine_core::Digest;
use rustix::fs::SeekFrom;
use sha2::{Digest as _, Sha256};

const PIECE: usize = 64 << 10;
const WINDOW: usize = 16 * PIECE;

/// The digest of bytes.
pub(crate) fn of_bytes(bytes: &[u8]) -> Digest {
    finish(Sha256::new_with_prefix(bytes))
}

/// A line, and below it its digest: a small file that is known to be whole.
pub(crate) fn seal(line: &str) -> Vec<u8> {
    format!("{line}\n{}\n", of_bytes(line.as_bytes())).into_bytes()
}

/// The line of such a file.
///
/// # Errors
/// What is wrong with it, for people.
pub(crate) fn unseal(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let (line, seal) = text.split_once('\n').ok_or("it has no seal")?;
    match seal.trim_end() == of_bytes(line.as_bytes()).as_str() {
        true => Ok(line),
        false => Err("its digest is not its content's".to_owned()),
    }
}

/// The digest of a file's content; see the module.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn of_file(path: &Path) -> io::Result<Digest> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut hash = Sha256::new();
    hash.update(length.to_le_bytes());
    let mut window = vec![0; WINDOW];
    let mut at = 0;
    while let Some(data) = next_data(&file, at, length)? {
        // Pieces have fixed places, whatever holes there are.
        at = data / PIECE as u64 * PIECE as u64;
        let wanted = usize::try_from(length - at).unwrap_or(WINDOW).min(WINDOW);
        file.read_exact_at(&mut window[..wanted], at)?;
        for (index, piece) in window[..wanted].chunks(PIECE).enumerate() {
            if piece.iter().any(|byte| *byte != 0) {
                hash.update((at + (index * PIECE) as u64).to_le_bytes());
                hash.update(piece);
            }
        }
        at += wanted as u64;
    }
    Ok(finish(hash))
}

/// Where the next bytes are that may be something.
fn next_data(file: &File, from: u64, length: u64) -> io::Result<Option<u64>> {
    if from >= length {
        return Ok(None);
    }
    match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(at) => Ok(Some(at)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        // A file system that knows no holes has data everywhere.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => Ok(Some(from)),
        Err(error) => Err(error.into()),
    }
}

fn finish(hash: Sha256) -> Digest {
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}").parse().expect("a SHA-256 has 64 hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn holes_and_zeros_are_one_and_every_bit_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (holes, zeros) = (folder.path().join("holes"), folder.path().join("zeros"));
        let length = 5 * (1 << 20) + 17;
        let file = File::create(&holes).unwrap();
        file.set_len(length).unwrap();
        file.write_all_at(b"memory", 3 << 20).unwrap();
        fs::write(&zeros, fs::read(&holes).unwrap()).unwrap();
        let digest = of_file(&holes).unwrap();
        assert_eq!(digest, of_file(&zeros).unwrap());
        for place in [0, (3 << 20) + 1, length - 1] {
            let flipped = folder.path().join("flipped");
            fs::copy(&holes, &flipped).unwrap();
            let file = fs::OpenOptions::new().read(true).write(true).open(&flipped).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, place).unwrap();
            file.write_all_at(&[byte[0] ^ 4], place).unwrap();
            assert_ne!(digest, of_file(&flipped).unwrap(), "{place}");
        }
        File::options().write(true).open(&zeros).unwrap().set_len(length + 1).unwrap();
        assert_ne!(digest, of_file(&zeros).unwrap());
    }
}
