//! Whether this host can give what a machine asks for.

use crate::code::Code;
use crate::refusal::Refusal;
use crate::size::MiB;
use crate::spec::MachineSpec;

/// The least memory in which our guest boots (measured: the base template needs about 90 MiB).
pub const LEAST_MEMORY: MiB = MiB(128);
/// The most virtual processors that a q35 machine is given.
pub const MOST_CPUS: u32 = 64;

/// What a host has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Its processors.
    pub cpus: u32,
    /// Its memory.
    pub memory: MiB,
}

/// Admits a machine, or says what it asks too much or too little of.
///
/// # Errors
/// `capacity_exceeded` for more than the host has, `invalid_request` for what no machine can be.
pub fn admit(spec: &MachineSpec, host: Capacity) -> Result<(), Refusal> {
    if spec.cpus == 0 || spec.cpus > MOST_CPUS {
        return Err(invalid(format!("cpus out of range: {} (1 to {MOST_CPUS})", spec.cpus)));
    }
    if spec.memory < LEAST_MEMORY {
        return Err(invalid(format!("memory too small: {} (at least {LEAST_MEMORY})", spec.memory)));
    }
    if spec.memory > host.memory {
        return Err(exceeded("memory", spec.memory, host.memory));
    }
    if spec.cpus > host.cpus {
        return Err(exceeded("cpus", spec.cpus, host.cpus));
    }
    Ok(())
}

fn invalid(message: String) -> Refusal {
    Refusal::new(Code::InvalidRequest, message)
}

fn exceeded(what: &str, asked: impl std::fmt::Display, has: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::CapacityExceeded, format!("{what} larger than the host's: {asked}; this host has {has}"))
        .hint(format!("ask for at most {has}"))
        .reason(format!("{what}_exceeds_host"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const HOST: Capacity = Capacity { cpus: 2, memory: MiB(4096) };

    fn check(cpus: u32, memory: u64, answer: Result<(), Code>) {
        let digest = format!("sha256:{}", "0".repeat(64));
        let spec = MachineSpec {
            name: None,
            template: "base".parse().unwrap(),
            template_digest: digest.parse().unwrap(),
            cpus,
            memory: MiB(memory),
            disk: MiB(1024),
            envs: BTreeMap::new(),
            labels: BTreeMap::new(),
            metadata: "{}".to_owned(),
            cwd: None,
            first_start: crate::spec::FirstStart::Image,
            network: crate::network::NetworkSpec::default(),
            root: crate::spec::RootLife::Persistent,
            mounts: Vec::new(),
            deadlines: crate::spec::Deadlines::default(),
        };
        assert_eq!(admit(&spec, HOST).map_err(|refusal| refusal.code), answer, "{cpus} cpus, {memory} MiB");
    }

    #[test]
    fn a_machine_is_admitted_up_to_the_whole_host() {
        check(1, 128, Ok(()));
        check(2, 4096, Ok(()));
    }

    #[test]
    fn more_than_the_host_is_refused_with_what_it_has() {
        check(2, 4097, Err(Code::CapacityExceeded));
        check(3, 512, Err(Code::CapacityExceeded));
    }

    #[test]
    fn what_no_machine_can_be_is_invalid() {
        check(0, 512, Err(Code::InvalidRequest));
        check(65, 512, Err(Code::InvalidRequest));
        check(1, 127, Err(Code::InvalidRequest));
    }
}
