//! The program as it is called: loads that need nobody but itself.

#[cfg(test)]
mod commands {
    mod echoes;
    mod registrar;
    mod secured;
}

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn load(options: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast-load"));
    command.args(options.split(' '));
    command
}

fn run(options: &str) -> Output {
    load(options).output().expect("the program starts")
}

/// An address on which nobody listens.
fn free() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
    let address = socket.local_addr().expect("it is bound");
    address.to_string()
}

/// A relay, which goes with its test.
struct Relay(Child);

impl Relay {
    fn start(listen: &str, to: &str) -> Self {
        let mut command = load(&format!("relay --listen {listen} --to {to} --for 60"));
        let child = command.stdout(Stdio::null()).spawn();
        let relay = Self(child.expect("the program starts"));
        let until = Instant::now() + Duration::from_secs(20);
        while UdpSocket::bind(listen).is_ok() {
            assert!(Instant::now() < until, "nobody listens on {listen}");
            std::thread::sleep(Duration::from_millis(5));
        }
        relay
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.kill().expect("it runs until it is killed");
        self.0.wait().expect("it has ended");
    }
}

#[test]
fn calls_through_a_relay_are_reported_for_programs_and_for_people() {
    let (near, far) = (free(), free());
    let _relay = Relay::start(&near, &far);
    let options = format!("calls --to {near} --callee {far} --count 200 --window 8");
    let done = run(&options);
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{text}");
    let (line, table) = text.split_once('\n').unwrap();
    let report: Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&report["done"], &report["failed"], &report["unasked"]),
        (&200.into(), &0.into(), &0.into())
    );
    assert_eq!(report["scenario"], "calls");
    assert!(table.contains("attempted"), "{table}");

    let done = run(&format!("{options} --json --label quoted\"/relay"));
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["label"], "quoted\"/relay");
}

#[test]
fn what_a_load_reported_is_compared() {
    let (near, far) = (free(), free());
    let _relay = Relay::start(&near, &far);
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compared.jsonl");
    let mut lines = Vec::new();
    for (name, to) in [("relay", &near), ("nobody", &far)] {
        let options =
            format!("calls --to {to} --callee {far} --count 50 --json --label calls/{name}");
        lines.extend(run(&options).stdout);
    }
    std::fs::write(&file, &lines).unwrap();
    let done = load("compare").arg(&file).output().unwrap();
    let table = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{table}");
    let rows: Vec<&str> = table.lines().collect();
    let row = |name: &str| {
        rows.iter()
            .any(|row| row.contains(name) && row.contains(" 1 "))
    };
    assert!(row(" relay ") && row(" nobody "), "{table}");

    std::fs::write(&file, &lines[..lines.len() / 4]).unwrap();
    let done = load("compare").arg(&file).output().unwrap();
    let text = String::from_utf8(done.stderr).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(done.status.code(), Some(2), "{text}");
    assert!(text.contains("compared.jsonl: line 1: EOF"), "{text}");
}

#[test]
fn a_load_that_fails_and_one_that_cannot_be_end_differently() {
    let done = run(&format!("registrations --to {} --count 0", free()));
    assert_eq!(done.status.code(), Some(0));
    let done = run("calls --to 192.0.2.1:5060");
    let text = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{text}");
    assert!(
        text.starts_with("steadfast-load: 192.0.2.1 is not"),
        "{text}"
    );
    let done = run(&format!("calls --to {} --watch 4194305", free()));
    let text = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{text}");
    assert!(text.contains("no process 4194305"), "{text}");
}
