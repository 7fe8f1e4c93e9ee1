//! Which processor the guest sees. Always a named, versioned model: `host` and `max` differ between
//! computers and between versions of QEMU, and a saved machine could not go on elsewhere.

use crate::accelerator::Accelerator;

/// What TCG emulates without a warning: x86-64-v3. The four are what TCG lacks of Haswell-v4.
const TCG: &str = "Haswell-v4,-pcid,-tsc-deadline,-invpcid,-spec-ctrl";

/// Best first; the first whose every feature the host has is taken. One list for both makers: each model
/// carries features that only its maker's processors have.
pub(super) const KVM_BEST_FIRST: [&str; 16] = [
    "SapphireRapids-v2",
    "EPYC-Genoa-v1",
    "EPYC-Milan-v2",
    "Icelake-Server-v6",
    "Icelake-Server-v4",
    "Cascadelake-Server-v4",
    "Skylake-Server-v4",
    "EPYC-Rome-v4",
    "EPYC-v4",
    "Broadwell-v4",
    "Haswell-v4",
    "Haswell-v2",
    "EPYC-v1",
    "IvyBridge-v2",
    "SandyBridge-v2",
    "Nehalem-v1",
];

/// The value of `-cpu`, or `None` if no known model runs here. `enforce` makes QEMU refuse, rather than
/// quietly take a feature away.
pub(super) fn choose(accelerator: Accelerator, usable_under_kvm: &[String]) -> Option<String> {
    match accelerator {
        Accelerator::Tcg => Some(format!("{TCG},enforce")),
        Accelerator::Kvm => KVM_BEST_FIRST
            .iter()
            .find(|known| usable_under_kvm.iter().any(|usable| usable == *known))
            .map(|model| format!("{model},enforce")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under_kvm(usable: &[&str]) -> Option<String> {
        let usable: Vec<String> = usable.iter().map(|&name| name.to_owned()).collect();
        choose(Accelerator::Kvm, &usable)
    }

    #[test]
    fn kvm_gets_the_best_model_that_the_host_satisfies() {
        assert_eq!(under_kvm(&["Nehalem-v1", "Haswell-v4", "qemu64-v1"]), Some("Haswell-v4,enforce".to_owned()));
    }

    #[test]
    fn kvm_never_gets_a_model_that_differs_between_computers() {
        assert_eq!(under_kvm(&["host", "max", "base", "qemu64-v1"]), None);
        assert!(KVM_BEST_FIRST.iter().all(|model| model.contains("-v")));
    }
}
