//! The resolver of a machine: follows the host's, answers what the rules allow, and believes nothing.

use crate::guest::Guest;
use crate::home::until;
use crate::reach::nobody_saw;
use crate::stage::{Stage, places, use_resolver};

crate::stories![
    chains_cuts_and_faults_are_answered_as_they_are,
    a_name_that_leads_inwards_opens_nothing,
    an_answer_to_another_question_is_not_believed,
    long_and_broken_questions_harm_nobody,
    a_tunnel_of_texts_is_throttled,
    a_resolver_that_is_down_is_told_and_comes_back,
    the_hosts_new_resolver_is_followed,
];

fn chains_cuts_and_faults_are_answered_as_they_are(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    guest.expect(&[
        ("resolve('chain.example.com')", places::WWW),
        ("ask('chain.example.com')", &format!("0 {}", places::WWW)),
        ("ask('www.example.com', over='tcp')", &format!("0 {}", places::WWW)),
        ("ask('missing.example.com')", "3"),
        ("ask('www.example.com', kind=28)", "0"),
        ("ask('fail.example.com')", "2"),
        ("len(ask('many.example.com', over='tcp').split())", "101"),
        ("len(resolve('many.example.com').split())", "100"),
        ("'cut' in ask('many.example.com')", "True"),
    ]);
    let looped = guest.python("say(resolve('loop.example.com'))");
    assert_eq!(looped, ["unresolved"]);
}

fn a_name_that_leads_inwards_opens_nothing(stage: &Stage) {
    let guest =
        Guest::create(stage, "a", &["--egress", "deny", "--allow", "*.example.com", "--allow", "*.example.com:7"]);
    for name in ["private", "metadata", "loopback", "host", "inwards", "mapped", "nat64", "local6"] {
        let said = guest.python(&format!("say(tcp('{name}.example.com', 80), tcp('{name}.example.com', 7))"));
        assert!(said[0].split(' ').all(|word| word == "refused" || word == "unresolved"), "{name}: {said:?}");
    }
    nobody_saw(&stage.world);
    // The public one of two is reached; the private one never.
    guest.expect(&[("http('mixed.example.com', 'mixed.example.com')", places::WWW)]);
    // First public, then private: what was pinned is what is dialled, and the new answer opens nothing.
    guest.expect(&[("http('rebind.example.com', 'rebind.example.com')", places::WWW)]);
    stage.world.take_sights();
    let said = guest.python("say(*(http('rebind.example.com', 'rebind.example.com') for _ in range(3)))");
    let good = |word: &str| word == "refused" || word == "unresolved" || word == places::WWW;
    assert!(said[0].split(' ').all(good), "{said:?}");
    guest.expect_all("refused", &["tcp('192.168.1.1', 80)"]);
    let inside: Vec<_> =
        stage.world.take_sights().into_iter().filter(|sight| sight.at.ip().to_string() == "192.168.1.1").collect();
    assert!(inside.is_empty(), "{inside:#?}");
}

fn an_answer_to_another_question_is_not_believed(stage: &Stage) {
    let guest =
        Guest::create(stage, "a", &["--egress", "deny", "--allow", "*.example.com", "--allow", "*.example.com:7"]);
    let said = guest.python("say(resolve('poison.example.com'))");
    assert!(!said[0].contains(places::EVIL), "{said:?}");
    guest.expect_all("refused", &["tcp('203.0.113.66', 7)", "tcp('203.0.113.66', 443)"]);
    nobody_saw(&stage.world);
}

fn long_and_broken_questions_harm_nobody(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    let gateway = guest.gateway();
    guest.python(
        "import random\n\
         random.seed(4)\n\
         good = question('www.example.com')\n\
         with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:\n\
         \x20   s.connect(('10.0.2.3', 53))\n\
         \x20   for turn in range(600):\n\
         \x20       bad = bytearray(good)\n\
         \x20       for _ in range(random.randrange(1, 6)): bad[random.randrange(len(bad))] = random.randrange(256)\n\
         \x20       s.send(bytes(bad[:random.randrange(len(bad) + 1)]))\n\
         \x20   s.send(good[:12] + bytes([63]) + b'a' * 63 + bytes([192, 12]) + bytes(4))\n\
         \x20   s.send(good[:12] + bytes([192, 12, 0, 1, 0, 1]))\n\
         \x20   s.send(good[:12] + (bytes([63]) + b'a' * 63) * 5 + bytes([0, 0, 1, 0, 1]))\n\
         \x20   s.send(bytes(60000))\n\
         with socket.create_connection(('10.0.2.3', 53)) as s:\n\
         \x20   s.sendall(struct.pack('!H', 65535) + good)",
    );
    let long = format!("{}.example.com", ["a".repeat(60).as_str(); 3].join("."));
    guest.expect(&[(&format!("resolve('{long}')"), "unresolved"), ("resolve('www.example.com')", places::WWW)]);
    assert_eq!(guest.gateway(), gateway, "the gateway died");
}

fn a_tunnel_of_texts_is_throttled(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    guest.python(
        "with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:\n\
         \x20   s.connect(('10.0.2.3', 53))\n\
         \x20   for turn in range(1500): s.send(question(f'{turn}.tunnel.example.com', 16, turn))\n\
         say(resolve('www.example.com'))",
    );
    let texts = stage.world.take_questions().iter().filter(|asked| asked.contains("tunnel")).count();
    assert!((1..750).contains(&texts), "{texts} of 1500 questions got out");
    let told = guest.refusals();
    assert!(told.iter().any(|line| line["protocol"] == "dns"), "{told:#?}");
}

fn a_resolver_that_is_down_is_told_and_comes_back(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    stage.world.silence_resolvers(true);
    let said = guest.python("say(ask('other.example.com'))");
    stage.world.silence_resolvers(false);
    assert_eq!(said, ["2"], "a failure of the server, and no silence");
    until("names resolve again", || guest.python("say(resolve('other.example.com'))") == [places::OTHER]);
}

fn the_hosts_new_resolver_is_followed(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    guest.expect(&[("http('www.example.com', 'x')", places::WWW)]);
    use_resolver(places::VPN_RESOLVER);
    let follows = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("the new resolver is asked", || guest.python("say(http('www.example.com', 'x'))") == [places::OTHER]);
    }));
    use_resolver(places::RESOLVER);
    assert!(follows.is_ok(), "the old resolver is asked for ever");
    until("the first one is asked again", || guest.python("say(http('www.example.com', 'x'))") == [places::WWW]);
}
