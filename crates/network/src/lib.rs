//! The gateway that a machine's NIC ends in: a process of its own for each machine, without privileges, that
//! speaks Ethernet to the VMM and sockets to the host, and lets out what the machine's rules allow.

mod gatekeeper;
mod gateway;
mod neighbour;
mod packet;
mod plan;
mod refusals;
mod resolver;
mod sniff;
mod udp;

pub use plan::{GATEWAY_VERB, GatewayPlan, LARGEST_PACKET, LINK_DESCRIPTOR};
