//! Builds the base template into a folder: `build_base FOLDER [--rebuild]`. The second run is instant.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use machine_image::{
    BuildError, BuildRequest, Built, Check, Progress, Rebuild, Template, build_base, build_initramfs, sweep_unfinished,
};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(images) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: build_base FOLDER [--rebuild]");
        return ExitCode::FAILURE;
    };
    let rebuild = if arguments.next().is_some() { Rebuild::Always } else { Rebuild::WhenChanged };
    match run(&BuildRequest::new(&images, rebuild, jiff::Timestamp::now())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: Option<&dyn Error> = Some(error.as_ref());
            while let Some(one) = cause {
                eprintln!("error: {one}");
                cause = one.source();
            }
            if let Some(hint) = error.downcast_ref::<BuildError>().and_then(BuildError::hint) {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(request: &BuildRequest) -> Result<(), Box<dyn Error>> {
    for leftover in sweep_unfinished(&request.images)? {
        eprintln!("swept: {}", leftover.display());
    }
    let start = Instant::now();
    let built = build_base(request, &tell)?;
    let template = match &built {
        Built::Already(template) => {
            eprintln!("already built ({:?})", start.elapsed());
            template
        }
        Built::New(template) => {
            eprintln!("built ({:?})", start.elapsed());
            template.check(Check::Digests)?;
            template
        }
    };
    show(template)
}

fn tell(progress: Progress<'_>) {
    match progress {
        Progress::Started(phase) => eprintln!("{phase} ..."),
        Progress::Detail(phase, text) => eprintln!("{phase}: {text}"),
        Progress::Finished(phase, took) => eprintln!("{phase} done ({took:?})"),
    }
}

fn show(template: &Template) -> Result<(), Box<dyn Error>> {
    let kernel = template.kernel_parts()?;
    println!("digest {}", template.digest);
    println!("kernel {}", kernel.version);
    for module in &kernel.modules {
        println!("module {} {}", module.file, module.bytes.len());
    }
    println!("root_disk {} {}", template.root_disk().display(), template.manifest.identity.root_disk.bytes);
    println!("vmlinux {} {}", template.vmlinux().display(), template.manifest.identity.vmlinux.bytes);
    println!("initramfs_without_agent {}", build_initramfs(&kernel, b"").len());
    Ok(())
}
