//! How often refusals are told, and what a line says.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;

#[derive(Clone, Default)]
struct Page(Rc<RefCell<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn lines(&self) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.0.take()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn clock() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn new(now: Instant) -> (Page, Refusals) {
    let page = Page::default();
    (page.clone(), Refusals::new(now, Box::new(page), clock))
}

fn refusal(port: u16) -> Refusal {
    Refusal {
        rule: "reserved 10.0.0.0/8".to_owned(),
        what: Refused::Tcp,
        address: Some("10.0.0.1".parse().unwrap()),
        port: Some(port),
        name: None,
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_line_says_what_was_refused_and_by_which_rule() {
    let now = Instant::now();
    let (page, mut refusals) = new(now);
    let name = Some("evil.com".parse().unwrap());
    let dns = Refusal { rule: "default deny".to_owned(), what: Refused::Dns, address: None, port: None, name };
    refusals.tell(now, refusal(22));
    refusals.tell(now, dns);
    let told = String::from_utf8(page.0.take()).unwrap();
    let connection = concat!(
        r#"{"at":"1970-01-01T00:00:00Z","rule":"reserved 10.0.0.0/8","protocol":"tcp","#,
        r#""address":"10.0.0.1","port":22,"count":1}"#
    );
    let question =
        r#"{"at":"1970-01-01T00:00:00Z","rule":"default deny","protocol":"dns","name":"evil.com","count":1}"#;
    assert_eq!(told, format!("{connection}\n{question}\n"));
}

#[test]
fn the_same_is_told_once_in_ten_seconds_with_how_many_there_were() {
    let now = Instant::now();
    let (page, mut refusals) = new(now);
    for _ in 0..100 {
        refusals.tell(now, refusal(22));
    }
    assert_eq!(page.lines().len(), 1);
    refusals.tell(now + 10 * SECOND, refusal(22));
    assert_eq!(page.lines()[0]["count"], 100);
}

#[test]
fn what_was_held_back_comes_with_the_next_line() {
    let now = Instant::now();
    let (page, mut refusals) = new(now);
    refusals.tell(now, refusal(22));
    refusals.tell(now, refusal(22));
    refusals.tell(now + 11 * SECOND, refusal(23));
    let counts: Vec<_> = page.lines().iter().map(|line| (line["port"].clone(), line["count"].clone())).collect();
    assert_eq!(counts, [(22.into(), 1.into()), (22.into(), 1.into()), (23.into(), 1.into())]);
}

#[test]
fn twenty_lines_a_second_are_told_and_every_refusal_is_counted() {
    let now = Instant::now();
    let (page, mut refusals) = new(now);
    let (ports, again) = (5000, 200);
    for port in 0..ports {
        refusals.tell(now, refusal(port));
    }
    assert_eq!(page.lines().len(), 20);
    assert_eq!(refusals.told.len(), MOST);
    let mut told = 20;
    for second in 1..again {
        refusals.tell(now + second * SECOND, refusal(u16::MAX));
        let lines = page.lines();
        assert!(lines.len() <= 20);
        let counts = |key: &str| lines.iter().map(|line| line[key].as_u64().unwrap_or(0)).sum::<u64>();
        told += counts("count") + counts("others");
    }
    let held: u64 = refusals.told.values().map(|told| told.since).sum();
    assert_eq!(told + held + refusals.others, u64::from(ports) + u64::from(again) - 1);
}

#[test]
fn a_line_that_cannot_be_written_is_counted_in_the_next() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::WouldBlock.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let now = Instant::now();
    let page = Page::default();
    let mut refusals = Refusals::new(now, Box::new(Full), clock);
    refusals.tell(now, refusal(22));
    refusals.to = Box::new(page.clone());
    refusals.tell(now, refusal(22));
    assert_eq!(page.lines()[0]["count"], 2);
}
