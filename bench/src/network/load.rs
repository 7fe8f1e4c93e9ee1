//! What the guest does: one static program, the same on every side. It prints one number a line.

/// The program; `build.rs` has made it of `bench/load`.
pub(super) const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/load"));
/// Where it is in the guest.
pub(super) const PATH: &str = "/tmp/machine-bench-load";

/// The host, in every network that is measured.
const HOST: &str = "10.0.2.2";

/// How many connects one load makes.
pub(super) const CONNECTS: f64 = 2000.0;

/// One load; ports are the host's.
#[derive(Clone, Copy)]
pub(super) enum Load {
    /// Sends as much as is taken; MB/s.
    Up { port: u16 },
    /// Takes until the end; MB/s.
    Down { port: u16 },
    /// One byte there and back, again and again; milliseconds each.
    Trips { port: u16 },
    /// Connects and closes, again and again, several at once; connects a second.
    Connects { port: u16 },
    /// Holds so many connections until the host closes them; nothing.
    Hold { port: u16, count: usize },
    /// The same trips to itself.
    OwnTrips,
    /// The same connects to itself.
    OwnConnects,
}

impl Load {
    /// The line of shell that runs it.
    pub(super) fn line(self) -> String {
        let words = match self {
            Self::Up { port } => format!("up {HOST}:{port}"),
            Self::Down { port } => format!("down {HOST}:{port}"),
            Self::Trips { port } => format!("trips {HOST}:{port}"),
            Self::Connects { port } => format!("connects {HOST}:{port}"),
            Self::Hold { port, count } => format!("hold {HOST}:{port} {count}"),
            Self::OwnTrips => "trips own".to_owned(),
            Self::OwnConnects => "connects own".to_owned(),
        };
        format!("ulimit -n 8192 && exec {PATH} {words}")
    }
}
