//! Gateways that are killed, servers that are killed, plans that cannot be read: nothing hangs, nothing opens.

use crate::guest::Guest;
use crate::home::{kill, until};
use crate::reach::nobody_saw;
use crate::stage::{Stage, places};

crate::stories![
    a_gateway_that_is_killed_in_a_download_is_replaced_and_the_download_reset,
    a_killed_servers_machines_go_on_talking,
    rules_hold_at_once_and_over_a_new_server,
    a_gateway_that_cannot_read_its_plan_is_closed,
    a_machine_from_an_image_is_connected_from_the_first_command,
    rules_and_ports_are_kept_over_stop_and_start,
];

/// Reads what drips, and says how that ended.
const DRIPPING: &str = "
s = socket.create_connection(('203.0.113.10', 9004))
s.settimeout(None)
s.recv(1)
say('begun')
def drink():
    while s.recv(4096):
        if os.path.exists('/tmp/enough'): return 'still here'
    return 'closed'
say(probe(drink))";

fn a_gateway_that_is_killed_in_a_download_is_replaced_and_the_download_reset(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["-p", "0:8080"]);
    let mut download = guest.start_python(DRIPPING);
    download.says("begun");
    // One that only listens, too: nothing of the guest's would ever tell it.
    let mut waiting = guest.start_python(
        "s = socket.create_connection(('203.0.113.10', 9001))\ns.settimeout(None)\nsay('begun')\nsay(probe(lambda: s.recv(1)))",
    );
    waiting.says("begun");
    let first = guest.gateway();
    kill(first);
    download.says("reset");
    waiting.says("reset");
    until("another gateway", || guest.find_gateway().is_some_and(|pid| pid != first));
    guest.expect(&[("http('www.example.com', 'x')", places::WWW), ("tcp('10.1.2.3', 80)", "refused")]);
    assert_eq!(stage.home.state("a"), "running");
    let mut serving = guest.start_python(
        "l = socket.create_server(('0.0.0.0', 8080)); l.settimeout(None); say('ready')\ns = l.accept()[0]; s.sendall(b'in'); s.close()",
    );
    serving.says("ready");
    let ports: serde_json::Value =
        serde_json::from_str(&stage.home.ok(&["ports", "a", "--json"])).expect("ports prints JSON");
    let port =
        ports.to_string().split("127.0.0.1:").nth(1).and_then(|rest| rest.split('"').next()?.parse::<u16>().ok());
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port.expect("a port"))).expect("it leads in as before");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut stream, &mut said).expect("it is served");
    assert_eq!(said, "in");
    // Again and again: each is replaced.
    for _ in 0..3 {
        let pid = guest.gateway();
        kill(pid);
        until("another gateway", || guest.find_gateway().is_some_and(|other| other != pid));
    }
    until("it carries", || guest.python("say(http('www.example.com', 'x'))") == [places::WWW]);
}

fn a_killed_servers_machines_go_on_talking(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["--deny", "203.0.113.11"]);
    let gateway = guest.gateway();
    guest.leave_python(DRIPPING, "begun");
    stage.home.kill_server();
    // The next command starts a new server.
    guest.exec(&["touch", "/tmp/enough"]);
    guest.has_said("still here");
    assert_eq!(guest.gateway(), gateway, "the gateway was replaced");
    guest.expect(&[("tcp('203.0.113.11', 80)", "refused"), ("http('www.example.com', 'x')", places::WWW)]);
    guest.set_egress(&["--deny", "203.0.113.10"]);
    guest.expect(&[("tcp('203.0.113.10', 80)", "refused")]);
}

fn rules_hold_at_once_and_over_a_new_server(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    guest.expect(&[("http('203.0.113.11', 'x')", places::OTHER)]);
    let mut forbidden = guest.start_python(DRIPPING);
    forbidden.says("begun");
    let mut allowed = guest.start_python(
        "s = socket.create_connection(('203.0.113.10', 80))\nsay('begun')\n\
         while not os.path.exists('/tmp/ruled'): select.select([], [], [], 0.1)\n\
         s.sendall(b'GET / HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n')\nsay(probe(lambda: s.recv(4).decode()))",
    );
    allowed.says("begun");
    guest.set_egress(&["--policy", "deny", "--allow", "203.0.113.10:80"]);
    forbidden.says("reset");
    guest.exec(&["touch", "/tmp/ruled"]);
    allowed.says("HTTP");
    stage.world.take_sights();
    guest.expect(&[("tcp('203.0.113.11', 80)", "refused"), ("http('203.0.113.10', 'x')", places::WWW)]);
    stage.home.kill_server();
    let shown = stage.home.ok(&["egress", "show", "a", "--json"]);
    assert!(shown.contains("203.0.113.10:80") && shown.contains("deny"), "{shown}");
    guest.expect(&[("tcp('203.0.113.11', 80)", "refused"), ("http('203.0.113.10', 'x')", places::WWW)]);
    stage.home.refused(&["egress", "set", "a", "--allow", "127.1"], 2);
    guest.expect(&[("http('203.0.113.10', 'x')", places::WWW)]);
}

/// What a gateway is started with is damaged, and the gateway killed: the next one refuses everything, until
/// somebody sets rules.
fn a_gateway_that_cannot_read_its_plan_is_closed(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    let gateway = guest.gateway();
    let line = std::fs::read_to_string(format!("/proc/{gateway}/cmdline")).expect("it runs").replace('\0', " ");
    let plan = line.split_whitespace().nth(2).expect("a gateway has a plan").to_owned();
    std::fs::write(&plan, "{ this is no plan").expect("the stage is root's");
    kill(gateway);
    until("another gateway, or none", || guest.find_gateway() != Some(gateway));
    let said = guest.python("say(tcp('203.0.113.10', 80))");
    assert_ne!(said, ["open"], "a gateway without a plan lets the guest out");
    nobody_saw(&stage.world);
    until("rules that are set open it again", || {
        stage.home.machine(&["egress", "set", "a", "--policy", "allow"]);
        guest.python("say(tcp('203.0.113.10', 80))") == ["open"]
    });
}

fn a_machine_from_an_image_is_connected_from_the_first_command(stage: &Stage) {
    // Whoever comes first may have made the image; the second is restored.
    drop(Guest::create(stage, "a", &[]));
    let guest = Guest::create(stage, "a", &[]);
    assert_eq!(stage.home.inspect("a")["served_by"], "image", "this story is about a restored machine");
    assert_eq!(guest.exec(&["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://www.example.com/"]), "200");
    let guests: u64 = guest.exec(&["date", "+%s"]).parse().expect("date prints seconds");
    let hosts = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970").as_secs();
    assert!(hosts.abs_diff(guests) <= 5, "the guest's clock: {guests}, the host's: {hosts}");
}

fn rules_and_ports_are_kept_over_stop_and_start(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["--egress", "deny", "--allow", "www.example.com", "-p", "0:8080"]);
    let before = (stage.home.ok(&["egress", "show", "a", "--json"]), stage.home.ok(&["ports", "a", "--json"]));
    stage.home.ok(&["stop", "a"]);
    stage.home.ok(&["egress", "set", "a", "--policy", "deny", "--allow", "other.example.com"]);
    stage.home.ok(&["start", "a"]);
    guest.expect(&[
        ("http('other.example.com', 'other.example.com')", places::OTHER),
        ("resolve('www.example.com')", "unresolved"),
    ]);
    assert_ne!(before.0, stage.home.ok(&["egress", "show", "a", "--json"]));
    assert_eq!(before.1, stage.home.ok(&["ports", "a", "--json"]));
}
