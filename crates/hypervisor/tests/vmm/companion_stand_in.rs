//! What this binary does as a companion, and as a VMM with a wire.
#![expect(unsafe_code, reason = "a descriptor that was handed down has a number and no owner")]

use std::fs::OpenOptions;
use std::io::{Write as _, stdout};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::process::ExitCode;

use machine_hypervisor::launch_plan::{STRONGBOX_DESCRIPTOR, WIRE_DESCRIPTOR};
use rustix::net::{RecvFlags, SendFlags, recv, send};

pub(crate) const COMPANION: &str = "companion";
pub(crate) const VMM: &str = "wired-vmm";

/// Where each life of one that dies leaves a line, in its folder.
pub(crate) const LIVES: &str = "lives";

pub(crate) fn be(what: &str) -> ExitCode {
    let pid = std::process::id();
    match what {
        "alive" => say(&format!("pid {pid}\n")),
        "dying" => {
            let mut lives = OpenOptions::new().create(true).append(true).open(LIVES).unwrap();
            writeln!(lives, "{pid}").unwrap();
            return ExitCode::FAILURE;
        }
        "talking" => {
            say("first words\n");
            say(&"x".repeat(4 << 20));
            say("last words\n");
        }
        "looking" => look(),
        "answering" => return answer(pid),
        "leaving" => return leave(),
        other => panic!("no companion: {other}"),
    }
    loop {
        std::thread::park();
    }
}

fn say(text: &str) {
    stdout().write_all(text.as_bytes()).unwrap();
    stdout().flush().unwrap();
}

fn look() {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let mut numbers: Vec<i32> =
        descriptors.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    let score = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let (folder, variables) = (std::env::current_dir().unwrap(), std::env::vars_os().count());
    say(&format!("fds {numbers:?} variables {variables} score {} in {}\n", score.trim(), folder.display()));
}

fn wire() -> OwnedFd {
    // SAFETY: our parent handed it down by this number, and nobody else here owns it.
    unsafe { OwnedFd::from_raw_fd(WIRE_DESCRIPTOR) }
}

/// Answers one packet and ends.
fn answer(pid: u32) -> ExitCode {
    let (wire, mut packet) = (wire(), [0; 100]);
    let (length, _) = recv(&wire, &mut packet, RecvFlags::empty()).unwrap();
    let answer = format!("{} {pid}", String::from_utf8_lossy(&packet[..length]));
    send(&wire, answer.as_bytes(), SendFlags::empty()).unwrap();
    ExitCode::SUCCESS
}

/// Looks into its strongbox, puts the next number there, and ends.
fn leave() -> ExitCode {
    // The same number: who holds the one does not hold the other.
    assert_eq!(STRONGBOX_DESCRIPTOR, WIRE_DESCRIPTOR);
    let (put, mut packet) = (wire(), [0; 100]);
    let found = recv(std::io::stdin(), &mut packet, RecvFlags::DONTWAIT).map(|(length, _)| length);
    let found = found.ok().map(|length| String::from_utf8_lossy(&packet[..length]).into_owned());
    say(&format!("found {}\n", found.as_deref().unwrap_or("nothing")));
    let next = found.map_or(1, |found| found.parse::<u32>().unwrap() + 1);
    send(&put, next.to_string().as_bytes(), SendFlags::empty()).unwrap();
    ExitCode::FAILURE
}

/// Sends packets, each once the one before was answered, and says what came back.
pub(crate) fn be_vmm(packets: usize) -> ExitCode {
    let (wire, mut packet) = (wire(), [0; 100]);
    for number in 0..packets {
        // One that nobody answered comes to whoever is started next.
        send(&wire, format!("{number}").as_bytes(), SendFlags::empty()).unwrap();
        let (length, _) = recv(&wire, &mut packet, RecvFlags::empty()).unwrap();
        say(&format!("{}\n", String::from_utf8_lossy(&packet[..length])));
    }
    ExitCode::SUCCESS
}
