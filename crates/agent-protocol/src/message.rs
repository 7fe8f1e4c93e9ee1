//! Messages by number. A message is the CBOR array `[number, body map]`.
//!
//! Numbers and field tags are append-only and never change their meaning: an unknown field is
//! skipped, an unknown message is answered by `unsupported`. The golden test holds them in place.

use crate::account::{EnsureUser, PutSecrets};
use crate::body::{AgentState, Exited, FileStat, Measured, Opened, Started, Written};
use crate::connect::{Connect, Connected};
use crate::failure::Failed;
use crate::listener::Listeners;
use crate::request::{
    Exec, Identify, List, Measure, Mkdir, Ping, PowerOff, Read, Remove, Rename, Resize, SetClock, Signal, Stat, Write,
};
use crate::service::{ListServices, ServiceLog, Services, SetServices, TurnService};
use crate::share::{Mount, Touch, Unmount};
use crate::waking::{Settle, Settled, WakeAs, Woken};
use minicbor::{Decode, Decoder, Encode, Encoder};

/// A message that is not even a message.
#[derive(Debug, thiserror::Error)]
#[error("cannot read a message of {length} bytes")]
pub struct BadMessage {
    /// How long it was.
    pub length: usize,
    /// What was wrong with it.
    pub source: minicbor::decode::Error,
}

/// A message, or the number of one that is younger than this build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded<M> {
    /// We know it.
    Known(M),
    /// We do not.
    Unknown(u32),
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$line:meta])* $number:literal $variant:ident($body:ty),)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$line])* $variant($body),)*
        }

        impl $name {
            /// The bytes on the wire.
            #[must_use]
            pub fn encode(&self) -> Vec<u8> {
                match self {
                    $(Self::$variant(body) => encode($number, body),)*
                }
            }

            /// Reads the bytes on the wire.
            ///
            /// # Errors
            /// If they are no message, or a known message with a wrong body.
            pub fn decode(bytes: &[u8]) -> Result<Decoded<Self>, BadMessage> {
                let bad = |source| BadMessage { length: bytes.len(), source };
                let mut decoder = Decoder::new(bytes);
                match decode_number(&mut decoder).map_err(bad)? {
                    $($number => decoder.decode().map(Self::$variant).map(Decoded::Known).map_err(bad),)*
                    other => Ok(Decoded::Unknown(other)),
                }
            }
        }

        $(impl From<$body> for $name {
            fn from(body: $body) -> Self {
                Self::$variant(body)
            }
        })*
    };
}

/// The host opens a session.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// The oldest version that the host speaks.
    #[n(0)]
    pub lowest: u32,
    /// The newest version that the host speaks.
    #[n(1)]
    pub highest: u32,
    /// Random; tells this session's answer from an older one.
    #[n(2)]
    pub nonce: u64,
    /// The host's program version, for logs.
    #[n(3)]
    pub host_version: String,
}

/// The agent takes the session.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Welcome {
    /// The version to speak.
    #[n(0)]
    pub version: u32,
    /// The nonce of the hello.
    #[n(1)]
    pub nonce: u64,
    /// The agent's program version.
    #[n(2)]
    pub agent_version: String,
    /// Changes with every boot of the guest's kernel.
    #[n(3)]
    pub boot_id: String,
    /// The guest's kernel.
    #[n(4)]
    pub kernel: String,
    /// What the agent is about to do.
    #[n(5)]
    pub state: AgentState,
}

/// The agent speaks no version that the host does.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Refused {
    /// The nonce of the hello.
    #[n(0)]
    pub nonce: u64,
    /// The oldest version that the agent speaks.
    #[n(1)]
    pub lowest: u32,
    /// The newest version that the agent speaks.
    #[n(2)]
    pub highest: u32,
}

/// The agent has no session: it just started, or lost the thread. A host says hello again.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Awake {
    /// Changes with every boot of the guest's kernel.
    #[n(0)]
    pub boot_id: String,
}

/// Nothing to add.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Nothing {}

/// The answer to a ping.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Pong {}

numbered! {
    /// What is said right after [`crate::MAGIC`], on stream 0.
    Session {
        /// Host: let us talk.
        1 Hello(Hello),
        /// Agent: let us.
        2 Welcome(Welcome),
        /// Agent: we have no language in common.
        3 Refused(Refused),
        /// Agent: I have no session.
        4 Awake(Awake),
    }
}

numbered! {
    /// What opens a stream.
    Request {
        /// Are you there?
        16 Ping(Ping),
        /// Run a command.
        17 Exec(Exec),
        /// Send a file.
        18 Read(Read),
        /// Take a file.
        19 Write(Write),
        /// List a folder.
        20 List(List),
        /// Describe a file.
        21 Stat(Stat),
        /// Remove a file.
        22 Remove(Remove),
        /// Make a folder.
        23 Mkdir(Mkdir),
        /// Rename a file.
        24 Rename(Rename),
        /// Set the clock.
        25 SetClock(SetClock),
        /// Become somebody.
        26 Identify(Identify),
        /// How are you?
        27 Measure(Measure),
        /// Power off.
        28 PowerOff(PowerOff),
        /// Become this machine.
        29 WakeAs(WakeAs),
        /// Come to rest.
        30 Settle(Settle),
        /// Connect to a service.
        31 Connect(Connect),
        /// Mount a folder of the host.
        32 Mount(Mount),
        /// Take it away.
        33 Unmount(Unmount),
        /// Let its watchers know.
        34 Touch(Touch),
        /// Keep these services running.
        35 SetServices(SetServices),
        /// How are they?
        36 ListServices(ListServices),
        /// Start, stop or restart one.
        37 TurnService(TurnService),
        /// What did one say?
        38 ServiceLog(ServiceLog),
        /// Who listens?
        39 Listeners(Listeners),
        /// Hold these secrets.
        40 PutSecrets(PutSecrets),
        /// Make this user be there.
        41 EnsureUser(EnsureUser),
    }
}

numbered! {
    /// What the host may say in an open stream.
    Control {
        /// Send a signal.
        64 Signal(Signal),
        /// The terminal's window changed.
        65 Resize(Resize),
    }
}

numbered! {
    /// What the agent says in a stream.
    Answer {
        /// It could not be done.
        96 Failed(Failed),
        /// It is done.
        97 Done(Nothing),
        /// I am here.
        98 Pong(Pong),
        /// The command runs.
        99 Started(Started),
        /// The command ended.
        100 Exited(Exited),
        /// The file is open.
        101 Opened(Opened),
        /// The file is written.
        102 Written(Written),
        /// This is the file.
        103 Status(FileStat),
        /// This is how I am.
        104 Measured(Measured),
        /// I am the machine.
        105 Woken(Woken),
        /// I rest.
        106 Settled(Settled),
        /// The service is there.
        107 Connected(Connected),
        /// This is how the services are.
        108 Services(Services),
    }
}

impl Answer {
    /// It is done.
    pub const DONE: Self = Self::Done(Nothing {});
}

fn encode<B: Encode<()>>(number: u32, body: &B) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    encoder.array(2).and_then(|e| e.u32(number)).and_then(|e| e.encode(body)).expect("writing to memory does not fail");
    encoder.into_writer()
}

fn decode_number(decoder: &mut Decoder<'_>) -> Result<u32, minicbor::decode::Error> {
    match decoder.array()? {
        Some(2..) => decoder.u32(),
        Some(_) | None => Err(minicbor::decode::Error::message("not an array of number and body")),
    }
}
