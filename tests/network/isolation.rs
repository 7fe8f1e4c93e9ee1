//! Two machines never reach each other, whatever they write on the wire: each has a network of its own, in
//! which there is nobody but its gateway.

use crate::guest::Guest;
use crate::reach::nobody_saw;
use crate::stage::Stage;

crate::stories![two_machines_never_reach_each_other, a_forged_sender_reaches_nobody, broken_frames_harm_nobody];

fn two_machines_never_reach_each_other(stage: &Stage) {
    let (one, two) = (Guest::create(stage, "a", &[]), Guest::create(stage, "b", &[]));
    let mut listener = two.start_python(
        "l = socket.create_server(('0.0.0.0', 8080)); l.settimeout(None)\n\
         w, mine, other = wire()\n\
         w.settimeout(0.2)\n\
         say(mine.hex())\n\
         while True:\n\
         \x20   try:\n\
         \x20       frame = w.recv(65536)\n\
         \x20       if b'from one to two' in frame: say('HEARD', frame[:60].hex())\n\
         \x20   except TimeoutError: pass\n\
         \x20   if os.path.exists('/tmp/end'): break\n\
         say('heard nothing')",
    );
    let mac = listener.line().expect("it says its address");
    one.python(&format!(
        "s, mine, other = wire()\n\
         for target in ('10.0.2.15', '10.0.2.255', '255.255.255.255', '224.0.0.1', '10.0.2.16'):\n\
         \x20   for source in ('10.0.2.15', '10.0.2.16', '10.0.2.2'):\n\
         \x20       body = datagram(source, target, 8080, b'from one to two')\n\
         \x20       for to in (bytes.fromhex('{mac}'), b'\\xff' * 6, other):\n\
         \x20           for sender in (mine, bytes.fromhex('{mac}')):\n\
         \x20               s.send(to + sender + b'\\x08\\x00' + body)"
    ));
    let said = one.python("say(tcp('10.0.2.16', 8080), probe(lambda: socket.create_connection(('10.0.2.2', 8080))))");
    assert!(!said[0].contains("open"), "{said:?}");
    two.exec(&["touch", "/tmp/end"]);
    listener.says("heard nothing");
}

fn a_forged_sender_reaches_nobody(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    guest.python(
        "s, mine, other = wire()\n\
         for source in ('10.0.2.16', '203.0.113.10', '127.0.0.1', '192.0.2.2', '0.0.0.0', '255.255.255.255'):\n\
         \x20   s.send(other + mine + b'\\x08\\x00' + datagram(source, '203.0.113.10', 7, b'forged'))\n\
         s.send(other + b'\\x52\\x54\\x00\\x11\\x22\\x33' + b'\\x08\\x00' + datagram('10.0.2.15', '203.0.113.10', 7, b'forged'))",
    );
    guest.expect(&[("udp('203.0.113.10', 7, b'true')", "true")]);
    let forged: Vec<_> = stage.world.take_sights().into_iter().filter(|sight| sight.said == b"forged").collect();
    assert!(forged.is_empty(), "{forged:#?}");
}

fn broken_frames_harm_nobody(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["--egress", "deny", "--allow", "203.0.113.10:80"]);
    let gateway = guest.gateway();
    guest.python(
        "import random\n\
         random.seed(4)\n\
         s, mine, other = wire()\n\
         syn = struct.pack('!HHIIBBHHH', 4000, 80, 1, 0, 0x50, 2, 65535, 0, 0)\n\
         good = [datagram('10.0.2.15', '203.0.113.11', 7, b'x' * 40), packet('10.0.2.15', '203.0.113.11', 6, syn),\n\
         \x20       packet('10.0.2.15', '203.0.113.11', 1, b'\\x08\\0\\0\\0' + bytes(20)),\n\
         \x20       packet('10.0.2.15', '203.0.113.11', 17, bytes(30), options=b'\\x07\\x04\\x04\\x00'),\n\
         \x20       bytes.fromhex('60000000001411ff') + bytes(32) + bytes(20)]\n\
         for turn in range(4000):\n\
         \x20   bad = bytearray(random.choice(good))\n\
         \x20   for _ in range(random.randrange(5)): bad[random.randrange(len(bad))] = random.randrange(256)\n\
         \x20   kind = random.choice([b'\\x08\\x00'] * 4 + [b'\\x86\\xdd', b'\\x08\\x06', os.urandom(2)])\n\
         \x20   frame = other + mine + kind + bytes(bad[:random.randrange(len(bad) + 1)])\n\
         \x20   probe(lambda: s.send(frame))\n\
         for size in (60000, 65500): probe(lambda: s.send(other + mine + b'\\x08\\x00' + datagram('10.0.2.15', '203.0.113.11', 7, bytes(size))))",
    );
    nobody_saw(&stage.world);
    assert_eq!(guest.gateway(), gateway, "the gateway died");
    guest.expect(&[("http('203.0.113.10', 'x')", "203.0.113.10"), ("tcp('203.0.113.11', 80)", "refused")]);
}
