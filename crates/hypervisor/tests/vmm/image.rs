//! A machine is kept once and restored many times, with the real QEMU: what is kept is never written again,
//! and what cannot be restored says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_core::MiB;
use machine_hypervisor::boot_plan::{Backing, BootPlan, Memory, RootDisk, RunFolder, Start};
use machine_hypervisor::driver::{Control, ControlError, VmmStatus};
use machine_hypervisor::process::{LaunchError, Vmm, VmmUsage, usage};

use crate::qemu::{Real, SOON, create_disk};

crate::promises! {
    machines_of_an_image_go_on_from_it_and_never_write_it, a_restored_machine_gets_a_larger_disk,
    a_state_that_is_not_whole_ends_its_vmm, memory_that_is_missing_or_short_is_named,
    a_machine_told_to_go_on_while_it_loads_does, a_vmm_that_waits_for_a_state_loads_it_when_told, only_a_paused_machine_is_saved_and_only_once, a_full_disk_is_told_and_leaves_nothing,
    what_a_vmm_costs_is_known,
}

const MARK_AT: u64 = 0x20_0000;
/// Writes a byte of its memory to the serial port and counts it up, for ever and slowly:
/// `mov byte [MARK_AT], 33; again: mov ecx, 1 << 24; d: dec ecx; jnz d; mov al, [MARK_AT]; out dx, al;
/// inc byte [MARK_AT]; jmp again`.
const COUNT: &[u8] = &[
    0xc6, 0x05, 0, 0, 0x20, 0, 33, 0xb9, 0, 0, 0, 1, 0x49, 0x75, 0xfd, 0xa0, 0, 0, 0x20, 0, 0xee, 0xfe, 0x05, 0, 0,
    0x20, 0, 0xeb, 0xea,
];

/// A guest that ran and was kept.
pub(crate) struct Kept {
    pub(crate) real: Real,
    pub(crate) memory: PathBuf,
    state: PathBuf,
}

impl Kept {
    /// A machine whose memory is a file, and which has counted a little.
    async fn running() -> Option<(Self, Vmm, Box<dyn Control>)> {
        let mut real = Real::with(COUNT).await?;
        let at = |name: &str| real.stage.home.path().join(name);
        let (memory, state) = (at("memory"), at("state"));
        real.boot.memory.backing = Backing::Kept(memory.clone());
        let vmm = real.launch().await;
        let control = real.control(&vmm).await;
        until_more(&real.boot.run, 6).await;
        Some((Self { real, memory, state }, vmm, control))
    }

    /// The same guest, not kept and not started.
    pub(crate) async fn booting() -> Option<Real> {
        Real::with(COUNT).await
    }

    pub(crate) async fn new() -> Option<Self> {
        let (kept, vmm, control) = Self::running().await?;
        control.pause().await.unwrap();
        control.save_state(&kept.state).await.unwrap();
        assert_eq!(control.status().await.unwrap(), VmmStatus::Paused);
        control.quit().await.unwrap();
        vmm.exited().await.unwrap();
        assert_eq!(kept.real.vmm_log(), "");
        Some(kept)
    }

    /// Another machine of this image, with a disk of its own.
    pub(crate) async fn restore(&self, name: &str) -> BootPlan {
        let home = self.real.stage.home.path();
        let overlay = home.join(format!("{name}.qcow2"));
        let base = &self.real.boot.root.overlay;
        let on_base = ["-F".as_ref(), "qcow2".as_ref(), "-b".as_ref(), base.as_os_str(), overlay.as_os_str()];
        create_disk(&on_base).await;
        BootPlan {
            start: Start::Saved { state: self.state.clone() },
            root: RootDisk { overlay },
            memory: Memory { size: self.real.boot.memory.size, backing: Backing::Image(self.memory.clone()) },
            run: RunFolder(home.join(name)),
            ..self.real.boot.clone()
        }
    }

    /// How a VMM ends that cannot load what it was told to.
    async fn refusal(&self) -> String {
        let plan = self.restore("refused").await;
        let vmm = self.real.start(&plan).await;
        let loaded = async {
            let control = vmm.control(&self.real.qemu, SOON).await?;
            vmm.loaded(&*control, SOON).await
        };
        let error = loaded.await.unwrap_err();
        vmm.kill().await.unwrap();
        assert!(matches!(error, LaunchError::Died(_)), "{error:?}");
        fs::remove_file(&plan.root.overlay).unwrap();
        error.to_string()
    }
}

pub(crate) fn console(run: &RunFolder) -> Vec<u8> {
    Vmm::console_tail(run, 1 << 20).unwrap()
}

pub(crate) async fn until_more(run: &RunFolder, than: usize) {
    let more = async {
        while console(run).len() <= than {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, more).await.expect("the guest runs");
}

fn mark(memory: &[u8]) -> u8 {
    memory[usize::try_from(MARK_AT).unwrap()]
}

async fn machines_of_an_image_go_on_from_it_and_never_write_it() {
    let Some(kept) = Kept::new().await else { return };
    let (memory, state) = (fs::read(&kept.memory).unwrap(), fs::read(&kept.state).unwrap());
    println!("  a state of {} KiB", state.len() >> 10);
    assert!(mark(&memory) > 33);
    for file in [&kept.memory, &kept.state] {
        let mut readable = fs::metadata(file).unwrap().permissions();
        readable.set_readonly(true);
        fs::set_permissions(file, readable).unwrap();
    }
    for name in ["first", "second"] {
        let plan = kept.restore(name).await;
        let began = std::time::Instant::now();
        let vmm = kept.real.start(&plan).await;
        let control = kept.real.control(&vmm).await;
        vmm.loaded(&*control, SOON).await.unwrap();
        println!("  {name} rests after {} ms", began.elapsed().as_millis());
        assert_eq!(control.status().await.unwrap(), VmmStatus::Paused);
        assert_eq!(console(&plan.run), b"");
        vmm.loaded(&*control, SOON).await.unwrap();
        control.resume().await.unwrap();
        until_more(&plan.run, 1).await;
        assert_eq!(console(&plan.run)[..2], [mark(&memory), mark(&memory) + 1]);
        vmm.kill().await.unwrap();
        assert_eq!(Vmm::log_tail(&plan.run, 100).unwrap(), b"");
    }
    assert!(fs::read(&kept.memory).unwrap() == memory && fs::read(&kept.state).unwrap() == state);
}

/// The shortest way: nobody waits between the two.
async fn a_machine_told_to_go_on_while_it_loads_does() {
    let Some(kept) = Kept::new().await else { return };
    let plan = kept.restore("hasty").await;
    let vmm = kept.real.start(&plan).await;
    let control = kept.real.control(&vmm).await;
    control.resume().await.unwrap();
    vmm.loaded(&*control, SOON).await.unwrap();
    assert_eq!(control.status().await.unwrap(), VmmStatus::Running);
    control.resize_root(100 << 20).await.unwrap();
    until_more(&plan.run, 1).await;
    vmm.kill().await.unwrap();
}

/// One may attach to it what the machine had.
async fn a_vmm_that_waits_for_a_state_loads_it_when_told() {
    let Some(kept) = Kept::new().await else { return };
    let plan = BootPlan { start: Start::Awaiting, ..kept.restore("awaited").await };
    let vmm = kept.real.start(&plan).await;
    let control = kept.real.control(&vmm).await;
    assert_eq!(control.status().await.unwrap(), VmmStatus::Starting);
    control.load(&kept.state).await.unwrap();
    vmm.loaded(&*control, SOON).await.unwrap();
    assert_eq!((control.status().await.unwrap(), console(&plan.run)), (VmmStatus::Paused, Vec::new()));
    let twice = control.load(&kept.state).await.unwrap_err();
    assert!(matches!(twice, ControlError::Refused { .. }), "{twice:?}");
    control.resume().await.unwrap();
    until_more(&plan.run, 1).await;
    vmm.kill().await.unwrap();
}

async fn a_restored_machine_gets_a_larger_disk() {
    let Some(kept) = Kept::new().await else { return };
    let plan = kept.restore("larger").await;
    let vmm = kept.real.start(&plan).await;
    let control = kept.real.control(&vmm).await;
    vmm.loaded(&*control, SOON).await.unwrap();
    for _ in 0..2 {
        control.resize_root(100 << 20).await.unwrap();
    }
    let refused = control.resize_root(50 << 20).await.unwrap_err();
    assert!(refused.to_string().contains("52428800 are less"), "{refused}");
    control.resume().await.unwrap();
    control.resize_root(200 << 20).await.unwrap();
    until_more(&plan.run, 1).await;
    control.quit().await.unwrap();
    vmm.exited().await.unwrap();
    // A qcow2 file has its disk's size in its header.
    let size: [u8; 8] = fs::read(&plan.root.overlay).unwrap()[24..32].try_into().unwrap();
    assert_eq!(u64::from_be_bytes(size), 200 << 20);
}

async fn a_state_that_is_not_whole_ends_its_vmm() {
    let Some(kept) = Kept::new().await else { return };
    let whole = fs::read(&kept.state).unwrap();
    for length in [0, 3, whole.len() / 2, whole.len() - 1] {
        fs::write(&kept.state, &whole[..length]).unwrap();
        let said = kept.refusal().await;
        assert!(said.contains("load of migration failed"), "cut at {length}: {said}");
    }
    let mut garbage = whole.clone();
    garbage[..64].fill(0x5a);
    fs::write(&kept.state, &garbage).unwrap();
    let said = kept.refusal().await;
    assert!(said.contains("Not a migration stream"), "{said}");
    fs::remove_file(&kept.state).unwrap();
    let said = kept.refusal().await;
    assert!(said.contains("No such file"), "{said}");
}

async fn memory_that_is_missing_or_short_is_named() {
    let Some(kept) = Kept::new().await else { return };
    fs::File::options().write(true).open(&kept.memory).unwrap().set_len(1 << 20).unwrap();
    let said = kept.refusal().await;
    assert!(said.contains("too small for 'size' option"), "{said}");
    fs::remove_file(&kept.memory).unwrap();
    let said = kept.refusal().await;
    assert!(said.contains("memory") && said.contains("No such file"), "{said}");
}

async fn only_a_paused_machine_is_saved_and_only_once() {
    let Some((kept, vmm, control)) = Kept::running().await else { return };
    let not_paused = control.save_state(&kept.state).await.unwrap_err();
    assert!(matches!(not_paused, ControlError::NotSaved { .. }), "{not_paused:?}");
    assert!(!kept.state.exists());
    control.pause().await.unwrap();
    control.save_state(&kept.state).await.unwrap();
    let state = fs::read(&kept.state).unwrap();
    let twice = control.save_state(&kept.state).await.unwrap_err();
    assert!(twice.to_string().contains("File exists"), "{twice}");
    assert!(fs::read(&kept.state).unwrap() == state);
    let nowhere = control.save_state(Path::new("/nowhere/state")).await.unwrap_err();
    assert!(nowhere.to_string().contains("No such file"), "{nowhere}");
    vmm.kill().await.unwrap();
}

async fn a_full_disk_is_told_and_leaves_nothing() {
    let Some((kept, vmm, control)) = Kept::running().await else { return };
    let Some(small) = Small::mount(&kept.real.stage.home.path().join("small")) else {
        vmm.kill().await.unwrap();
        return println!("  skipped: no file system may be mounted here");
    };
    control.pause().await.unwrap();
    let state = small.0.join("state");
    let full = control.save_state(&state).await.unwrap_err();
    assert!(matches!(full, ControlError::DiskFull { .. }), "{full:?}");
    assert!(!state.exists());
    // It can go on, and be saved elsewhere.
    control.save_state(&kept.state).await.unwrap();
    let said = console(&kept.real.boot.run).len();
    control.resume().await.unwrap();
    until_more(&kept.real.boot.run, said).await;
    vmm.kill().await.unwrap();
}

/// A file system for 64 KiB.
struct Small(PathBuf);

impl Small {
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir(path).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", path, "tmpfs", flags, Some(c"size=64k")).ok()?;
        Some(Self(path.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

async fn what_a_vmm_costs_is_known() {
    let Some((kept, vmm, control)) = Kept::running().await else { return };
    let booted = usage(&vmm, &kept.real.boot.memory).unwrap();
    check("kept", &booted);
    assert!(booted.guest_private > 0 && booted.guest_shared == 0, "{booted:?}");
    control.pause().await.unwrap();
    control.save_state(&kept.state).await.unwrap();
    vmm.kill().await.unwrap();
    assert!(usage(&vmm, &kept.real.boot.memory).is_err());

    let plan = kept.restore("cheap").await;
    let vmm = kept.real.start(&plan).await;
    let control = kept.real.control(&vmm).await;
    vmm.loaded(&*control, SOON).await.unwrap();
    control.resume().await.unwrap();
    until_more(&plan.run, 1).await;
    // An image may be removed while its machines run.
    fs::remove_file(&kept.memory).unwrap();
    let began = std::time::Instant::now();
    let restored = usage(&vmm, &plan.memory).unwrap();
    println!("  asked in {} us", began.elapsed().as_micros());
    check("restored", &restored);
    assert!((4096..2 << 20).contains(&restored.guest_private), "{restored:?}");
    assert!(restored.guest_shared > 0, "{restored:?}");
    let unknown = usage(&vmm, &Memory { size: MiB(63), backing: Backing::Anonymous }).unwrap();
    assert_eq!((unknown.guest_private, unknown.guest_shared), (0, 0));
    vmm.kill().await.unwrap();
}

fn check(what: &str, usage: &VmmUsage) {
    println!("  {what}: {usage:?}");
    assert!(usage.private <= usage.resident && usage.guest_private <= usage.resident && usage.cpu_ms > 0, "{usage:?}");
}
