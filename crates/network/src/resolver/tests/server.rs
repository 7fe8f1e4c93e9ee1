//! A name server on loopback that answers as a test wants, by UDP and TCP at the same port.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record};
use machine_core::network::Transport;

/// What a server was asked, how, and from where.
pub(super) type Asked = (Transport, Message, SocketAddr);

/// What it sends back, each as a message of its own.
type Answers = dyn Fn(&Asked) -> Vec<Vec<u8>> + Send + Sync;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    stop: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Asked>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// At any port of 127.0.0.1.
    pub(super) fn new(answers: impl Fn(&Asked) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        let sockets = || {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            let udp = UdpSocket::bind(tcp.local_addr().unwrap()).ok()?;
            Some((tcp, udp))
        };
        let (tcp, udp) = std::iter::repeat_with(sockets).flatten().next().unwrap();
        Self::at(tcp, udp, answers)
    }

    /// At the same port of another loopback address.
    pub(super) fn beside(
        port: u16,
        address: &str,
        answers: impl Fn(&Asked) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
        Self::at(TcpListener::bind(address).unwrap(), UdpSocket::bind(address).unwrap(), answers)
    }

    fn at(tcp: TcpListener, udp: UdpSocket, answers: impl Fn(&Asked) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        let address = udp.local_addr().unwrap();
        let answers: Arc<Answers> = Arc::new(answers);
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let serve = |run: fn(&Serving)| {
            let serving = Serving {
                tcp: tcp.try_clone().unwrap(),
                udp: udp.try_clone().unwrap(),
                stop: Arc::clone(&stop),
                asked: Arc::clone(&asked),
                answers: Arc::clone(&answers),
            };
            std::thread::spawn(move || run(&serving))
        };
        let threads = vec![serve(Serving::datagrams), serve(Serving::streams)];
        Self { address, stop, asked, threads }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let knock = UdpSocket::bind((self.address.ip(), 0)).unwrap();
        knock.send_to(&[], self.address).unwrap();
        drop(TcpStream::connect(self.address).unwrap());
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

struct Serving {
    tcp: TcpListener,
    udp: UdpSocket,
    stop: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Answers>,
}

impl Serving {
    fn stops(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn answer(&self, transport: Transport, from: SocketAddr, bytes: &[u8]) -> Vec<Vec<u8>> {
        let asked = (transport, Message::from_vec(bytes).unwrap(), from);
        self.asked.lock().unwrap().push(asked.clone());
        (self.answers)(&asked)
    }

    fn datagrams(&self) {
        let mut buffer = [0; 4096];
        while let Ok((count, from)) = self.udp.recv_from(&mut buffer) {
            if self.stops() {
                return;
            }
            for answer in self.answer(Transport::Udp, from, &buffer[..count]) {
                let _ = self.udp.send_to(&answer, from);
            }
        }
    }

    fn streams(&self) {
        while let Ok((mut stream, from)) = self.tcp.accept() {
            if self.stops() {
                return;
            }
            let mut length = [0; 2];
            while stream.read_exact(&mut length).is_ok() {
                let mut message = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut message).unwrap();
                for answer in self.answer(Transport::Tcp, from, &message) {
                    let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                    // In pieces, as streams are.
                    for piece in [&length[..1], &length[1..], &answer[..answer.len() / 2], &answer[answer.len() / 2..]]
                    {
                        let _ = stream.write_all(piece);
                    }
                }
            }
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

pub(super) fn name(text: &str) -> Name {
    let mut name = Name::from_labels(text.split('.').map(str::as_bytes)).unwrap();
    name.set_fqdn(true);
    name
}

pub(super) fn address(of: &str, ttl: u32, address: &str) -> Record {
    let data = match address.parse().unwrap() {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    };
    Record::from_rdata(name(of), ttl, data)
}

pub(super) fn cname(of: &str, ttl: u32, other: &str) -> Record {
    Record::from_rdata(name(of), ttl, RData::CNAME(CNAME(name(other))))
}

/// The answer to a question, of these records.
pub(super) fn message(asked: &Asked, code: ResponseCode, records: Vec<Record>) -> Message {
    let mut message = Message::response(asked.1.metadata.id, OpCode::Query);
    message.metadata.response_code = code;
    message.metadata.recursion_available = true;
    message.queries.clone_from(&asked.1.queries);
    message.answers = records;
    message
}

pub(super) fn answer(asked: &Asked, records: Vec<Record>) -> Vec<Vec<u8>> {
    vec![message(asked, ResponseCode::NoError, records).to_vec().unwrap()]
}

pub(super) fn code(asked: &Asked, code: ResponseCode) -> Vec<Vec<u8>> {
    vec![message(asked, code, Vec::new()).to_vec().unwrap()]
}
