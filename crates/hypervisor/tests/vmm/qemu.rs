//! The real QEMU of this computer, with the line that the driver plans, and a kernel of some bytes: it says
//! `up` on the serial port and then does one thing for ever. Where there is no QEMU these are skipped aloud.

use std::ffi::OsStr;
use std::fs;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_core::MiB;
use machine_core::machine::Generation;
use machine_hypervisor::accelerator::{Accelerator, probe};
use machine_hypervisor::boot_plan::{Backing, BootPlan, Kernel, MacAddress, Memory, Nic, RootDisk, Start};
use machine_hypervisor::driver::qemu::{Installation, Qemu};
use machine_hypervisor::driver::{Control, Driver, GuestEnd, Host, VmmStatus};
use machine_hypervisor::process::{Asked, ExitStatus, LaunchError, Vmm, this_program};
use machine_hypervisor::tsc;

use crate::stage::{Stage, recorded};

crate::promises! {
    the_planned_line_boots_without_a_warning, a_machine_pauses_resumes_and_quits,
    a_guest_that_resets_ends_its_vmm, a_killed_qemu_is_gone, a_disk_that_is_not_there_is_named,
    a_restarted_server_talks_to_the_same_machine, what_qemu_offers_is_asked_once,
}

const QEMU: &str = "/usr/bin/qemu-system-x86_64";
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// `jmp` to itself with interrupts off: running, and quiet.
const SPIN: &[u8] = &[0xeb, 0xfe];
/// Counts to 2^30, so that someone can be listening, then resets by the keyboard controller, as a kernel does:
/// `mov ecx, 1 << 30; again: dec ecx; jnz again; mov al, 0xfe; out 0x64, al; hlt`.
const RESET: &[u8] = &[0xb9, 0, 0, 0, 0x40, 0x49, 0x75, 0xfd, 0xb0, 0xfe, 0xe6, 0x64, 0xf4];

/// A driver for talking only.
pub(crate) fn driver_of_nothing() -> Qemu {
    let program = PathBuf::from("/nowhere");
    Qemu::new(Installation { program, version: String::new(), machine_types: vec![], kvm_cpu_models: vec![] })
}

pub(crate) struct Real {
    pub(crate) stage: Stage,
    pub(crate) qemu: Qemu,
    pub(crate) boot: BootPlan,
    host: Host,
}

impl Real {
    /// `None` where there is no QEMU.
    pub(crate) async fn with(then: &[u8]) -> Option<Self> {
        if !Path::new(QEMU).exists() {
            println!("  skipped: no {QEMU}");
            return None;
        }
        let stage = Stage::new();
        let at = |name: &str| stage.home.path().join(name);
        let accelerator = probe(&this_program(), Duration::from_secs(5)).await.accelerator;
        let installation = Installation::probe(QEMU.as_ref(), accelerator, &at("cache")).await.unwrap();
        fs::write(at("vmlinux"), kernel(then)).unwrap();
        fs::write(at("initramfs"), b"nothing").unwrap();
        create_disk(&[at("root.qcow2").as_os_str(), "64M".as_ref()]).await;
        let boot = BootPlan {
            machine: stage.plan("/", &[]).machine,
            generation: Generation(1),
            start: Start::Boot(Kernel { kernel: at("vmlinux"), initramfs: at("initramfs"), parameters: vec![] }),
            root: RootDisk { overlay: at("root.qcow2") },
            cpus: NonZeroU8::new(1).unwrap(),
            memory: Memory { size: MiB(64), backing: Backing::Anonymous },
            nic: Some(Nic { mac: MacAddress([0x52, 0x54, 0, 0, 0, 1]) }),
            shares: Vec::new(),
            run: stage.run(),
        };
        let host = Host { accelerator, tsc: tsc::rate() };
        Some(Self { stage, qemu: Qemu::new(installation), boot, host })
    }

    pub(crate) async fn launch(&self) -> Vmm {
        self.start(&self.boot).await
    }

    pub(crate) async fn start(&self, boot: &BootPlan) -> Vmm {
        let plan = self.qemu.plan(boot, &self.host).unwrap();
        Vmm::launch(&plan, &this_program()).await.unwrap()
    }

    pub(crate) async fn control(&self, vmm: &Vmm) -> Box<dyn Control> {
        vmm.control(&self.qemu, SOON).await.unwrap()
    }

    async fn until_up(&self) {
        let up = async {
            while !Vmm::console_tail(&self.stage.run(), 100).unwrap().ends_with(b"up\n") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, up).await.expect("the guest says that it is up");
    }

    pub(crate) fn vmm_log(&self) -> String {
        String::from_utf8(Vmm::log_tail(&self.stage.run(), 4096).unwrap()).unwrap()
    }
}

pub(crate) async fn create_disk(arguments: &[&OsStr]) {
    let create = ["create", "-q", "-f", "qcow2"];
    let made = tokio::process::Command::new("qemu-img").args(create).args(arguments).status().await.unwrap();
    assert!(made.success());
}

/// An ELF file with a PVH entry, as Linux has it: 32-bit code at 1 MiB.
fn kernel(then: &[u8]) -> Vec<u8> {
    const LOADED_AT: u32 = 0x10_0000;
    const NOTE_AT: u32 = 52 + 2 * 32;
    const CODE_AT: u32 = NOTE_AT + 20;
    let mut code = vec![0x66, 0xba, 0xf8, 0x03]; // mov dx, 0x3f8
    for &byte in b"up\n" {
        code.extend([0xb0, byte, 0xee]); // mov al, byte; out dx, al
    }
    code.extend(then);
    let header = |kind: u32, at: u32, size: u32| [kind, at, LOADED_AT + at, LOADED_AT + at, size, size, 7, 4];
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0\x01\0\0\0".to_vec();
    let mut put = |words: &[u32]| file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    put(&[LOADED_AT + CODE_AT, 52, 0, 0]); // entry, program headers, no sections, no flags
    put(&[52 | 32 << 16, 2 | 40 << 16, 0]); // the headers' sizes, two program headers, no sections
    put(&header(1, 0, CODE_AT + u32::try_from(code.len()).unwrap()));
    put(&header(4, NOTE_AT, 20));
    put(&[4, 4, 18, u32::from_le_bytes(*b"Xen\0"), LOADED_AT + CODE_AT]);
    file.extend(code);
    file
}

async fn the_planned_line_boots_without_a_warning() {
    let Some(real) = Real::with(SPIN).await else { return };
    let vmm = real.launch().await;
    let control = real.control(&vmm).await;
    real.until_up().await;
    assert_eq!(control.status().await.unwrap(), VmmStatus::Running);
    assert_eq!(real.vmm_log(), "");
    vmm.kill().await.unwrap();
}

async fn a_machine_pauses_resumes_and_quits() {
    let Some(real) = Real::with(SPIN).await else { return };
    let vmm = real.launch().await;
    let control = real.control(&vmm).await;
    for _ in 0..2 {
        control.pause().await.unwrap();
        assert_eq!(control.status().await.unwrap(), VmmStatus::Paused);
    }
    for _ in 0..2 {
        control.resume().await.unwrap();
        assert_eq!(control.status().await.unwrap(), VmmStatus::Running);
    }
    control.press_power_button().await.unwrap();
    assert_eq!(control.status().await.unwrap(), VmmStatus::Running);
    control.quit().await.unwrap();
    let exit = recorded(vmm.exited().await.unwrap());
    assert_eq!((exit.status, exit.asked), (ExitStatus::Code(0), Asked::No));
    assert_eq!(real.vmm_log(), "");
}

async fn a_guest_that_resets_ends_its_vmm() {
    let Some(real) = Real::with(RESET).await else { return };
    let vmm = real.launch().await;
    let control = real.control(&vmm).await;
    assert_eq!(control.ended().await, GuestEnd::Reset);
    let ended = tokio::time::timeout(SOON, vmm.exited()).await.expect("a reset ends the VMM");
    assert_eq!(recorded(ended.unwrap()).status, ExitStatus::Code(0));
    assert!(Vmm::console_tail(&real.stage.run(), 100).unwrap().ends_with(b"up\n"));
}

async fn a_killed_qemu_is_gone() {
    let Some(real) = Real::with(SPIN).await else { return };
    let vmm = real.launch().await;
    let exit = recorded(vmm.kill().await.unwrap());
    assert_eq!((exit.status, exit.asked), (ExitStatus::Signal(9), Asked::Yes));
}

async fn a_disk_that_is_not_there_is_named() {
    let Some(real) = Real::with(SPIN).await else { return };
    fs::remove_file(&real.boot.root.overlay).unwrap();
    let vmm = real.launch().await;
    let error = vmm.control(&real.qemu, SOON).await.err().unwrap();
    assert!(matches!(error, LaunchError::Died(_)), "{error:?}");
    assert!(error.to_string().contains("root.qcow2': No such file"), "{error}");
}

async fn a_restarted_server_talks_to_the_same_machine() {
    let Some(real) = Real::with(SPIN).await else { return };
    let first = real.launch().await;
    real.control(&first).await.pause().await.unwrap();
    drop(first);
    let found = Vmm::adopt(&real.stage.run()).await.unwrap();
    let machine_hypervisor::process::Found::Alive(vmm) = found else { panic!("{found:?}") };
    let control = real.control(&vmm).await;
    assert_eq!(control.status().await.unwrap(), VmmStatus::Paused);
    vmm.kill().await.unwrap();
}

async fn what_qemu_offers_is_asked_once() {
    if !Path::new(QEMU).exists() {
        return println!("  skipped: no {QEMU}");
    }
    let cache = tempfile::tempdir().unwrap();
    let first = Installation::probe(QEMU.as_ref(), Accelerator::Tcg, cache.path()).await.unwrap();
    println!("  {}", first.version);
    assert!(!first.machine_types.is_empty());
    let started = std::time::Instant::now();
    let second = Installation::probe(QEMU.as_ref(), Accelerator::Tcg, cache.path()).await.unwrap();
    assert_eq!(first, second);
    assert!(started.elapsed() < Duration::from_millis(20), "{:?}", started.elapsed());
    let missing = Installation::probe("/nowhere/qemu".as_ref(), Accelerator::Tcg, cache.path()).await;
    assert!(missing.is_err());
}
