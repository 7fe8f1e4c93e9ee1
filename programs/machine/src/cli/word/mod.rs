//! Words of the command line that become types at the door, and types that become words.

pub(crate) mod age;
pub(crate) mod choice;
pub(crate) mod duration;
pub(crate) mod escape;
pub(crate) mod pair;
pub(crate) mod place;
pub(crate) mod port;
pub(crate) mod served;
pub(crate) mod size;
