//! What a machine reaches when nobody says anything: the whole internet, and nothing of the host's own.

use std::net::TcpListener;

use crate::guest::Guest;
use crate::stage::{Stage, places};
use crate::world::World;

crate::stories![
    a_machine_reaches_what_is_public,
    bytes_are_carried_whole_and_each_side_ends_alone,
    reserved_addresses_are_refused_in_every_spelling,
    the_host_itself_is_out_of_reach_but_for_exceptions,
    a_single_exception_opens_one_address_and_one_port,
    a_machine_that_is_denied_everything_reaches_and_asks_nobody,
    a_guest_that_asks_for_its_address_is_told,
];

/// Nobody out there may have heard of it.
#[track_caller]
pub(crate) fn nobody_saw(world: &World) {
    let sights = world.take_sights();
    let other = sights.iter().filter(|sight| sight.service != "dns").collect::<Vec<_>>();
    assert!(other.is_empty(), "{other:#?}");
}

/// Whether a datagram that got this for an answer was refused, in one of the ways there are.
pub(crate) fn unanswered(word: &str) -> bool {
    ["silent", "refused", "Permission denied", "No route to host", "Network is unreachable"].contains(&word)
}

fn a_machine_reaches_what_is_public(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    guest.expect(&[
        ("six()", "True"),
        ("resolve('www.example.com')", places::WWW),
        ("resolve('missing.example.com')", "unresolved"),
        ("http('www.example.com', 'www.example.com')", places::WWW),
        ("https('www.example.com', 'www.example.com')", places::WWW),
        ("http('203.0.113.11', 'whatever')", places::OTHER),
        ("http('v6.example.com', 'v6.example.com')", places::WWW_V6),
        ("udp('203.0.113.10', 7, b'around')", "around"),
        ("udp('2001:db8:2::10', 7, b'six')", "six"),
        ("echo('203.0.113.10')", "open"),
        ("echo('10.0.2.2')", "open"),
        ("echo('10.0.2.3')", "open"),
        ("tcp('203.0.113.10', 9999)", "refused"),
        ("raw('203.0.113.10', 9000) in ('reset', 'refused')", "True"),
    ]);
}

fn bytes_are_carried_whole_and_each_side_ends_alone(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    let said = guest.python(
        "import hashlib\n\
         data = os.urandom(1 << 20) * 24\n\
         with socket.create_connection(('203.0.113.10', 9003)) as s:\n\
         \x20   s.sendall(data)\n\
         \x20   s.shutdown(socket.SHUT_WR)\n\
         \x20   say(s.recv(100).decode().strip() == str(len(data)))\n\
         with socket.create_connection(('203.0.113.10', 7)) as s:\n\
         \x20   threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR))).start()\n\
         \x20   digest, count = hashlib.sha256(), 0\n\
         \x20   while some := s.recv(1 << 16): digest.update(some); count += len(some)\n\
         say(count == len(data), digest.digest() == hashlib.sha256(data).digest())",
    );
    assert_eq!(said, ["True", "True True"]);
    let fetched = guest.exec(&["sh", "-c", "curl -s http://www.example.com/bytes/50000000 | wc -c"]);
    assert_eq!(fetched, "50000000");
}

fn reserved_addresses_are_refused_in_every_spelling(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["--allow", "0.0.0.0/0", "--allow", "::/0"]);
    guest.expect(&[("six()", "True")]);
    let spelled = ["167838211", "0x0a010203", "012.01.02.03", "10.66051", "0xa.0x1.0x2.0x3", "::ffff:10.1.2.3"];
    let all: Vec<String> = places::RESERVED
        .iter()
        .chain(places::RESERVED_V6)
        .chain(&spelled)
        .map(|address| format!("tcp('{address}', 80)"))
        .collect();
    guest.expect_all("refused", &all.iter().map(String::as_str).collect::<Vec<_>>());
    nobody_saw(&stage.world);
    let silent = ["udp('10.1.2.3', 7)", "udp('169.254.169.254', 7)", "udp('fd12::1', 7)", "echo('192.168.1.1')"];
    for probe in silent {
        let said = guest.python(&format!("say({probe})"));
        assert!(unanswered(&said[0]), "{probe}: {said:?}");
    }
    nobody_saw(&stage.world);
    let tricks =
        ["private", "metadata", "loopback", "host", "inwards"].map(|name| format!("tcp('{name}.example.com', 80)"));
    let said = guest.python(&tricks.map(|probe| format!("say({probe})")).join("\n"));
    assert!(said.iter().all(|word| word == "refused" || word == "unresolved"), "{said:?}");
    let said = guest.python("for name in ('mapped', 'nat64', 'local6'): say(tcp(f'{name}.example.com', 80))");
    assert!(said.iter().all(|word| word == "refused" || word == "unresolved"), "{said:?}");
    nobody_saw(&stage.world);
}

fn the_host_itself_is_out_of_reach_but_for_exceptions(stage: &Stage) {
    let listener = TcpListener::bind("[::]:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    listener.set_nonblocking(true).expect("it is a socket");
    let guest = Guest::create(stage, "a", &["--allow", "0.0.0.0/0"]);
    guest.expect(&[("six()", "True")]);
    let doors = [places::HOST, places::HOST_V6, "10.0.2.2", "host.machine.internal", "host.example.com"];
    let probes = doors.map(|door| format!("say(tcp('{door}', {port}))")).join("\n");
    let said = guest.python(&probes);
    assert!(said.iter().all(|word| word == "refused" || word == "unresolved"), "{said:?}");
    assert!(listener.accept().is_err(), "somebody came");
    guest.set_egress(&["--allow", &format!("host.machine.internal:{port}")]);
    assert_eq!(guest.python(&format!("say(tcp('host.machine.internal', {port}))")), ["open"]);
    assert!(listener.accept().is_ok(), "nobody came");
    assert_eq!(guest.python(&format!("say(tcp('{}', {port}))", places::HOST)), ["refused"]);
}

fn a_single_exception_opens_one_address_and_one_port(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["--allow", "192.168.1.1:80", "--allow", "10.1.0.0/16:7/udp"]);
    guest.expect(&[
        ("http('192.168.1.1', 'x')", "192.168.1.1"),
        ("tcp('192.168.1.1', 8080)", "refused"),
        ("tcp('10.1.2.3', 80)", "refused"),
        ("udp('10.1.2.3', 7, b'in')", "in"),
        ("tcp('172.16.5.5', 80)", "refused"),
    ]);
}

fn a_machine_that_is_denied_everything_reaches_and_asks_nobody(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["--egress", "deny"]);
    guest.expect(&[
        ("six()", "True"),
        ("resolve('www.example.com')", "unresolved"),
        ("tcp('203.0.113.10', 80)", "refused"),
        ("tcp('2001:db8:2::10', 80)", "refused"),
        ("tcp('10.0.2.2', 80)", "refused"),
    ]);
    guest.python("udp('203.0.113.10', 7, tries=1); udp('203.0.113.10', 53, question('www.example.com'), tries=1)");
    nobody_saw(&stage.world);
    assert_eq!(stage.world.take_questions(), Vec::<String>::new());
}

/// By DHCP, for guests that do not know it from us.
fn a_guest_that_asks_for_its_address_is_told(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    let told = guest.python(
        "s, mine, other = wire()\n\
         s.settimeout(2)\n\
         ask = bytes([1, 1, 6, 0]) + b'twin' + bytes(20) + mine + bytes(202) + bytes.fromhex('63825363') + bytes([53, 1, 1, 255])\n\
         body = struct.pack('!4H', 68, 67, 8 + len(ask), 0) + ask\n\
         frame = b'\\xff' * 6 + mine + b'\\x08\\x00' + packet('0.0.0.0', '255.255.255.255', 17, body)\n\
         def offered():\n\
         \x20   for turn in range(5):\n\
         \x20       s.send(frame)\n\
         \x20       try:\n\
         \x20           while True:\n\
         \x20               got = s.recv(65536)\n\
         \x20               if got[12:14] == b'\\x08\\x00' and got[23] == 17 and got[34:36] == b'\\0C' and b'twin' in got:\n\
         \x20                   return socket.inet_ntoa(got[42 + 16:42 + 20])\n\
         \x20       except TimeoutError: pass\n\
         say(offered())",
    );
    assert_eq!(told, ["10.0.2.15"]);
}
