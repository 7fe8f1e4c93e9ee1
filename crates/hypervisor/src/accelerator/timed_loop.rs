//! The smallest guest that tells a real KVM from one that emulates single instructions: a million rounds
//! of a loop, then one byte to a port. Hardware needs under a millisecond.

use std::fmt;
use std::time::{Duration, Instant};

use kvm_bindings::{kvm_segment, kvm_sregs, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};

use super::sys::{self, GuestMemory};

/// Two hundred times what hardware takes.
const LIMIT: Duration = Duration::from_millis(200);

const MEMORY_BYTES: usize = 2 << 20;
const CODE_AT: usize = 0x1_0000;
const PORT: u16 = 0x10;

/// `mov ecx, 1000000; again: dec ecx; jnz again; mov al, 'K'; out 0x10, al; hlt`: the same in both modes.
const CODE: [u8; 14] = [0xb9, 0x40, 0x42, 0x0f, 0x00, 0xff, 0xc9, 0x75, 0xfc, 0xb0, b'K', 0xe6, 0x10, 0xf4];

/// The processor modes that a kernel's start goes through.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    Protected,
    Long,
}

impl fmt::Display for Mode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Protected => "protected mode",
            Self::Long => "long mode",
        })
    }
}

/// Why the loop did not end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stall {
    #[error("no progress within {} ms", LIMIT.as_millis())]
    NoProgress,
    #[error("it ended with {0} instead of its byte")]
    OtherExit(String),
    #[error("the kernel refused: {0}")]
    Refused(#[from] kvm_ioctls::Error),
    #[error("this process could not prepare: {0}")]
    Prepare(#[from] std::io::Error),
}

/// Runs the loop and says how long it took.
pub(super) fn run(mode: Mode) -> Result<Duration, Stall> {
    let mut memory = GuestMemory::new(MEMORY_BYTES)?;
    lay_out(memory.bytes());
    let vm = Kvm::new()?.create_vm()?;
    let region = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: MEMORY_BYTES as u64,
        userspace_addr: memory.address(),
    };
    sys::give_memory(&vm, region, &memory)?;
    let mut vcpu = prepare(&vm, mode)?;
    sys::interrupt_us_every(LIMIT)?;
    let started = Instant::now();
    let exit = vcpu.run();
    let took = started.elapsed();
    match exit {
        Ok(VcpuExit::IoOut(PORT, b"K")) if took < LIMIT => Ok(took),
        Ok(VcpuExit::IoOut(PORT, b"K") | VcpuExit::Intr) => Err(Stall::NoProgress),
        Ok(other) => Err(Stall::OtherExit(format!("{other:?}"))),
        Err(error) if error.errno() == libc::EINTR => Err(Stall::NoProgress),
        Err(error) => Err(error.into()),
    }
}

/// Code, and page tables that map the first 2 MiB onto themselves.
fn lay_out(memory: &mut [u8]) {
    const PRESENT_WRITABLE: u64 = 0b11;
    const LARGE: u64 = 1 << 7;
    let mut put = |at: usize, bytes: &[u8]| memory[at..at + bytes.len()].copy_from_slice(bytes);
    put(PAGE_TABLES_AT, &(0xa000 | PRESENT_WRITABLE).to_le_bytes());
    put(0xa000, &(0xb000 | PRESENT_WRITABLE).to_le_bytes());
    put(0xb000, &(PRESENT_WRITABLE | LARGE).to_le_bytes());
    put(CODE_AT, &CODE);
}

const PAGE_TABLES_AT: usize = 0x9000;

fn prepare(vm: &VmFd, mode: Mode) -> Result<VcpuFd, Stall> {
    let vcpu = vm.create_vcpu(0)?;
    let mut sregs = vcpu.get_sregs()?;
    enter(&mut sregs, mode);
    vcpu.set_sregs(&sregs)?;
    let mut registers = vcpu.get_regs()?;
    registers.rip = CODE_AT as u64;
    registers.rsp = 0x8000;
    registers.rflags = 2;
    vcpu.set_regs(&registers)?;
    Ok(vcpu)
}

fn enter(sregs: &mut kvm_sregs, mode: Mode) {
    const PROTECTED: u64 = 1;
    const PAGING: u64 = 1 << 31;
    const PHYSICAL_ADDRESS_EXTENSION: u64 = 1 << 5;
    const LONG_ENABLED_ACTIVE: u64 = 1 << 8 | 1 << 10;
    sregs.cr0 |= PROTECTED;
    if matches!(mode, Mode::Long) {
        sregs.cr3 = PAGE_TABLES_AT as u64;
        sregs.cr4 |= PHYSICAL_ADDRESS_EXTENSION;
        sregs.cr0 |= PAGING;
        sregs.efer |= LONG_ENABLED_ACTIVE;
    }
    sregs.cs = flat(0x8, 11, mode);
    let data = flat(0x10, 3, Mode::Protected);
    for segment in [&mut sregs.ds, &mut sregs.es, &mut sregs.fs, &mut sregs.gs, &mut sregs.ss] {
        *segment = data;
    }
}

fn flat(selector: u16, kind: u8, mode: Mode) -> kvm_segment {
    let (wide, long) = match mode {
        Mode::Protected => (1, 0),
        Mode::Long => (0, 1),
    };
    kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector,
        type_: kind,
        present: 1,
        s: 1,
        g: 1,
        db: wide,
        l: long,
        ..Default::default()
    }
}
