//! An agent that is not its system's first process is told what makes no sense, and changes nothing.

use crate::stage::Agent;
use machine_guest::GuestError;
use machine_guest::protocol::{FailureCode, WakeAs, WakeOrigin};

fn sound() -> WakeAs {
    WakeAs {
        id: "m01234567890123456789".into(),
        generation: 1,
        origin: WakeOrigin::Image,
        unix_nanos: 1_000_000_000,
        entropy: vec![7; 64],
        hostname: "never".into(),
        machine_id: "f".repeat(32),
        mac: None,
        address: None,
        env: [].into(),
        ssh_host_keys: Vec::new(),
        root_bytes: None,
        certificate_authorities: None,
        mounts: None,
        root: None,
    }
}

fn check_refused<T: std::fmt::Debug>(answer: Result<T, GuestError>, code: FailureCode) {
    let refused = answer.unwrap_err();
    assert_eq!(refused.failure_code(), Some(code), "{refused}");
}

#[tokio::test]
async fn somebody_elses_system_is_not_renamed_and_not_put_to_rest() {
    let agent = Agent::start();
    let link = agent.link().await;
    let before = std::fs::read("/proc/sys/kernel/hostname").unwrap();
    check_refused(link.wake_as(sound()).await, FailureCode::Unsupported);
    check_refused(link.settle(Vec::new()).await, FailureCode::Unsupported);
    assert_eq!(std::fs::read("/proc/sys/kernel/hostname").unwrap(), before);
    link.ping().await.unwrap();
}

#[tokio::test]
async fn what_makes_no_sense_is_said_first() {
    let agent = Agent::start();
    let link = agent.link().await;
    let hostile = [
        WakeAs { id: "../../etc".into(), ..sound() },
        WakeAs { hostname: "a\nb".into(), ..sound() },
        WakeAs { entropy: Vec::new(), ..sound() },
        WakeAs { mac: Some([0xff; 6]), ..sound() },
    ];
    for wake in hostile {
        check_refused(link.wake_as(wake).await, FailureCode::Invalid);
    }
    link.ping().await.unwrap();
}
