//! Loads that a guest, or somebody out there, may bring about: everything stays bounded, and others are served.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::guest::Guest;
use crate::stage::{Stage, places};

crate::stories![
    ten_thousand_connections_are_bounded,
    a_flood_of_half_open_connections_is_bounded,
    slow_readers_on_either_side_hold_up_nobody_else,
    a_connection_that_is_full_both_ways_comes_loose_again,
    datagrams_in_pieces_arrive_whole,
    endless_pieces_are_bounded,
];

/// What a gateway may occupy under any load, in MiB.
const MOST: u64 = 256;

/// The world, which lives in this process, needs a descriptor for each connection.
fn allow_many_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    assert!(maximum.is_none_or(|most| most > 10_500), "this host allows {maximum:?} descriptors");
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("the soft limit may be raised");
}

fn ten_thousand_connections_are_bounded(stage: &Stage) {
    allow_many_descriptors();
    let guest = Guest::create(stage, "a", &[]);
    let before = guest.gateway_mib();
    let mut many = guest.start_python(
        "resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))\n\
         held, ended = [], 'all'\n\
         for turn in range(10000):\n\
         \x20   try: held.append(socket.create_connection(('203.0.113.10', 9001)))\n\
         \x20   except OSError as error:\n\
         \x20       ended = word(error); break\n\
         say(len(held), ended)\n\
         while not os.path.exists('/tmp/enough'): select.select([], [], [], 0.1)\n\
         for s in held[:len(held) // 2]: s.close()\n\
         say(tcp('203.0.113.10', 80))",
    );
    let said = many.line().unwrap_or_default();
    let (count, ended) = said.split_once(' ').unwrap_or_default();
    let count: u64 = count.parse().unwrap_or_default();
    // A bound that refuses is one; silence is none.
    assert!(count == 10_000 || (count >= 1000 && ended != "silent"), "{said}");
    let grown = guest.gateway_mib() - before;
    eprintln!("{count} connections ({ended}): the gateway grew by {grown} MiB");
    assert!(grown < MOST, "{count} connections: {grown} MiB");
    guest.exec(&["touch", "/tmp/enough"]);
    many.says("open");
    guest.expect(&[("http('203.0.113.11', 'x')", places::OTHER)]);
}

fn a_flood_of_half_open_connections_is_bounded(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    let gateway = guest.gateway();
    guest.python(
        "s, mine, other = wire()\n\
         def syn(port, target):\n\
         \x20   source, target = '10.0.2.15', target\n\
         \x20   body = struct.pack('!HHIIBBHHH', port, 80, 1, 0, 0x50, 2, 65535, 0, 0)\n\
         \x20   pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack('!BBH', 0, 6, 20)\n\
         \x20   body = body[:16] + struct.pack('!H', total(pseudo + body)) + body[18:]\n\
         \x20   return other + mine + b'\\x08\\x00' + packet(source, target, 6, body)\n\
         for turn in range(60000):\n\
         \x20   probe(lambda: s.send(syn(1024 + turn % 60000, ('203.0.113.10', '198.51.100.99')[turn % 2])))",
    );
    assert_eq!(guest.gateway(), gateway, "the gateway died");
    let occupied = guest.gateway_mib();
    assert!(occupied < MOST, "{occupied} MiB");
    let said = guest.python("say(*(http('203.0.113.11', 'x') for _ in range(5)))");
    assert!(said[0].contains(places::OTHER), "nothing goes any more: {said:?}");
}

fn slow_readers_on_either_side_hold_up_nobody_else(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["-p", "18099:8099"]);
    let before = guest.gateway_mib();
    let mut slow = guest.start_python(
        "held = [socket.create_connection(('203.0.113.10', 9002)) for _ in range(40)]\n\
         full = [socket.create_connection(('203.0.113.10', 9001)) for _ in range(40)]\n\
         for s in full:\n\
         \x20   s.setblocking(False)\n\
         for turn in range(400):\n\
         \x20   for s in full:\n\
         \x20       try: s.send(bytes(1 << 16))\n\
         \x20       except BlockingIOError: pass\n\
         l = socket.create_server(('0.0.0.0', 8099)); l.settimeout(None)\n\
         say('full')\n\
         mute = [l.accept()[0] for _ in range(10)]\n\
         say('mute')\n\
         while not os.path.exists('/tmp/enough'): select.select([], [], [], 0.1)\n\
         say(sum(len(s.recv(1 << 16)) > 0 for s in held))",
    );
    slow.says("full");
    // From outside: writers to a guest that never reads.
    let mut inward: Vec<TcpStream> =
        (0..10).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, 18_099)).expect("it leads in")).collect();
    slow.says("mute");
    for stream in &mut inward {
        stream.set_write_timeout(Some(Duration::from_millis(300))).expect("it is a socket");
        while stream.write_all(&[0; 65_536]).is_ok() {}
    }
    guest.expect(&[("http('203.0.113.11', 'x')", places::OTHER), ("udp('203.0.113.10', 7, b'by')", "by")]);
    let grown = guest.gateway_mib().saturating_sub(before);
    assert!(grown < MOST, "90 slow readers: {grown} MiB");
    guest.exec(&["touch", "/tmp/enough"]);
    slow.says("40");
    drop(slow);
    // The guest's program has ended: each writer is told.
    for mut stream in inward {
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("it is a socket");
        let ended = stream.read(&mut [0; 16]);
        assert!(!matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{ended:?}");
    }
}

/// A guest that only sends, to one that sends it all back: nothing goes any more, either way. Then it reads.
fn a_connection_that_is_full_both_ways_comes_loose_again(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    let said = guest.python(
        "import hashlib\n\
         def stuff():\n\
         \x20   s = socket.create_connection(('203.0.113.10', 7)); s.setblocking(False)\n\
         \x20   s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)\n\
         \x20   there, back, sent, got = hashlib.sha256(), hashlib.sha256(), 0, 0\n\
         \x20   def send():\n\
         \x20       nonlocal sent\n\
         \x20       some = os.urandom(1 + sent * 7 % 9001); count = s.send(some); there.update(some[:count]); sent += count\n\
         \x20   while select.select([], [s], [], 1)[1]: send()\n\
         \x20   full, more = sent, sent + (4 << 20)\n\
         \x20   while got < more:\n\
         \x20       inward, outward, _ = select.select([s], [s] if sent < more else [], [], 60)\n\
         \x20       if not inward and not outward: return f'stuck: {sent} sent, {got} back, {full} made it full'\n\
         \x20       if outward: send(); more = max(more, sent)\n\
         \x20       if inward: some = s.recv(65536); back.update(some); got += len(some)\n\
         \x20   return there.digest() == back.digest()\n\
         for turn in range(2): say(stuff())",
    );
    assert_eq!(said, ["True"; 2]);
}

fn datagrams_in_pieces_arrive_whole(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    guest.exec(&["ip", "link", "set", "eth0", "mtu", "1500"]);
    guest.expect(&[
        ("len(udp('203.0.113.10', 7, b'x' * 9000))", "9000"),
        ("len(udp('203.0.113.10', 7, b'x' * 60000))", "60000"),
        ("ask('many.example.com', over='tcp').count('198')", "100"),
    ]);
    // By hand: out of order, overlapping, and with options that a packet may have.
    let said = guest.python(
        "s, mine, other = wire()\n\
         u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('10.0.2.15', 40000)); u.settimeout(3)\n\
         whole = struct.pack('!4H', 40000, 7, 8 + 1600, 0) + b'y' * 1600\n\
         send = lambda at, end, flags, options=b'': s.send(other + mine + b'\\x08\\x00' + packet('10.0.2.15', '203.0.113.10', 17, whole[at:end], options, flags | at // 8, 99))\n\
         send(1200, 1608, 0); send(0, 800, 0x2000); send(800, 1200, 0x2000)\n\
         say(probe(lambda: str(len(u.recv(9999)))))\n\
         s.send(other + mine + b'\\x08\\x00' + packet('10.0.2.15', '203.0.113.10', 17, struct.pack('!4H', 40000, 7, 13, 0) + b'with!', b'\\x01' * 4))\n\
         say(probe(lambda: u.recv(9999).decode()))",
    );
    assert_eq!(said[0], "1600");
    // A packet with options may be carried or dropped; the gateway lives.
    assert!(["with!", "silent"].contains(&said[1].as_str()), "{said:?}");
}

fn endless_pieces_are_bounded(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    let (gateway, before) = (guest.gateway(), guest.gateway_mib());
    guest.python(
        "s, mine, other = wire()\n\
         for number in range(20000):\n\
         \x20   s.send(other + mine + b'\\x08\\x00' + packet('10.0.2.15', '203.0.113.10', 17, bytes(8000), b'', 0x2000 | 1, number))",
    );
    assert_eq!(guest.gateway(), gateway, "the gateway died");
    let grown = guest.gateway_mib().saturating_sub(before);
    assert!(grown < 32, "pieces of what never comes: {grown} MiB");
    guest.expect(&[("udp('203.0.113.10', 7, b'after')", "after")]);
}
