//! What passed on the loopback, as tshark saw it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, poll};

/// How long tshark may take to begin, and to end.
const TSHARK_MAX: Duration = Duration::from_secs(20);

/// A capture under way.
pub(crate) struct Capture {
    tshark: Process,
    file: PathBuf,
}

/// One SIP message on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Its sender.
    pub(crate) from: IpAddr,
    /// Its receiver.
    pub(crate) to: IpAddr,
    /// All of it.
    pub(crate) text: String,
}

impl Capture {
    /// Captures what `filter` (of pcap) lets through; returns once it does.
    pub(crate) fn start(file: PathBuf, filter: &str) -> Self {
        let mut command = Command::new("tshark");
        command.args(["-i", "lo", "-f", filter, "-w"]).arg(&file);
        let tshark = Process::start("tshark", &mut command, file.with_extension("log"));
        let begun = poll(TSHARK_MAX, || {
            // It says so before it does; the file's header is written when it has.
            std::fs::metadata(&file)
                .is_ok_and(|file| file.len() > 0)
                .then_some(())
        });
        assert!(begun.is_some(), "no capture: {}", tshark.last_words());
        Self { tshark, file }
    }

    /// Ends it; every SIP message over TCP, in the order in which each ended.
    pub(crate) fn finish(mut self) -> Vec<Seen> {
        self.tshark.signal("-INT");
        assert!(
            self.tshark.wait(TSHARK_MAX).is_some(),
            "tshark does not end"
        );
        let fields = [
            "ip.src",
            "ip.dst",
            "tcp.srcport",
            "tcp.stream",
            "tcp.payload",
        ];
        let mut command = Command::new("tshark");
        command
            .arg("-r")
            .arg(&self.file)
            .args(["-Y", "tcp.len > 0"]);
        command.args(["-T", "fields"]);
        for field in fields {
            command.args(["-e", field]);
        }
        let read = command.output().expect("tshark reads its own file");
        assert!(read.status.success(), "{read:?}");
        let mut streams: HashMap<String, Vec<u8>> = HashMap::new();
        let mut messages = Vec::new();
        for row in String::from_utf8_lossy(&read.stdout).lines() {
            let columns: Vec<_> = row.split('\t').collect();
            let [from, to, port, stream, payload] = columns[..] else {
                panic!("{} columns: {row}", columns.len())
            };
            let payload = payload.replace(':', "");
            let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(payload.as_bytes());
            let held = streams
                .entry(format!("{stream} {from} {port}"))
                .or_default();
            held.extend(bytes.expect("tshark writes hex"));
            while let Some(text) = cut(held) {
                let [from, to] = [from, to].map(|ip| ip.parse().expect("an address"));
                messages.push(Seen { from, to, text });
            }
        }
        messages
    }
}

/// Takes the first whole message off, keep-alives before it included.
fn cut(held: &mut Vec<u8>) -> Option<String> {
    let blank = held
        .iter()
        .take_while(|byte| b"\r\n".contains(byte))
        .count();
    held.drain(..blank);
    let text = String::from_utf8_lossy(held).into_owned();
    let head = text.find("\r\n\r\n")? + 4;
    let length = text[..head]
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))?;
    let end = head + length.trim().parse::<usize>().expect("a length");
    (held.len() >= end)
        .then(|| String::from_utf8_lossy(&held.drain(..end).collect::<Vec<_>>()).into_owned())
}

impl Seen {
    /// Its first line.
    pub(crate) fn start(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The values of a header, split at the commas between name-addrs.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.text.lines().take_while(|line| !line.is_empty());
        let values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        values.flat_map(|value| value.split(", ")).collect()
    }

    /// True for a response to this method.
    pub(crate) fn answers(&self, method: &str) -> bool {
        self.start().starts_with("SIP/2.0 ") && self.header("CSeq").concat().ends_with(method)
    }
}
