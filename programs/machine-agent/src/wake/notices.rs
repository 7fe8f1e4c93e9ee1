//! What the platform tells the kernel by itself: that the guest was restored (its VM generation id is another),
//! that a device came. A guest at rest does not listen; one that woke hears what was said meanwhile.
//!
//! The notice of a restore sets the kernel's ACPI interpreter to work, and threads are made for it: a third of
//! all code that an emulated guest runs until it first answers. Waking stirs the kernel's chance by itself, before
//! anything else, so nothing depends on hearing it sooner.

use std::fs;
use std::path::PathBuf;

const EVENTS: &str = "/sys/firmware/acpi/interrupts";

/// Events that are not listened to.
#[derive(Debug, Default)]
pub(crate) struct HeldBack(Vec<PathBuf>);

impl HeldBack {
    /// Stops listening to every event that the kernel listens to. What cannot be held back comes at once.
    pub(crate) fn all() -> Self {
        let files = fs::read_dir(EVENTS).into_iter().flatten().flatten().map(|file| file.path());
        let heard = files.filter(|path| is_event(path) && fs::read_to_string(path).is_ok_and(|text| is_heard(&text)));
        Self(heard.filter(|path| fs::write(path, "mask\n").is_ok()).collect())
    }

    /// Listens again.
    pub(crate) fn listen(self) {
        for path in self.0 {
            if let Err(error) = fs::write(&path, "unmask\n") {
                crate::console::say(format_args!("cannot listen to {}: {error}", path.display()));
            }
        }
    }
}

/// `gpe05`, and not the sum of all of them.
fn is_event(path: &std::path::Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix("gpe").is_some_and(|number| u8::from_str_radix(number, 16).is_ok())
}

/// As the kernel writes it: a count, flags, and words.
fn is_heard(text: &str) -> bool {
    let has = |word| text.split_whitespace().any(|part| part == word);
    has("enabled") && !has("masked")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn only_single_events_that_are_heard_are_held_back() {
        assert!(is_event(Path::new("/sys/firmware/acpi/interrupts/gpe05")));
        for other in ["gpe_all", "sci", "ff_pwr_btn", "gpe"] {
            assert!(!is_event(Path::new(other)), "{other}");
        }
        assert!(is_heard("       1  EN     enabled      unmasked\n"));
        assert!(!is_heard("       0     EN enabled      masked\n"));
        assert!(!is_heard("       0         invalid      unmasked\n"));
    }
}
