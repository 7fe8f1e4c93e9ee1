//! The guest kernel's command line.

use machine_core::network::{GATEWAY, GUEST, PREFIX, RESOLVER};

use crate::accelerator::Accelerator;
use crate::boot_plan::{Kernel, Nic};
use crate::driver::{Host, PlanRefusal};

/// The kernel's COMMAND_LINE_SIZE on x86, with its final zero.
const MOST_BYTES: usize = 2048;

/// Together they save three quarters of a second of processor time under TCG: no self-tests of ciphers, no
/// collecting of timing jitter (the processor and virtio-rng give randomness), one serial port, no probing
/// for a keyboard controller. `panic=-1` with `-no-reboot`: a panic ends the VMM at once.
const ALWAYS: &str = "console=ttyS0 quiet panic=-1 reboot=t no_timer_check cryptomgr.notests \
                      initcall_blacklist=jent_mod_init 8250.nr_uarts=1 i8042.noaux i8042.nokbd i8042.nopnp \
                      random.trust_cpu=on";

/// The value of `-append`.
pub(super) fn command_line(kernel: &Kernel, nic: Option<&Nic>, host: &Host) -> Result<String, PlanRefusal> {
    let mut words = vec![ALWAYS.to_owned()];
    words.extend(time_stamp_counter(host));
    words.push("machine.root=/dev/vda".to_owned());
    words.extend(nic.map(|_| format!("machine.ip={GUEST}/{PREFIX},gw={GATEWAY},dns={RESOLVER}")));
    for parameter in &kernel.parameters {
        words.push(checked(parameter)?.to_owned());
    }
    let line = words.join(" ");
    if line.len() < MOST_BYTES { Ok(line) } else { Err(PlanRefusal::CommandLine(line.len())) }
}

/// Under TCG the guest's counter is the host's, and calibrating it against the emulated PIT on a busy host
/// was seen to be wrong by a factor of three. So the guest is told the rate; without a rate it must not be
/// told to trust the counter either. Under KVM the guest has kvm-clock.
fn time_stamp_counter(host: &Host) -> Option<String> {
    match (host.accelerator, host.tsc) {
        (Accelerator::Tcg, Some(rate)) => Some(format!("tsc=reliable tsc_early_khz={}", rate.0)),
        (Accelerator::Tcg, None) | (Accelerator::Kvm, _) => None,
    }
}

fn checked(parameter: &str) -> Result<&str, PlanRefusal> {
    let plain = !parameter.is_empty() && parameter.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    if plain { Ok(parameter) } else { Err(PlanRefusal::Parameter(parameter.to_owned())) }
}
