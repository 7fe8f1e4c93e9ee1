//! The resolvers: over UDP and TCP, with answers from `zone`. What does not fit a datagram is told to be cut off.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{Name, RData, Record};

use super::zone::{self, Answer, View};
use super::{Seen, locked, serve_tcp, serve_udp};
use crate::stage::places;

/// What fits a datagram of a client that does not say otherwise.
const DATAGRAM: usize = 512;

/// A question that some resolver was asked.
pub(super) struct Asked {
    /// `NAME TYPE at ADDRESS`.
    pub(super) question: String,
}

pub(super) fn open(seen: &Arc<Seen>) {
    serve_udp(seen, "dns", 53, |seen, at, bytes| respond(seen, at, bytes, Some(DATAGRAM)));
    serve_tcp(seen, "dns", 53, converse);
}

/// Messages after their lengths.
fn converse(seen: &Seen, mut stream: TcpStream, at: SocketAddr) {
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut question).is_err() {
            return;
        }
        let Some(answer) = respond(seen, at, &question, None) else { continue };
        let length = u16::try_from(answer.len()).expect("an answer of ours is short");
        let framed = [&length.to_be_bytes(), answer.as_slice()].concat();
        if stream.write_all(&framed).is_err() {
            return;
        }
    }
}

fn respond(seen: &Seen, at: SocketAddr, bytes: &[u8], most: Option<usize>) -> Option<Vec<u8>> {
    let question = Message::from_vec(bytes).ok()?;
    let query = question.queries.first()?.clone();
    let (name, kind) = (query.name().to_ascii().to_lowercase(), query.query_type());
    locked(&seen.asked).push(Asked { question: format!("{} {kind} at {}", name.trim_end_matches('.'), at.ip()) });
    if seen.resolvers_are_down.load(Ordering::SeqCst) {
        return None;
    }
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.message_type = MessageType::Response;
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let view = if at.ip() == places::VPN_RESOLVER.parse::<IpAddr>().ok()? { View::Vpn } else { View::Usual };
    let nth = locked(&seen.asked).iter().filter(|asked| asked.question.starts_with(&name)).count();
    fill(&mut answer, zone::look_up(name.trim_end_matches('.'), kind, view, nth)?);
    // Room for options of the question.
    let most = question.edns.as_ref().map_or(most, |edns| most.map(|_| usize::from(edns.max_payload())));
    let whole = answer.to_vec().ok()?;
    match most {
        Some(most) if whole.len() > most => answer.truncate().to_vec().ok(),
        Some(_) | None => Some(whole),
    }
}

fn fill(answer: &mut Message, found: Answer) {
    match found {
        Answer::Records(records) => {
            for (name, ttl, data) in records {
                answer.add_answer(record(&name, ttl, data));
            }
        }
        Answer::Nothing => (),
        Answer::NoSuchName => answer.metadata.response_code = ResponseCode::NXDomain,
        Answer::Failure => answer.metadata.response_code = ResponseCode::ServFail,
    }
}

fn record(name: &str, ttl: u32, data: RData) -> Record {
    Record::from_rdata(Name::from_ascii(format!("{name}.")).expect("a zone's names are names"), ttl, data)
}
