//! Virtual machine monitors: what to run, how to talk to it, and the processes themselves.
//!
//! `driver` decides (a pure launch plan) and speaks one VMM's dialect; `process` and `supervise` alone
//! spawn, log, wait, kill and re-adopt; `accelerator` finds out whether KVM runs real guests here;
//! `memory` keeps and lays the pages in which a guest differs from its image.
//! Knows nothing of machines' lifecycle, images or networks outside the VMM.

pub mod accelerator;
pub mod boot_plan;
pub mod driver;
pub mod ingredients;
pub mod launch_plan;
pub mod memory;
pub mod process;
pub mod supervise;
pub mod tsc;

mod bounded_log;
mod sys;
mod whole_file;
