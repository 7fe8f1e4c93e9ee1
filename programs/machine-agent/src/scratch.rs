//! Where everything that flows is read to first. A fresh buffer for each read would cost more, in page faults of an
//! emulated processor, than a short command itself; and what waits for bytes holds none.

use std::cell::RefCell;

/// Longer than any datagram.
const CHUNK: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// Reads with `read`, which answers how much came.
pub(crate) fn read<E>(read: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<Vec<u8>, E> {
    SCRATCH.with_borrow_mut(|scratch| {
        let count = read(scratch)?;
        Ok(scratch[..count].to_vec())
    })
}
