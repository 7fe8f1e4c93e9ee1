//! Lays saved pages over the memory of a VMM that has not run yet. What turns out to be damaged was laid by then: the
//! VMM is of no use, and is ended by who asked.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use machine_core::Digest;

use super::pages_file::{Reader, WINDOW};
use super::{Failure, PAGE, regions};
use crate::boot_plan::Memory;
use crate::memory::save::addresses;

pub(super) fn lay(pid: u32, memory: &Memory, from: &Path, digest: &Digest) -> Result<(), Failure> {
    let reader = Reader::open(from, memory.size.bytes() / PAGE)?;
    let regions = regions::of(pid, memory)?;
    let process = File::options().write(true).open(format!("/proc/{pid}/mem"))?;
    let zeros = vec![0; WINDOW];
    let found = reader.read(|run, bytes| {
        let bytes = bytes.unwrap_or(&zeros);
        for (piece, address) in addresses(&regions, run) {
            let from = ((piece.first - run.first) * PAGE) as usize;
            process.write_all_at(&bytes[from..from + (piece.pages * PAGE) as usize], address)?;
        }
        Ok(())
    })?;
    match found == *digest {
        true => Ok(()),
        false => Err(Failure::Damaged("its digest is not what was saved".to_owned())),
    }
}
