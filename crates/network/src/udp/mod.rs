//! Datagrams over the host's sockets: those of the guest's own flows, echo requests, and those of forwarded ports.
//! Knows no rules: who calls has judged already.

mod echoes;
mod flows;
mod forwards;
mod socket;
mod table;

#[cfg(test)]
mod tests;

pub(crate) use echoes::Echoes;
pub(crate) use flows::UdpFlows;
pub(crate) use forwards::UdpForwards;
