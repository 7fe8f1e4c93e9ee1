//! Much data: all of it arrives, and nobody holds more than the windows allow.

use crate::stage::{Agent, pattern};
use machine_guest::protocol::{Ending, Exec, Read, Stdin, Write};
use machine_guest::{ExecEvent, ExecStream};
use std::time::Duration;

const BLOCKS: u64 = 1024;

/// Feeds 64 MiB through `cat` to a reader that pauses now and then; answers whether all is right.
async fn through(command: &mut ExecStream) -> usize {
    let input = command.input();
    let writer = tokio::spawn(async move {
        for block in 0..BLOCKS {
            input.stdin(pattern(block)).await.unwrap();
        }
        input.close_stdin().await.unwrap();
    });
    let (mut expected, mut at, mut count) = (pattern(0), 0, 0);
    let mut block = 0;
    loop {
        match command.next().await.unwrap().unwrap() {
            ExecEvent::Stdout(bytes) => {
                for byte in &bytes {
                    if at == expected.len() {
                        block += 1;
                        (expected, at) = (pattern(block), 0);
                    }
                    assert_eq!(*byte, expected[at], "byte {count}");
                    at += 1;
                    count += 1;
                }
                if count % (8 * 1024 * 1024) < bytes.len() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            ExecEvent::Exited(exited) => {
                assert_eq!(exited.ending, Ending::Code(0));
                writer.await.unwrap();
                return count;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn sixty_four_mebibytes_go_both_ways_in_bounded_memory() {
    let agent = Agent::start();
    let link = agent.link().await;
    let mut command = link.exec(Exec { stdin: Stdin::Open, ..Exec::argv(["cat"]) }).await.unwrap();
    assert_eq!(through(&mut command).await, 64 * 1024 * 1024);
    assert!(agent.peak_kib() < 24 * 1024, "the agent held {} KiB", agent.peak_kib());
}

#[tokio::test]
async fn a_reader_that_stops_stops_the_command_not_the_link() {
    let agent = Agent::start();
    let link = agent.link().await;
    let mut flood = link.exec(Exec::shell("yes")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    for _ in 0..50 {
        link.ping().await.unwrap();
    }
    let busy = agent.cpu_ticks();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(agent.cpu_ticks() - busy <= 5, "a stopped command costs nothing");
    assert!(agent.peak_kib() < 24 * 1024, "the agent held {} KiB", agent.peak_kib());
    assert!(matches!(flood.next().await.unwrap(), Some(ExecEvent::Stdout(_))));
}

#[tokio::test]
async fn a_large_file_goes_both_ways() {
    let agent = Agent::start();
    let link = agent.link().await;
    let path = agent.text("large");
    let mut writer = link.write(Write::new(path.as_str())).await.unwrap();
    for block in 0..BLOCKS {
        writer.write(pattern(block)).await.unwrap();
    }
    assert_eq!(writer.finish().await.unwrap(), 64 * 1024 * 1024);
    let mut reader = link.read(Read::new(path.as_str())).await.unwrap();
    let mut all = Vec::new();
    while let Some(bytes) = reader.chunk().await.unwrap() {
        all.extend_from_slice(&bytes);
    }
    assert_eq!(all.len(), 64 * 1024 * 1024);
    assert!(all.chunks(65_536).zip(0..).all(|(chunk, block)| chunk == pattern(block)));
    assert!(agent.peak_kib() < 24 * 1024, "the agent held {} KiB", agent.peak_kib());
}

#[tokio::test]
async fn two_hundred_commands_at_once_all_answer() {
    let agent = Agent::start();
    let link = agent.link().await;
    let commands = (0..200_u32).map(|number| {
        let link = link.clone();
        tokio::spawn(async move {
            let output = link.exec(Exec::argv(["echo".to_owned(), number.to_string()])).await.unwrap();
            (number, output.output(100).await.unwrap())
        })
    });
    for command in commands.collect::<Vec<_>>() {
        let (number, output) = command.await.unwrap();
        assert_eq!(output.stdout, format!("{number}\n"));
    }
}

#[tokio::test]
async fn an_idle_agent_costs_nothing() {
    let agent = Agent::start();
    let link = agent.link().await;
    link.ping().await.unwrap();
    let before = agent.cpu_ticks();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(agent.cpu_ticks() - before <= 1);
}
