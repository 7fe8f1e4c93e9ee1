//! From where everything is to QEMU's arguments. Pure; what comes out is pinned by `golden/*.args`.
//! The order of the devices is part of the machine: a saved machine is restored by the same line.

use std::path::Path;

use super::{Installation, command_line, cpu_model, devices, machine_type, state};
use crate::accelerator::Accelerator;
use crate::boot_plan::{Backing, BootPlan, Kernel, Memory, RootDisk, Start};
use crate::driver::{Host, PlanRefusal};
use crate::ingredients::Ingredients;
use crate::launch_plan::{LaunchPlan, WIRE_DESCRIPTOR, Wire};

/// What q35 takes without an interrupt remapper.
const MOST_CPUS: u8 = 254;

/// A Unix socket's address has 108 bytes with its final zero.
const LONGEST_SOCKET_PATH: usize = 107;

/// Translated code, at most. QEMU's own limit is a gigabyte, which a guest could make it fill.
const TRANSLATION_MIB: u32 = 256;

const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

pub(super) fn plan(qemu: &Installation, boot: &BootPlan, host: &Host) -> Result<LaunchPlan, PlanRefusal> {
    let mut line = Arguments::default();
    line.flags(&["-nodefaults", "-no-user-config", "-no-reboot"]);
    line.option("-display", "none");
    line.option("-sandbox", SANDBOX);
    line.option("-name", format!("guest={},debug-threads=on", boot.machine));
    line.option("-msg", "timestamp=on,guest-name=off");
    line.option("-machine", machine(qemu)?);
    line.option("-accel", accelerator(host.accelerator));
    line.option("-cpu", cpu_model::choose(host.accelerator, &qemu.kvm_cpu_models).ok_or(PlanRefusal::CpuModel)?);
    line.option("-smp", processors(boot)?);
    memory(&mut line, boot)?;
    talk(&mut line, boot)?;
    disk(&mut line, &boot.root)?;
    let wire = network(&mut line, boot);
    for device in devices::of(boot.nic.as_ref()) {
        line.option("-device", device);
    }
    start(&mut line, boot, host)?;
    Ok(LaunchPlan {
        machine: boot.machine.clone(),
        generation: boot.generation,
        program: qemu.program.clone(),
        arguments: line.0,
        files: Vec::new(),
        wire,
        companions: Vec::new(),
        run: boot.run.clone(),
    })
}

pub(super) fn ingredients(qemu: &Installation, boot: &BootPlan, host: &Host) -> Result<Ingredients, PlanRefusal> {
    let kernel = match &boot.start {
        Start::Boot(kernel) => kernel,
        Start::Saved { .. } | Start::Awaited => return Err(PlanRefusal::NotABoot),
    };
    Ok(Ingredients {
        hypervisor: super::NAME.to_owned(),
        version: qemu.version.clone(),
        accelerator: accelerator(host.accelerator),
        machine_type: machine(qemu)?,
        cpu_model: cpu_model::choose(host.accelerator, &qemu.kvm_cpu_models).ok_or(PlanRefusal::CpuModel)?,
        memory: format!("{} MiB", boot.memory.size.0),
        cpus: processors(boot)?,
        command_line: command_line::command_line(kernel, boot.nic.as_ref(), host)?,
        tsc_khz: host.tsc.map(|rate| rate.0.to_string()).unwrap_or_default(),
        devices: devices::of_all(boot.nic.as_ref()),
    })
}

/// Without the stream's own description: what `xen-save-devices-state` writes has none.
fn machine(qemu: &Installation) -> Result<String, PlanRefusal> {
    let kind = machine_type::choose(&qemu.machine_types).ok_or_else(|| PlanRefusal::MachineType {
        program: qemu.program.display().to_string(),
        oldest: "pc-q35-10.0",
    })?;
    let options = "usb=off,vmport=off,hpet=off,sata=off,smbus=off,suppress-vmdesc=on,memory-backend=ram";
    Ok(format!("{},{options}", kind.name()))
}

fn processors(boot: &BootPlan) -> Result<String, PlanRefusal> {
    let cpus = boot.cpus.get();
    if cpus > MOST_CPUS {
        return Err(PlanRefusal::Cpus { asked: cpus, most: MOST_CPUS });
    }
    Ok(format!("cpus={cpus},sockets=1,cores={cpus},threads=1"))
}

fn accelerator(accelerator: Accelerator) -> String {
    match accelerator {
        Accelerator::Kvm => "kvm".to_owned(),
        Accelerator::Tcg => format!("tcg,thread=multi,tb-size={TRANSLATION_MIB}"),
    }
}

/// The one place that says what guest memory is made of. An image is opened for reading only, so that not even
/// a broken QEMU changes it; `rom=off` lets the guest write to its private copy all the same.
fn memory(line: &mut Arguments, boot: &BootPlan) -> Result<(), PlanRefusal> {
    let Memory { size, backing } = &boot.memory;
    if !boot.shares.is_empty() && !can_be_shared(backing) {
        return Err(PlanRefusal::NotShared);
    }
    let size = format!("size={}M", size.0);
    let object = match (backing, &boot.start) {
        (Backing::Anonymous, Start::Boot(_)) => format!("memory-backend-ram,id=ram,{size}"),
        (Backing::Shared, Start::Boot(_)) => format!("memory-backend-memfd,id=ram,{size},share=on"),
        (Backing::Kept(file), Start::Boot(_) | Start::Saved { .. } | Start::Awaited) => {
            format!("memory-backend-file,id=ram,{size},mem-path={},share=on", escaped(file)?)
        }
        (Backing::Image(file), Start::Saved { .. } | Start::Awaited) => {
            format!("memory-backend-file,id=ram,{size},mem-path={},share=off,readonly=on,rom=off", escaped(file)?)
        }
        (Backing::Image(_), Start::Boot(_))
        | (Backing::Anonymous | Backing::Shared, Start::Saved { .. } | Start::Awaited) => {
            return Err(PlanRefusal::Backing);
        }
    };
    line.option("-m", size);
    line.option("-object", object);
    Ok(())
}

fn can_be_shared(backing: &Backing) -> bool {
    match backing {
        Backing::Shared | Backing::Kept(_) => true,
        Backing::Anonymous | Backing::Image(_) => false,
    }
}

/// A kernel, or a saved machine. What only a booting guest reads is not needed by one that has booted.
fn start(line: &mut Arguments, boot: &BootPlan, host: &Host) -> Result<(), PlanRefusal> {
    match &boot.start {
        Start::Boot(kernel) => {
            let Kernel { kernel: image, initramfs, parameters: _ } = kernel;
            if !boot.shares.is_empty() {
                // What is attached before its first instruction, it finds when it looks for devices.
                line.flags(&["-S"]);
            }
            line.option("-kernel", text(image)?);
            line.option("-initrd", text(initramfs)?);
            line.option("-append", command_line::command_line(kernel, boot.nic.as_ref(), host)?);
        }
        Start::Saved { state } => incoming(line, state::address(text(state)?)),
        Start::Awaited => incoming(line, "defer".to_owned()),
    }
    Ok(())
}

/// As `xen-save-devices-state` writes it: without a description of the machine at its beginning.
fn incoming(line: &mut Arguments, from: String) {
    line.flags(&["-S"]);
    line.option("-global", "migration.send-configuration=off");
    line.option("-global", "migration.x-events=on");
    line.option("-incoming", from);
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
    line.option("-chardev", format!("socket,id=agent,path={agent},server=on,wait=off"));
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
    Ok(())
}

/// The wire's end is handed down, so that a gateway that died is replaced without QEMU's help, and so that it
/// does not block: see the README.
fn network(line: &mut Arguments, boot: &BootPlan) -> Wire {
    if boot.nic.is_none() {
        return Wire::None;
    }
    line.option("-netdev", format!("stream,id=net,server=off,addr.type=fd,addr.str={WIRE_DESCRIPTOR}"));
    Wire::Packets
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
}
