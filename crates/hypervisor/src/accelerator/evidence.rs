//! What can be seen of KVM without running a guest.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Whether `/dev/kvm` can be opened.
    pub device: Device,
    /// Loaded kernel modules whose name begins with `kvm`.
    pub modules: Vec<String>,
    /// Whether the processor says that it can run guests (vmx or svm).
    pub processor: Virtualization,
}

/// The state of `/dev/kvm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// It opens for reading and writing.
    Usable,
    /// It is there, but not for us.
    Forbidden,
    /// It is not there.
    Missing,
    /// It is there and does not open.
    Broken,
}

/// What the processor's flags say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Virtualization {
    /// vmx or svm.
    Present,
    /// Neither.
    Absent,
}

impl Evidence {
    pub(super) fn gather() -> Self {
        Self {
            device: device(Path::new("/dev/kvm")),
            modules: modules(Path::new("/sys/module")),
            processor: processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
        }
    }

    /// What already speaks against KVM, as a sentence.
    pub(super) fn against(&self) -> Option<String> {
        let reason = match self.device {
            Device::Missing => "there is no /dev/kvm",
            Device::Forbidden => "/dev/kvm is not for this user; join the group kvm",
            Device::Broken => "/dev/kvm does not open",
            Device::Usable => return self.processor_against(),
        };
        Some(reason.to_owned())
    }

    /// Software KVM (kvm_pvm) passes every short test and hangs on a stock kernel.
    fn processor_against(&self) -> Option<String> {
        let loaded = |name: &str| self.modules.iter().any(|module| module == name);
        let hardware_module = loaded("kvm_intel") || loaded("kvm_amd");
        match self.processor {
            Virtualization::Absent if loaded("kvm_pvm") => Some(
                "the processor has neither vmx nor svm; this /dev/kvm is kvm_pvm, which hangs on a stock kernel"
                    .to_owned(),
            ),
            Virtualization::Absent => Some("the processor has neither vmx nor svm".to_owned()),
            Virtualization::Present if loaded("kvm_pvm") && !hardware_module => {
                Some("this /dev/kvm is kvm_pvm, which hangs on a stock kernel".to_owned())
            }
            Virtualization::Present => None,
        }
    }
}

fn device(path: &Path) -> Device {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Device::Usable,
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Device::Missing,
            io::ErrorKind::PermissionDenied => Device::Forbidden,
            _ => Device::Broken,
        },
    }
}

fn modules(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<String> =
        names.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.starts_with("kvm")).collect();
    found.sort_unstable();
    found
}

fn processor(cpuinfo: &str) -> Virtualization {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    if flags.split_ascii_whitespace().any(|flag| flag == "vmx" || flag == "svm") {
        Virtualization::Present
    } else {
        Virtualization::Absent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(device: Device, modules: &[&str], flags: &str) -> Option<String> {
        let modules = modules.iter().map(|&name| name.to_owned()).collect();
        Evidence { device, modules, processor: processor(&format!("flags\t: fpu {flags}")) }.against()
    }

    #[test]
    fn software_kvm_is_not_kvm() {
        assert!(seen(Device::Usable, &["kvm", "kvm_pvm"], "sse").unwrap().contains("kvm_pvm"));
        assert!(seen(Device::Usable, &["kvm", "kvm_pvm"], "vmx").unwrap().contains("kvm_pvm"));
    }

    #[test]
    fn hardware_kvm_goes_on_to_the_loop() {
        assert_eq!(seen(Device::Usable, &["kvm", "kvm_intel"], "vmx"), None);
        assert_eq!(seen(Device::Usable, &[], "svm"), None);
    }

    #[test]
    fn a_device_that_does_not_open_says_why() {
        assert!(seen(Device::Forbidden, &["kvm"], "vmx").unwrap().contains("group kvm"));
        assert!(seen(Device::Missing, &[], "vmx").unwrap().contains("no /dev/kvm"));
        assert!(seen(Device::Broken, &[], "vmx").is_some());
    }
}
