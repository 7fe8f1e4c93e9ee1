//! The exact command lines, one argument per line. A difference here is a different machine: saved ones
//! would no longer fit. So it is made on purpose, with a reason in the commit.
#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is the message")]

use std::fs;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};

use machine_core::machine::Generation;
use machine_core::{MachineId, MiB};
use machine_hypervisor::accelerator::Accelerator;
use machine_hypervisor::boot_plan::{
    Backing, BootPlan, Kernel, MacAddress, Memory, Nic, RootDisk, RunFolder, Share, Start,
};
use machine_hypervisor::driver::qemu::{Installation, Q35, Qemu};
use machine_hypervisor::driver::{Driver, Feature, Host, PlanRefusal, SaveMode};
use machine_hypervisor::ingredients::Ingredients;
use machine_hypervisor::launch_plan::LaunchPlan;
use machine_hypervisor::tsc::KiloHertz;

fn boot() -> BootPlan {
    BootPlan {
        machine: MachineId::try_from("m0123456789abcdefghij".to_owned()).unwrap(),
        generation: Generation(7),
        start: Start::Boot(Kernel {
            kernel: PathBuf::from("/home/machine/kernel/vmlinux"),
            initramfs: PathBuf::from("/home/machine/kernel/initramfs.lz4"),
            parameters: vec!["machine.hostname=web".to_owned()],
        }),
        root: RootDisk { overlay: PathBuf::from("/home/machine/disks/a,b.qcow2") },
        cpus: NonZeroU8::new(2).unwrap(),
        memory: Memory { size: MiB(512), backing: Backing::Anonymous },
        nic: Some(Nic { mac: MacAddress([0x52, 0x54, 0, 1, 2, 3]) }),
        shares: Vec::new(),
        run: RunFolder(PathBuf::from("/run/machine/m0123456789abcdefghij")),
    }
}

fn qemu() -> Qemu {
    Qemu::new(Installation {
        program: PathBuf::from("/usr/bin/qemu-system-x86_64"),
        version: "10.0.2 (Debian)".to_owned(),
        machine_types: ["pc-q35-9.2", "pc-q35-10.0"].iter().filter_map(|name| Q35::parse(name)).collect(),
        kvm_cpu_models: vec!["Haswell-v4".to_owned(), "Cascadelake-Server-v4".to_owned()],
    })
}

const TCG: Host = Host { accelerator: Accelerator::Tcg, tsc: Some(KiloHertz(2_100_000)) };
const KVM: Host = Host { accelerator: Accelerator::Kvm, tsc: Some(KiloHertz(2_100_000)) };

fn kernel(boot: &mut BootPlan) -> &mut Kernel {
    match &mut boot.start {
        Start::Boot(kernel) => kernel,
        Start::Saved { .. } | Start::Awaiting => panic!("not a boot"),
    }
}

/// An image in the making.
fn keep() -> BootPlan {
    let backing = Backing::Kept(PathBuf::from("/home/machine/images/new,1/memory"));
    BootPlan { memory: Memory { backing, ..boot().memory }, ..boot() }
}

/// A machine of that image.
fn restore() -> BootPlan {
    let backing = Backing::Image(PathBuf::from("/home/machine/images/1/memory"));
    let start = Start::Saved { state: PathBuf::from("/home/machine/images/1/state") };
    BootPlan { start, memory: Memory { backing, ..boot().memory }, ..boot() }
}

fn folder() -> Vec<Share> {
    let socket = PathBuf::from("/run/machine/m0123456789abcdefghij/share0.sock");
    vec![Share { tag: "machine0".to_owned(), socket }]
}

/// A machine that boots and sees a folder of the host.
fn sharing() -> BootPlan {
    BootPlan { memory: Memory { backing: Backing::Shared, ..boot().memory }, shares: folder(), ..boot() }
}

/// One that was hibernated.
fn awaiting() -> BootPlan {
    BootPlan { start: Start::Awaiting, ..restore() }
}

/// One of that image that sees a folder of the host, on its own copy of the memory.
fn own() -> BootPlan {
    let backing = Backing::Kept(PathBuf::from("/home/machine/machines/m0123456789abcdefghij/image/own-ram"));
    BootPlan { memory: Memory { backing, ..boot().memory }, shares: folder(), ..restore() }
}

/// The same after a sleep: its own memory, and a state that is loaded when its folder is attached.
fn awaiting_with_own_memory() -> BootPlan {
    BootPlan { start: Start::Awaiting, ..own() }
}

fn refused(change: impl FnOnce(&mut BootPlan)) -> PlanRefusal {
    let mut boot = boot();
    change(&mut boot);
    qemu().plan(&boot, &TCG).expect_err("this plan must be refused")
}

fn check(name: &str, plan: &LaunchPlan) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/driver/qemu/golden").join(name);
    let actual = format!("{}\n{}\n", plan.program.display(), plan.arguments.join("\n"));
    if fs::read_to_string(&golden).unwrap_or_default() == actual {
        return;
    }
    let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&new, &actual).unwrap();
    let (new, golden) = (new.display(), golden.display());
    panic!("the command line differs from {name}\n  look:  diff {golden} {new}\n  bless: cp {new} {golden}\n");
}

#[test]
fn the_command_line_under_tcg() {
    check("cold-tcg.args", &qemu().plan(&boot(), &TCG).unwrap());
}

#[test]
fn the_command_line_under_kvm() {
    check("cold-kvm.args", &qemu().plan(&boot(), &KVM).unwrap());
}

#[test]
fn the_command_line_of_an_image_in_the_making() {
    check("keep-tcg.args", &qemu().plan(&keep(), &TCG).unwrap());
}

#[test]
fn the_command_line_of_a_machine_of_an_image() {
    check("restore-tcg.args", &qemu().plan(&restore(), &TCG).unwrap());
    check("restore-kvm.args", &qemu().plan(&restore(), &KVM).unwrap());
}

#[test]
fn the_command_line_of_a_machine_that_was_hibernated() {
    check("awaiting-tcg.args", &qemu().plan(&awaiting(), &TCG).unwrap());
    let nothing_to_lay_over = BootPlan { memory: boot().memory, ..awaiting() };
    assert_eq!(qemu().plan(&nothing_to_lay_over, &TCG).unwrap_err(), PlanRefusal::Backing);
}

#[test]
fn the_command_line_of_a_machine_that_sees_folders_of_the_host() {
    check("share-tcg.args", &qemu().plan(&sharing(), &TCG).unwrap());
    check("own-tcg.args", &qemu().plan(&own(), &TCG).unwrap());
    check("awaiting-own-tcg.args", &qemu().plan(&awaiting_with_own_memory(), &TCG).unwrap());
}

#[test]
fn folders_are_served_out_of_memory_that_can_be_shared() {
    assert_eq!(refused(|boot| boot.shares = folder()), PlanRefusal::NotShared);
    let mapped = BootPlan { shares: folder(), ..restore() };
    assert_eq!(qemu().plan(&mapped, &TCG).unwrap_err(), PlanRefusal::NotShared);
    let nothing_to_load = BootPlan { memory: sharing().memory, ..restore() };
    assert_eq!(qemu().plan(&nothing_to_load, &TCG).unwrap_err(), PlanRefusal::Backing);
}

/// All that a saved state speaks of: machine, processor, size of memory, devices.
#[test]
fn an_image_and_its_machines_have_the_same_devices() {
    let migrated = |boot: BootPlan| {
        let line = qemu().plan(&boot, &TCG).unwrap().arguments;
        let named = ["-machine", "-accel", "-cpu", "-smp", "-m", "-device", "-serial"];
        line.windows(2).filter(|two| named.contains(&two[0].as_str())).map(|two| two[1].clone()).collect::<Vec<_>>()
    };
    let devices = migrated(boot());
    assert!(devices.len() > 12, "{devices:?}");
    assert_eq!(migrated(keep()), devices);
    assert_eq!(migrated(restore()), devices);
    assert_eq!(migrated(sharing()), devices);
    assert_eq!(migrated(own()), devices);
    assert_eq!(migrated(awaiting_with_own_memory()), devices);
}

/// Otherwise the address would follow from the order, and one more device would move the others.
#[test]
fn every_pci_device_has_an_address_of_its_own() {
    let ingredients = qemu().ingredients(&boot(), &TCG).unwrap();
    let on_pci = ingredients.devices.iter().filter(|device| device.contains("pci"));
    let mut addresses: Vec<_> = on_pci.map(|device| device.split_once("bus=pcie.0,addr=").unwrap().1).collect();
    assert_eq!(addresses.len(), 9);
    addresses.sort_unstable();
    addresses.dedup_by_key(|rest| rest.split(',').next().unwrap_or_default());
    assert_eq!(addresses.len(), 9, "{addresses:?}");
}

#[test]
fn ingredients_say_what_differs_and_nothing_of_who_it_is() {
    let of = |boot: &BootPlan, host: &Host| qemu().ingredients(boot, host).unwrap();
    let ours = of(&boot(), &TCG);
    let mut other = keep();
    other.machine = MachineId::try_from("mabcdefghij0123456789".to_owned()).unwrap();
    other.nic = other.nic.map(|_| Nic { mac: MacAddress([2; 6]) });
    other.run = RunFolder(PathBuf::from("/elsewhere"));
    kernel(&mut other).kernel = PathBuf::from("/elsewhere/vmlinux");
    assert_eq!(of(&other, &TCG), ours);

    let differs = |change: fn(&mut BootPlan)| {
        let mut boot = boot();
        change(&mut boot);
        of(&boot, &TCG).differences(&ours)
    };
    assert_eq!(differs(|boot| boot.cpus = NonZeroU8::MIN), ["cpus"]);
    assert_eq!(differs(|boot| boot.memory.size = MiB(1)), ["memory"]);
    assert_eq!(differs(|boot| kernel(boot).parameters.clear()), ["kernel command line"]);
    assert_eq!(of(&boot(), &KVM).differences(&ours), ["accelerator", "cpu model", "kernel command line"]);
    assert_eq!(of(&boot(), &Host { tsc: None, ..TCG }).differences(&ours), ["kernel command line", "tsc rate"]);
    let text = serde_json::to_string(&ours).unwrap();
    assert!(!text.contains("52:54") && !text.contains("/home"), "{text}");
    assert_eq!(serde_json::from_str::<Ingredients>(&text).unwrap(), ours);
}

#[test]
fn memory_that_does_not_fit_the_start_is_refused() {
    let image = restore();
    assert_eq!(refused(|boot| boot.memory = image.memory.clone()), PlanRefusal::Backing);
    assert_eq!(refused(|boot| boot.start = image.start.clone()), PlanRefusal::Backing);
    assert_eq!(qemu().ingredients(&image, &TCG), Err(PlanRefusal::NotABoot));
    assert_eq!(refused(|boot| boot.start = Start::Awaiting), PlanRefusal::Backing);
}

#[test]
fn the_guest_trusts_its_clock_only_if_it_is_told_the_rate() {
    let plan = qemu().plan(&boot(), &Host { tsc: None, ..TCG }).unwrap();
    assert!(!plan.arguments.iter().any(|argument| argument.contains("tsc=")));
}

#[test]
fn no_processor_is_whatever_the_host_has() {
    for host in [TCG, KVM] {
        let plan = qemu().plan(&boot(), &host).unwrap();
        let at = plan.arguments.iter().position(|argument| argument == "-cpu").unwrap();
        let model = &plan.arguments[at + 1];
        assert!(model.contains("-v") && model.ends_with(",enforce"), "{model}");
    }
}

#[test]
fn a_plan_survives_its_way_to_the_supervisor() {
    let plan = qemu().plan(&boot(), &TCG).unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<LaunchPlan>(&text).unwrap(), plan);
}

#[test]
fn what_qemu_cannot_be_told_is_refused() {
    let long = PathBuf::from(format!("/{}", "x".repeat(100)));
    assert!(matches!(refused(|boot| boot.run = RunFolder(long)), PlanRefusal::SocketPath(_)));
    assert!(matches!(refused(|boot| kernel(boot).kernel = PathBuf::from("vmlinux")), PlanRefusal::Path(_)));
    assert!(matches!(refused(|boot| kernel(boot).parameters.push("a b".to_owned())), PlanRefusal::Parameter(_)));
    assert!(matches!(refused(|boot| kernel(boot).parameters.push("x".repeat(2048))), PlanRefusal::CommandLine(_)));
    assert!(matches!(refused(|boot| boot.cpus = NonZeroU8::MAX), PlanRefusal::Cpus { asked: 255, .. }));
}

#[test]
fn a_host_that_satisfies_no_model_or_machine_is_refused() {
    let bare = |types: &[&str]| {
        let installation = qemu().installation().clone();
        let machine_types = types.iter().filter_map(|name| Q35::parse(name)).collect();
        Qemu::new(Installation { machine_types, kvm_cpu_models: vec![], ..installation })
    };
    assert!(matches!(bare(&["pc-q35-7.2"]).plan(&boot(), &TCG), Err(PlanRefusal::MachineType { .. })));
    assert_eq!(bare(&["pc-q35-10.0"]).plan(&boot(), &KVM), Err(PlanRefusal::CpuModel));
}

#[test]
fn the_driver_claims_what_it_does_and_nothing_else() {
    let can = qemu().capabilities();
    assert!(can.has(Feature::Pause) && can.has(Feature::PowerButton) && can.has(Feature::ResizeDisk));
    for not_yet in [Feature::Balloon, Feature::ResizeCpus, Feature::ResizeMemory] {
        assert!(!can.has(not_yet), "{not_yet:?}");
    }
    assert_eq!(can.save, SaveMode::InPlace);
}
