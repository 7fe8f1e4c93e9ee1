//! From where everything is to QEMU's arguments. Pure; what comes out is pinned by `golden/*.args`.
//! The order of the devices is part of the machine: a saved machine is restored by the same line.

use std::path::Path;

use super::{Installation, command_line, cpu_model, machine_type};
use crate::accelerator::Accelerator;
use crate::boot_plan::{BootPlan, Link, Nic, RootDisk};
use crate::driver::{Host, PlanRefusal};
use crate::launch_plan::LaunchPlan;
use machine_core::MiB;

/// What q35 takes without an interrupt remapper.
const MOST_CPUS: u8 = 254;

/// A Unix socket's address has 108 bytes with its final zero.
const LONGEST_SOCKET_PATH: usize = 107;

/// Translated code, at most. QEMU's own limit is a gigabyte, which a guest could make it fill.
const TRANSLATION_MIB: u32 = 256;

/// The name under which the guest finds the agent's port.
const AGENT_PORT: &str = "org.machine.agent.0";

const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

pub(super) fn plan(qemu: &Installation, boot: &BootPlan, host: &Host) -> Result<LaunchPlan, PlanRefusal> {
    let mut line = Arguments::default();
    line.flags(&["-nodefaults", "-no-user-config", "-no-reboot"]);
    line.option("-display", "none");
    line.option("-sandbox", SANDBOX);
    line.option("-name", format!("guest={},debug-threads=on", boot.machine));
    line.option("-msg", "timestamp=on,guest-name=off");
    machine(&mut line, qemu, boot, host)?;
    memory(&mut line, boot.memory);
    kernel(&mut line, boot, host)?;
    talk(&mut line, boot)?;
    disk(&mut line, &boot.root)?;
    network(&mut line, &boot.nic);
    line.device("virtio-rng-pci", "id=rng");
    line.device("vmgenid", "guid=auto");
    Ok(LaunchPlan {
        machine: boot.machine.clone(),
        generation: boot.generation,
        program: qemu.program.clone(),
        arguments: line.0,
        files: Vec::new(),
        run: boot.run.clone(),
    })
}

fn machine(line: &mut Arguments, qemu: &Installation, boot: &BootPlan, host: &Host) -> Result<(), PlanRefusal> {
    let kind = machine_type::choose(&qemu.machine_types).ok_or_else(|| PlanRefusal::MachineType {
        program: qemu.program.display().to_string(),
        oldest: "pc-q35-10.0",
    })?;
    line.option(
        "-machine",
        format!("{},usb=off,vmport=off,hpet=off,sata=off,smbus=off,memory-backend=ram", kind.name()),
    );
    line.option("-accel", accelerator(host.accelerator));
    line.option("-cpu", cpu_model::choose(host.accelerator, &qemu.kvm_cpu_models).ok_or(PlanRefusal::CpuModel)?);
    let cpus = boot.cpus.get();
    if cpus > MOST_CPUS {
        return Err(PlanRefusal::Cpus { asked: cpus, most: MOST_CPUS });
    }
    line.option("-smp", format!("cpus={cpus},sockets=1,cores={cpus},threads=1"));
    Ok(())
}

fn accelerator(accelerator: Accelerator) -> String {
    match accelerator {
        Accelerator::Kvm => "kvm".to_owned(),
        Accelerator::Tcg => format!("tcg,thread=multi,tb-size={TRANSLATION_MIB}"),
    }
}

/// The one place that says what guest memory is made of.
fn memory(line: &mut Arguments, size: MiB) {
    line.option("-m", format!("size={}M", size.0));
    line.option("-object", format!("memory-backend-ram,id=ram,size={}M", size.0));
}

fn kernel(line: &mut Arguments, boot: &BootPlan, host: &Host) -> Result<(), PlanRefusal> {
    line.option("-kernel", text(&boot.kernel)?);
    line.option("-initrd", text(&boot.initramfs)?);
    line.option("-append", command_line::command_line(boot, host)?);
    Ok(())
}

/// The control socket, the console and the agent's port. The console is QEMU's standard output, which the
/// supervisor reads and bounds: a guest that talks for ever must not fill the disk.
fn talk(line: &mut Arguments, boot: &BootPlan) -> Result<(), PlanRefusal> {
    let control = socket(&boot.run.control_socket())?;
    let agent = socket(&boot.run.agent_socket())?;
    line.option("-chardev", format!("socket,id=qmp,path={control},server=on,wait=off"));
    line.option("-mon", "chardev=qmp,mode=control");
    line.option("-chardev", "stdio,id=console,signal=off");
    line.option("-serial", "chardev:console");
    line.device("virtio-serial-pci", "id=serial");
    line.option("-chardev", format!("socket,id=agent,path={agent},server=on,wait=off"));
    line.device("virtserialport", &format!("bus=serial.0,chardev=agent,name={AGENT_PORT}"));
    Ok(())
}

/// Through the host's page cache, which all machines on one base share; the guest's flushes are kept.
/// Threads, not io_uring: it is refused in many containers, and the root disk is not where time goes.
fn disk(line: &mut Arguments, root: &RootDisk) -> Result<(), PlanRefusal> {
    let overlay = escaped(&root.overlay)?;
    line.option(
        "-blockdev",
        format!("driver=file,node-name=root-file,filename={overlay},aio=threads,cache.direct=off,discard=unmap"),
    );
    line.option("-blockdev", "driver=qcow2,node-name=root,file=root-file,discard=unmap,detect-zeroes=unmap");
    line.device("virtio-blk-pci", "id=root-disk,drive=root");
    Ok(())
}

fn network(line: &mut Arguments, nic: &Nic) {
    match nic.link {
        Link::UserRestricted => line.option("-netdev", "user,id=net,restrict=on,ipv6=off"),
    }
    // Without a ROM: the machine never boots from the network.
    line.device("virtio-net-pci", &format!("id=nic,netdev=net,mac={},romfile=", nic.mac));
}

fn socket(path: &Path) -> Result<String, PlanRefusal> {
    if path.as_os_str().len() > LONGEST_SOCKET_PATH {
        return Err(PlanRefusal::SocketPath(path.to_owned()));
    }
    escaped(path)
}

/// Inside an option, QEMU reads two commas as one.
fn escaped(path: &Path) -> Result<String, PlanRefusal> {
    Ok(text(path)?.replace(',', ",,"))
}

fn text(path: &Path) -> Result<&str, PlanRefusal> {
    let plain = |text: &&str| path.is_absolute() && !text.contains('\0');
    path.to_str().filter(plain).ok_or_else(|| PlanRefusal::Path(path.to_owned()))
}

/// Arguments in the making.
#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn flags(&mut self, flags: &[&str]) {
        self.0.extend(flags.iter().map(|&flag| flag.to_owned()));
    }

    fn option(&mut self, name: &str, value: impl Into<String>) {
        self.0.extend([name.to_owned(), value.into()]);
    }

    fn device(&mut self, kind: &str, properties: &str) {
        self.option("-device", format!("{kind},{properties}"));
    }
}
