//! What a machine is given of its host's surroundings when that is asked for, and not otherwise.

use crate::guest::Guest;
use crate::stage::{Stage, places};

crate::stories![the_hosts_authorities_are_trusted_when_asked];

const CURL: &[&str] = &["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "https://www.example.com/"];
/// What curl ends with when it trusts nobody who signed.
const UNTRUSTED: i32 = 60;

fn the_hosts_authorities_are_trusted_when_asked(stage: &Stage) {
    let stranger = Guest::create(stage, "a", &[]);
    let ended = stage.home.machine(&[&["exec", stranger.name(), "--"], CURL].concat());
    assert_eq!(ended.code, UNTRUSTED, "{ended:?}");
    let friend = Guest::create(stage, "b", &["--host-ca"]);
    assert_eq!(friend.exec(CURL), "200");
    friend.expect(&[("https('www.example.com', 'www.example.com', verify=True)", places::WWW)]);
    stage.home.ok(&["stop", "b"]);
    stage.home.ok(&["start", "b"]);
    assert_eq!(friend.exec(CURL), "200", "after a start");
}
