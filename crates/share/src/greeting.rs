//! The first message of the machine's kernel, and what we agree on. virtiofsd's own answer always promises that an
//! open empties the file where that is asked for; here an open is no message, so it must not be promised.

use std::io;

use virtiofsd::descriptor_utils::{Reader, Writer};
use virtiofsd::filesystem::FsOptions;
use virtiofsd::fuse::{
    InHeader, InitInCompat, InitInExt, InitOut, KERNEL_MINOR_VERSION, KERNEL_VERSION, MIN_KERNEL_MINOR_VERSION, Opcode,
    OutHeader,
};
use vm_memory::bitmap::BitmapSlice;

use crate::plan::Writes;

/// The largest read or write, in bytes and in the machine's pages.
const LARGEST: u32 = 1 << 20;
const LARGEST_PAGES: u16 = 256;

pub(crate) fn is_one<B: BitmapSlice + 'static>(mut message: Reader<'_, B>) -> bool {
    message.read_obj::<InHeader>().is_ok_and(|header| header.opcode == Opcode::Init as u32)
}

/// Answers it; says how many bytes that took.
pub(crate) fn answer<B: BitmapSlice + 'static>(
    mut from: Reader<'_, B>,
    mut to: Writer<'_, B>,
    writes: Writes,
) -> io::Result<usize> {
    let header: InHeader = from.read_obj()?;
    let asked: InitInCompat = from.read_obj()?;
    let first = u64::from(asked.flags);
    let more = if first & FsOptions::INIT_EXT.bits() == 0 { 0 } else { from.read_obj::<InitInExt>()?.flags2 };
    if asked.major != KERNEL_VERSION || asked.minor < MIN_KERNEL_MINOR_VERSION {
        let length = size_of::<OutHeader>();
        to.write_obj(OutHeader { len: length as u32, error: -libc::EPROTO, unique: header.unique })?;
        return Ok(length);
    }
    let agreed = agree(first | u64::from(more) << 32, writes);
    let length = size_of::<OutHeader>() + size_of::<InitOut>();
    to.write_obj(OutHeader { len: length as u32, error: 0, unique: header.unique })?;
    to.write_obj(InitOut {
        major: KERNEL_VERSION,
        minor: KERNEL_MINOR_VERSION,
        max_readahead: asked.max_readahead,
        flags: agreed as u32,
        max_background: u16::MAX,
        congestion_threshold: u16::MAX / 4 * 3,
        max_write: LARGEST,
        time_gran: 1,
        max_pages: LARGEST_PAGES,
        flags2: (agreed >> 32) as u32,
        ..InitOut::default()
    })?;
    Ok(length)
}

fn agree(asked: u64, writes: Writes) -> u64 {
    let always = FsOptions::ASYNC_READ
        | FsOptions::PARALLEL_DIROPS
        | FsOptions::BIG_WRITES
        | FsOptions::AUTO_INVAL_DATA
        | FsOptions::ASYNC_DIO
        | FsOptions::DO_READDIRPLUS
        | FsOptions::CACHE_SYMLINKS
        | FsOptions::HANDLE_KILLPRIV_V2
        | FsOptions::ZERO_MESSAGE_OPEN
        | FsOptions::ZERO_MESSAGE_OPENDIR
        | FsOptions::MAX_PAGES
        | FsOptions::INIT_EXT;
    let wanted = match writes {
        Writes::Through => always,
        Writes::Back => always | FsOptions::WRITEBACK_CACHE,
    };
    asked & wanted.bits()
}
