//! Loads the kernel's modules that the initramfs brings.

use crate::console::say;
use rustix::io::Errno;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::Path;

const LIST: &str = "/modules.list";
const FOLDER: &str = "/modules";

/// Loads what /modules.list names, in its order: `/modules/virtio_blk.ko` or the bare name of a
/// file there, with parameters after a space if it needs any. What fails is said; perhaps it was
/// not needed.
pub(super) fn load() {
    let list = std::fs::read_to_string(LIST).unwrap_or_default();
    for line in list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, parameters) = line.split_once(' ').unwrap_or((line, ""));
        match load_one(name, parameters) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {}
            Err(error) => say(format_args!("cannot load the module {name}: {error}")),
        }
    }
}

fn load_one(name: &str, parameters: &str) -> io::Result<()> {
    let file = File::open(Path::new(FOLDER).join(name))?;
    let parameters = CString::new(parameters)?;
    Ok(rustix::system::finit_module(&file, &parameters, 0)?)
}
