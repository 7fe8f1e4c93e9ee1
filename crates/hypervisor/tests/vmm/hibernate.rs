//! A machine's own pages are kept and laid over another VMM's memory, with the real QEMU: the guest goes on where it
//! was, again and again, and what is damaged is found before it runs.

use std::fs;
use std::path::{Path, PathBuf};

use machine_hypervisor::boot_plan::{Backing, BootPlan, Memory, RunFolder, Start};
use machine_hypervisor::driver::VmmStatus;
use machine_hypervisor::memory::{MemoryError, SavedPages};
use machine_hypervisor::process::Vmm;

use crate::image::{Kept, console, until_more};
use crate::qemu::{Real, SOON};

crate::promises! {
    a_machine_of_an_image_goes_on_where_it_was_again_and_again, a_machine_that_booted_goes_on_where_it_was,
    pages_that_are_damaged_are_found_before_the_guest_runs, pages_that_find_no_room_leave_nothing,
}

/// What was kept of a machine.
struct Saved {
    state: PathBuf,
    pages: PathBuf,
    about: SavedPages,
    last: u8,
}

async fn save(real: &Real, vmm: &Vmm, plan: &BootPlan, to: &Path) -> Saved {
    let control = real.control(vmm).await;
    control.pause().await.unwrap();
    let (state, pages) = (to.with_extension("state"), to.with_extension("pages"));
    control.save_state(&state).await.unwrap();
    let about = vmm.save_pages(&plan.memory, &pages).await.unwrap();
    assert_eq!(fs::metadata(&pages).unwrap().len(), about.bytes);
    vmm.kill().await.unwrap();
    Saved { state, pages, about, last: *console(&plan.run).last().unwrap() }
}

async fn load(real: &Real, plan: &BootPlan, saved: &Saved) -> Vmm {
    let vmm = real.start(plan).await;
    let control = real.control(&vmm).await;
    assert_eq!(control.status().await.unwrap(), VmmStatus::Starting);
    vmm.lay_pages(&plan.memory, &saved.pages, &saved.about.digest).await.unwrap();
    control.load(&saved.state).await.unwrap();
    vmm.loaded(&*control, SOON).await.unwrap();
    assert_eq!(console(&plan.run), b"");
    control.resume().await.unwrap();
    until_more(&plan.run, 3).await;
    assert_eq!(console(&plan.run)[0], saved.last.wrapping_add(1), "it goes on where it was");
    vmm
}

fn awaiting(plan: &BootPlan, name: &str, backing: &Path) -> BootPlan {
    let run = RunFolder(plan.run.path().parent().unwrap().join(name));
    let memory = Memory { backing: Backing::Image(backing.to_owned()), ..plan.memory.clone() };
    BootPlan { start: Start::Awaiting, memory, run, ..plan.clone() }
}

async fn a_machine_of_an_image_goes_on_where_it_was_again_and_again() {
    let Some(kept) = Kept::new().await else { return };
    let image = fs::read(&kept.memory).unwrap();
    let mut plan = kept.restore("first").await;
    let mut vmm = kept.real.start(&plan).await;
    let control = kept.real.control(&vmm).await;
    control.resume().await.unwrap();
    vmm.loaded(&*control, SOON).await.unwrap();
    drop(control);
    until_more(&plan.run, 2).await;
    for round in 0..3 {
        let saved = save(&kept.real, &vmm, &plan, &plan.run.path().with_extension(format!("{round}"))).await;
        println!("  {} own pages, {} of them zeros", saved.about.pages, saved.about.zero_pages);
        assert!((1..1000).contains(&saved.about.pages), "what it changed, and not its memory");
        plan = awaiting(&plan, &format!("again{round}"), &kept.memory);
        vmm = load(&kept.real, &plan, &saved).await;
    }
    vmm.kill().await.unwrap();
    assert!(fs::read(&kept.memory).unwrap() == image, "nothing wrote to the image");
}

async fn a_machine_that_booted_goes_on_where_it_was() {
    let Some(real) = Kept::booting().await else { return };
    let vmm = real.launch().await;
    until_more(&real.boot.run, 3).await;
    let home = real.stage.home.path();
    let saved = save(&real, &vmm, &real.boot, &home.join("booted")).await;
    let nothing = home.join("nothing");
    fs::File::create(&nothing).unwrap().set_len(real.boot.memory.size.bytes()).unwrap();
    let plan = awaiting(&real.boot, "again", &nothing);
    let vmm = load(&real, &plan, &saved).await;
    let again = save(&real, &vmm, &plan, &home.join("again")).await;
    let vmm = load(&real, &awaiting(&real.boot, "once-more", &nothing), &again).await;
    vmm.kill().await.unwrap();
}

async fn pages_that_are_damaged_are_found_before_the_guest_runs() {
    let Some(real) = Kept::booting().await else { return };
    let vmm = real.launch().await;
    until_more(&real.boot.run, 3).await;
    let home = real.stage.home.path();
    let saved = save(&real, &vmm, &real.boot, &home.join("booted")).await;
    let nothing = home.join("nothing");
    fs::File::create(&nothing).unwrap().set_len(real.boot.memory.size.bytes()).unwrap();
    let whole = fs::read(&saved.pages).unwrap();
    for place in [0, whole.len() / 2, whole.len() - 20] {
        let mut flipped = whole.clone();
        flipped[place] ^= 4;
        fs::write(&saved.pages, flipped).unwrap();
        let plan = awaiting(&real.boot, &format!("damaged{place}"), &nothing);
        let vmm = real.start(&plan).await;
        real.control(&vmm).await;
        let refused = vmm.lay_pages(&plan.memory, &saved.pages, &saved.about.digest).await.unwrap_err();
        assert!(matches!(refused, MemoryError::Damaged { .. }), "{place}: {refused}");
        vmm.kill().await.unwrap();
    }
}

async fn pages_that_find_no_room_leave_nothing() {
    let Some(real) = Kept::booting().await else { return };
    let vmm = real.launch().await;
    until_more(&real.boot.run, 3).await;
    real.control(&vmm).await.pause().await.unwrap();
    let full = Path::new("/dev/full/pages");
    let refused = vmm.save_pages(&real.boot.memory, full).await.unwrap_err();
    assert!(matches!(refused, MemoryError::Host(_)), "{refused}");
    let there = real.stage.home.path().join("there");
    fs::write(&there, "somebody's").unwrap();
    vmm.save_pages(&real.boot.memory, &there).await.unwrap_err();
    vmm.kill().await.unwrap();
    let gone = vmm.save_pages(&real.boot.memory, &real.stage.home.path().join("late")).await.unwrap_err();
    assert!(matches!(gone, MemoryError::Unreachable { .. }), "{gone}");
}
