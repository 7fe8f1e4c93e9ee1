//! What the host and the guest's agent say to each other: frames, messages, and both ends as
//! state machines without I/O. No sockets, clocks or threads live here, and no byte sequence
//! can make it panic: the guest is hostile.
//!
//! One byte stream carries everything. It may lose either end at any moment and be reopened by
//! a new host in the middle of a half-sent frame, so a session opens with [`MAGIC`], which no
//! sender ever writes inside a session (see [`frame`]).
//!
//! ```text
//! agent:  Hunting ──MAGIC──▶ Greeted ──Hello──▶ Session ──MAGIC──▶ Greeted (all streams drop)
//!            ▲                  │ anything else     │ malformed frame
//!            └──────────────────┴───────────────────┘
//! host:   Greeting ──MAGIC + Welcome(own nonce)──▶ Session ──malformed, lie or MAGIC──▶ error
//! ```
#![forbid(unsafe_code)]

mod account;
mod agent;
mod body;
mod connect;
pub mod datagram;
mod failure;
pub mod frame;
mod greeting;
mod host;
mod listener;
mod message;
mod mux;
mod outbox;
mod path;
mod request;
mod scanner;
mod service;
mod share;
mod stream;
mod waking;

pub use account::{EnsureUser, PutSecrets, Secret};
pub use agent::{AgentConnection, AgentEvent, AgentFacts};
pub use body::{
    AgentState, Ending, Entry, Exited, FileKind, FileStat, LoadAverage, Measured, NetworkNumbers, Opened, Started,
    Written,
};
pub use connect::{Connect, Connected, Transport};
pub use failure::{Failed, FailureCode};
pub use frame::{Channel, MAGIC, StreamId};
pub use host::{HostConnection, HostEvent, OpenError};
pub use listener::{ListenAddress, Listener, ListenerNews, Listeners};
pub use message::{
    Answer, Awake, BadMessage, Control, Decoded, Hello, Nothing, Pong, Refused, Request, Session, Welcome,
};
pub use mux::{Ended, ProtocolError, ResetCode, StreamGone};
pub use path::GuestPath;
pub use request::{
    Command, Exec, Identify, List, LoginShell, Measure, Mkdir, Ping, PowerOff, Read, Remove, Rename, Resize, SetClock,
    Signal, Stat, Stdin, Tty, User, Write,
};
pub use service::{
    ListServices, Restart, Service, ServiceLog, ServiceOrigin, ServiceState, ServiceStatus, Services, SetServices,
    Turn, TurnService,
};
pub use share::{Change, ChangeKind, Mount, MountAccess, Owner, Touch, Unmount};
pub use stream::WINDOW;
pub use waking::{HostKey, Settle, Settled, WakeAddress, WakeAs, WakeOrigin, WakeRoot, Woken};

/// The oldest protocol version that this build speaks.
pub const LOWEST_VERSION: u32 = 1;
/// The newest protocol version that this build speaks.
pub const HIGHEST_VERSION: u32 = 1;
/// The largest message, after its frames were put together.
pub const MAX_MESSAGE: usize = 1024 * 1024;
/// How many streams may be open at once.
pub const MAX_STREAMS: usize = 1024;
/// The name of the virtio-serial port on which the agent answers.
pub const PORT_NAME: &str = "org.machine.agent.0";
