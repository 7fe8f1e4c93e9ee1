//! The gateway that a machine's NIC ends in: a process of its own for each machine, without privileges, that
//! speaks Ethernet to the VMM and sockets to the host, and lets out what the machine's rules allow.

pub mod control;
mod gatekeeper;
mod gateway;
mod listen;
mod neighbour;
mod packet;
mod plan;
mod refusals;
mod resolver;
mod run;
mod sandbox;
mod sniff;
mod sys;
mod udp;

pub use gateway::GatewayError;
pub use listen::{ListenError, bind, who_holds};
pub use plan::{GATEWAY_VERB, GatewayPlan, LARGEST_PACKET, LINK_DESCRIPTOR};
pub use run::run;
