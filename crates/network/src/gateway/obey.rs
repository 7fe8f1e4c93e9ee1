//! What a server asks for. Rules and forwards are followed all together, or we close: nothing is let out and
//! nobody let in.
//!
//! ```text
//! Following ──set──▶ Following        Following ──a set that cannot be followed──▶ Closed
//!                                        ▲───────────set──────────────────────────────┘
//! ```

use std::os::fd::OwnedFd;
use std::time::Instant;

use machine_core::network::{Forward, NetworkMode, NetworkSpec};

use super::Gateway;
use super::datagrams::number;
use super::slots::Key;
use crate::control::{Counts, Reply, Request, Status};
use crate::listen;

impl Gateway {
    /// Does what a client asked, and answers; an explanation is answered when it is found.
    pub(super) fn obey(&mut self, now: Instant, client: Key, request: Request, beside: Vec<OwnedFd>) {
        let reply = match request {
            Request::Status => Reply::Status(self.status()),
            Request::Set { network, listening } => match self.set(now, network, listening, beside) {
                Ok(()) => Reply::Done,
                Err(why) => {
                    self.close(now, &format!("the last change could not be followed: {why}"));
                    Reply::Failed { why }
                }
            },
            Request::Explain(question) => {
                return self.resolver.explain(&mut self.shared.moment(now), number(client), question);
            }
            Request::Relay => {
                self.clients.appoint(client);
                Reply::Done
            }
        };
        self.clients.reply(client, &reply);
    }

    /// Follows the plan: a gateway that is started anew listens itself where its predecessor was handed sockets.
    pub(super) fn begin(&mut self, network: &NetworkSpec) {
        for forward in &network.forwards {
            // Who asks for our status is told of those that nobody listens for.
            if let Ok((bound, socket)) = listen::bind(forward) {
                let _ = self.forwards.add(bound, socket, &self.shared.reactor, &mut self.udp_forwards);
            }
        }
        match network.mode {
            NetworkMode::User => {
                self.shared.keeper.follow(network.egress.clone());
                self.network = Some(network.clone());
            }
            NetworkMode::None => self.shared.keeper.close("the machine has no network"),
        }
    }

    fn set(
        &mut self,
        now: Instant,
        network: NetworkSpec,
        listening: Vec<Forward>,
        beside: Vec<OwnedFd>,
    ) -> Result<(), String> {
        if network.mode == NetworkMode::None {
            return Err("the machine has no network".to_owned());
        }
        if listening.len() != beside.len() {
            return Err(format!("{} sockets came for {} forwards", beside.len(), listening.len()));
        }
        self.forwards.retain(&network.forwards, &mut self.udp_forwards);
        for (forward, socket) in listening.into_iter().zip(beside) {
            if !network.forwards.contains(&forward) {
                return Err(format!("a socket came for {forward}, which is not wanted"));
            }
            if !self.forwards.has(&forward) {
                let added = self.forwards.add(forward, socket, &self.shared.reactor, &mut self.udp_forwards);
                added.map_err(|error| format!("cannot listen for {forward}: {error}"))?;
            }
        }
        if let Some(deaf) = network.forwards.iter().find(|forward| !self.forwards.has(forward)) {
            return Err(format!("no socket came for {deaf}"));
        }
        self.shared.keeper.follow(network.egress.clone());
        self.network = Some(network);
        self.judge_again(now);
        Ok(())
    }

    /// Nothing is let out, and nobody let in.
    fn close(&mut self, now: Instant, why: &str) {
        self.network = None;
        self.shared.keeper.close(why);
        self.forwards.retain(&[], &mut self.udp_forwards);
        self.judge_again(now);
    }

    fn judge_again(&mut self, now: Instant) {
        self.tcp.judge_again(&mut self.shared.around(now));
        self.judge_datagrams_again(now);
    }

    fn status(&self) -> Status {
        let (tcp, half_open, ever) = self.tcp.counts();
        let counts = Counts {
            tcp: tcp as u64,
            tcp_half_open: half_open as u64,
            tcp_ever: ever,
            udp: (self.flows.len() + self.udp_forwards.len() + self.echoes.len()) as u64,
            dropped: self.shared.drops.seen().map(|(reason, times)| (reason.word().to_owned(), times)).collect(),
        };
        let wanted = self.network.as_ref().map(|network| network.forwards.as_slice()).unwrap_or_default();
        let deaf = wanted.iter().filter(|forward| !self.forwards.has(forward)).copied().collect();
        Status { attached: true, network: self.network.clone(), deaf, counts }
    }
}
