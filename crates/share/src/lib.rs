//! The daemon that shows one folder of the host to one machine, over virtio-fs: a vhost-user device for the VMM,
//! whose file system is the folder. Knows nothing of machines, nor of how the VMM is started.
//!
//! `plan` says what is shown, `rules` what is excluded and guarded, `folder` does what the machine asks, `device`
//! carries messages between the two, `sandbox` takes from the process what it does not need, `run` is the
//! process; `watch` tells of what the host changes, but for what the machine did itself (`own`), and of what it changed
//! while the machine slept (`slept`). A share that is
//! killed leaves a `will` of its `estate`, by which the next one answers in its place (`mourner`).

mod device;
mod estate;
mod filter;
mod folder;
mod greeting;
mod mourner;
mod own;
mod plan;
mod rules;
mod run;
mod sandbox;
mod slept;
mod sys;
mod watch;
mod will;

pub use plan::{Access, CHECK_FLAG, Cache, Owner, SHARE_VERB, SharePlan, Watch, Writes};
pub use rules::NotInside;
pub use run::{ShareError, check, run};
