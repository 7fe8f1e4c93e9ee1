//! Places that hold machines. Only this host, so far.

pub mod local;

pub use local::{HostSettings, LocalProvider, Proxies, probe_sharing};
