//! Our own user agent as a phone: `steadfast ua`, judged by what it prints.

use std::net::IpAddr;
use std::time::Duration;

use crate::lab::{DOMAIN, EDGES, HOME, Lab, PASSWORD, steadfast};
use crate::process::{Process, poll};

/// How long a step of a call may take.
const STEP_MAX: Duration = Duration::from_secs(10);
/// How long a whole run may take.
const RUN_MAX: Duration = Duration::from_secs(20);
/// What `-vv` puts before each line of a message.
const MARGIN: &str = "                ";

/// A running `steadfast ua`.
pub(crate) struct Agent {
    name: String,
    process: Process,
}

/// How an agent ended.
pub(crate) struct End {
    /// Its exit status.
    pub(crate) status: Option<i32>,
    /// Both of its outputs.
    pub(crate) output: String,
}

/// A SIP message of the printed ladder.
#[derive(Debug)]
pub(crate) struct Message {
    /// Since the agent's start.
    pub(crate) at: Duration,
    /// True for what the agent sent.
    pub(crate) is_sent: bool,
    /// The far side.
    pub(crate) peer: IpAddr,
    lines: Vec<String>,
}

impl Agent {
    /// Starts `steadfast ua VERB` as `user`, to whom the cluster is at `edge`.
    pub(crate) fn start(lab: &Lab, verb: &str, user: &str, edge: &str, more: &[&str]) -> Self {
        let mut command = steadfast();
        command.args(["ua", verb, &format!("sip:{user}@{DOMAIN}"), "-vv"]);
        let name = format!("edge.{DOMAIN}={edge}");
        command
            .args(["--home", HOME, "--resolve", &name])
            .args(more);
        if !more.contains(&"--password") {
            command.args(["--password", PASSWORD]);
        }
        let name = format!("{user}.{verb}");
        let out = lab.path(&name);
        let process = Process::start(&name, &mut command, out);
        Self { name, process }
    }

    /// Waits until it has printed `word`.
    #[track_caller]
    pub(crate) fn until(&mut self, word: &str) {
        let output = poll(STEP_MAX, || {
            let output = self.process.output().contains(word);
            (output || self.process.ended().is_some()).then_some(output)
        });
        assert_eq!(
            output,
            Some(true),
            "{} never said {word:?}\n{}",
            self.name,
            self.process.output()
        );
    }

    /// The edge that carries its first flow.
    #[track_caller]
    pub(crate) fn first_edge(&mut self) -> &'static str {
        self.until("ready, with 2 of 2 flows");
        let output = self.process.output();
        let carries =
            |edge: &&str| output.contains(&format!("flow 1: registered through {edge}:5060"));
        EDGES.into_iter().find(carries).expect("flow 1 has an edge")
    }

    /// Asks it to hang up and end.
    pub(crate) fn leave(&self) {
        self.process.signal("-TERM");
    }

    /// Has it vanish without a word.
    pub(crate) fn vanish(self) {
        self.process.signal("-KILL");
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> End {
        let end = self.process.wait(RUN_MAX);
        let output = self.process.output();
        let Some(end) = end else {
            panic!("{} does not end\n{output}", self.name)
        };
        let status = end.code();
        End { status, output }
    }

    /// Waits for its end and insists on a good one; returns what passed.
    #[track_caller]
    pub(crate) fn finish(self) -> Vec<Message> {
        let name = self.name.clone();
        let End { status, output } = self.end();
        assert_eq!(status, Some(0), "{name}\n{output}");
        ladder(&output)
    }
}

impl Message {
    /// Its first line.
    pub(crate) fn start(&self) -> &str {
        &self.lines[0]
    }

    /// The values of all header lines of this name.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let values = self.lines.iter().skip(1).filter_map(|line| {
            let (key, value) = line.split_once(": ")?;
            (key == name).then_some(value)
        });
        values.collect()
    }

    /// True for a final response to this method.
    pub(crate) fn is_final(&self, method: &str) -> bool {
        let cseq = self.header("CSeq").concat();
        self.start().starts_with("SIP/2.0 ")
            && !self.start().starts_with("SIP/2.0 1")
            && cseq.ends_with(method)
    }
}

/// The messages of a printed ladder, without keep-alives.
fn ladder(output: &str) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for line in output.lines() {
        if let Some(text) = line.strip_prefix(MARGIN) {
            if let Some(message) = messages.last_mut() {
                message.lines.push(text.to_owned());
            }
            continue;
        }
        let words: Vec<_> = line.split_whitespace().take(3).collect();
        if let [at, arrow @ ("->" | "<-"), peer] = words[..] {
            let at: f64 = at.parse().expect("a line begins with its time");
            let peer = peer.rsplit_once(':').expect("a peer has a port").0;
            messages.push(Message {
                at: Duration::from_secs_f64(at),
                is_sent: arrow == "->",
                peer: peer.parse().expect("a peer has an address"),
                lines: Vec::new(),
            });
        }
    }
    messages.retain(|message| !message.lines.is_empty());
    messages
}

#[test]
fn a_ladder_is_read_message_by_message() {
    let output = "\
   0.002   -> 127.0.0.11:5060       OPTIONS sip:x SIP/2.0
                OPTIONS sip:x SIP/2.0
                CSeq: 1 OPTIONS
                
   0.003 flow 1: something happened
   0.004   -> 127.0.0.11:5060       CRLF
   1.500   <- 127.0.0.12:5060       SIP/2.0 200 OK
                SIP/2.0 200 OK
                CSeq: 1 OPTIONS
";
    let messages = ladder(output);
    let [sent, received] = &messages[..] else {
        panic!("two messages: {messages:?}")
    };
    assert!(sent.is_sent && !sent.is_final("OPTIONS"));
    assert!(!received.is_sent && received.is_final("OPTIONS"));
    assert_eq!(received.at, Duration::from_millis(1_500));
    assert_eq!(received.peer.to_string(), "127.0.0.12");
    assert_eq!(received.header("CSeq"), ["1 OPTIONS"]);
}
