//! The walk of an operator from "a phone cannot register" and "a call failed" to the reason, with
//! the commands of the README alone: `trace`, its capture read by tshark, HEP received by a socket
//! and by sngrep, the lines of `events`.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::agent::Agent;
use crate::lab::{EDGES, Lab, metric, steadfast};
use crate::process::{Process, poll};

/// How long what was told may be on its way.
const TOLD_MAX: Duration = Duration::from_secs(10);

/// What `steadfast trace` says, and whether it was content.
fn trace(lab: &Lab, words: &[&str], nodes: &[&str]) -> (bool, String) {
    let mut command = steadfast();
    command.arg("trace").args(words);
    for node in nodes {
        command.arg("--node").arg(lab.path("lab").join(node));
    }
    let output = command.output().expect("steadfast can be started");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.success(), text)
}

/// Runs a command of a node by its name.
#[track_caller]
fn tell(lab: &Lab, verb: &str, node: &str) {
    let node = lab.path(&format!("lab/{node}.toml"));
    let run = steadfast().args([verb, "--node"]).arg(node).output();
    let run = run.expect("steadfast can be started");
    assert!(run.status.success(), "{run:?}");
}

/// Adds keys in front of those that a node's file has.
fn configure(lab: &Lab, node: &str, keys: &str) {
    let path = lab.path(&format!("lab/{node}.toml"));
    let text = std::fs::read_to_string(&path).expect("the lab wrote it");
    std::fs::write(&path, format!("{keys}{text}")).expect("a file can be written");
    tell(lab, "reload", node);
}

/// Whether a line begins with this word and has these texts.
#[track_caller]
fn says(output: &str, texts: &[&str]) {
    for text in texts {
        assert!(output.contains(text), "no {text:?} in:\n{output}");
    }
}

/// A call of joe's to whom it may concern, and how that ended.
fn call(lab: &Lab, to: &str) -> Option<i32> {
    let to = format!("sip:{to}@example.com");
    Agent::start(lab, "call", "joe", EDGES[0], &[&to, "--for", "1"])
        .end()
        .status
}

#[test]
fn whoever_cannot_register_or_call_is_told_why() {
    let lab = Lab::start_with("trace", &["--clear"]);
    cannot_register(&lab);
    wrong_number(&lab);
    phone_gone(&lab);
    // What was never there.
    let (content, output) = trace(&lab, &["sip:eve@example.com"], &ALL);
    assert!(
        !content && output.contains("no message from or to eve@example.com"),
        "{output}"
    );
    let (content, output) = trace(&lab, &["sip:joe@example.com"], &["gone.sock"]);
    assert!(
        !content && output.contains("nobody answers on "),
        "{output}"
    );
    capture(&lab, &ALL);
}

/// The control sockets of the lab.
const ALL: [&str; 4] = ["home.sock", "e1.sock", "e2.sock", "e3.sock"];

/// "My phone cannot register."
fn cannot_register(lab: &Lab) {
    let wrong = ["--password", "guess"];
    let phone = Agent::start(lab, "register", "ann", EDGES[1], &wrong).end();
    assert_ne!(phone.status, Some(0), "{}", phone.output);
    let (content, output) = trace(lab, &["sip:ann@example.com"], &ALL);
    assert!(content, "{output}");
    says(
        &output,
        &[
            "REGISTER from ann@example.com to ann@example.com, 20",
            "home answers 401 itself: Wrong User Or Password",
            "  came to     401 Wrong User Or Password, after ",
            "  because     home answers 401 itself: Wrong User Or Password\n",
        ],
    );
    assert!(output.contains(" e2\n"), "{output}");
}

/// "My call failed." A wrong number, by both nodes' views; a folder names all of them.
fn wrong_number(lab: &Lab) {
    let follower = follow(lab);
    assert_ne!(call(lab, "nobody"), Some(0));
    let seen = || {
        follower
            .output()
            .contains("404 No Such Subscriber (INVITE)")
            .then_some(())
    };
    assert!(poll(TOLD_MAX, seen).is_some(), "{}", follower.output());
    drop(follower);
    let both = ["home.sock", "e1.sock"];
    let (content, output) = trace(lab, &["--last-failures", "--count", "1"], &both);
    assert!(content, "{output}");
    says(
        &output,
        &[
            "INVITE from joe@example.com to nobody@example.com, ",
            "INVITE sip:nobody@example.com  udp\n",
            "404 No Such Subscriber (INVITE)  udp\n",
            " ms\n",
            "  came to     404 No Such Subscriber, after ",
            "  because     home answers 404 itself: No Such Subscriber\n",
        ],
    );
    let call_id = output
        .split_once("Call-ID ")
        .and_then(|(_, rest)| rest.lines().next());
    let call_id = call_id.expect("the head names it").to_owned();
    let (content, again) = trace(lab, &["--call-id", &call_id], &[""]);
    assert!(content && again.contains("came to     404"), "{again}");
}

/// A phone that is gone without a word: its edges and the home say so.
fn phone_gone(lab: &Lab) {
    let mut ann = Agent::start(lab, "listen", "ann", EDGES[1], &[]);
    ann.first_edge();
    ann.vanish();
    assert_ne!(call(lab, "ann"), Some(0));
    let (content, output) = trace(lab, &["--last-failures", "--count", "1"], &ALL);
    assert!(content, "{output}");
    says(
        &output,
        &[
            "INVITE from joe@example.com to ann@example.com",
            "  came to     480 The Phone Cannot Be Reached, after ",
            "takes the flow to udp:127.0.0.1:",
            " is not there (ICMP)\n",
            " answers 430 Flow Failed, since nobody has answered\n",
            "home answers 480 The Phone Cannot Be Reached, since the best that it got is 430\n",
        ],
    );
    println!("{output}");
}

/// `trace --follow` of joe, once it has seen something of him: it begins with what passes then.
fn follow(lab: &Lab) -> Process {
    let mut command = steadfast();
    command.args(["trace", "sip:joe@example.com", "--follow", "--node"]);
    command.arg(lab.path("lab"));
    let follower = Process::start("trace", &mut command, lab.path("follow.log"));
    let began = poll(TOLD_MAX, || {
        let wrong = ["--password", "guess"];
        Agent::start(lab, "register", "joe", EDGES[0], &wrong).end();
        follower
            .output()
            .contains("REGISTER sip:example.com")
            .then_some(())
    });
    assert!(began.is_some(), "{}", follower.output());
    follower
}

/// `--pcap` writes what tshark takes for SIP, message by message.
fn capture(lab: &Lab, nodes: &[&str]) {
    let file = lab.path("trace.pcap");
    let name = file.display().to_string();
    let (content, output) = trace(lab, &["sip:joe@example.com", "--pcap", &name], nodes);
    assert!(content, "{output}");
    let messages: usize = output
        .split(' ')
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or_else(|| panic!("{output}"));
    let Some(rows) = tshark(&file, &["sip.Call-ID", "sip.CSeq.method", "ip.src"]) else {
        return;
    };
    assert_eq!(rows.len(), messages, "{rows:?}");
    assert!(
        rows.iter()
            .all(|row| row.iter().all(|field| !field.is_empty())),
        "{rows:?}"
    );
    for method in ["REGISTER", "INVITE", "ACK"] {
        assert!(
            rows.iter().any(|row| row[1] == method),
            "{method}: {rows:?}"
        );
    }
}

/// The fields of each packet of a file that is SIP; `None`: there is no tshark.
fn tshark(file: &Path, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut command = Command::new("tshark");
    command
        .arg("-r")
        .arg(file)
        .args(["-Y", "sip", "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let Ok(read) = command.output() else {
        println!("skipped: tshark is not installed (tests/run installs it)");
        return None;
    };
    assert!(read.status.success(), "{read:?}");
    let text = String::from_utf8_lossy(&read.stdout).into_owned();
    let row = |line: &str| line.split('\t').map(str::to_owned).collect();
    Some(text.lines().map(row).collect())
}

#[test]
fn a_call_that_changes_its_edge_says_so_in_the_ladder_and_in_the_events() {
    let lab = Lab::start("trace-failover");
    for node in ["home", "e1", "e2", "e3"] {
        configure(&lab, node, &format!("events = \"file:{node}.events\"\n"));
    }
    let listen = ["--calls", "1", "--ring", "0"];
    let mut ann = Agent::start(&lab, "listen", "ann", EDGES[1], &listen);
    let victim = ann.first_edge();
    let call = ["sip:ann@example.com", "--for", "2"];
    let mut joe = Agent::start(&lab, "call", "joe", EDGES[0], &call);
    joe.until("call 1: answered");
    lab.signal("-KILL", victim);
    lab.until_said("was killed by signal 9");
    joe.until("call 1: ended here");
    ann.until("call 1: ended by the other side");
    joe.finish();
    ann.finish();
    // The folder: the dead edge's view is missing, and the others tell the story.
    let (content, output) = trace(&lab, &["sip:joe@example.com"], &[""]);
    assert!(content, "{output}");
    says(
        &output,
        &[
            "INVITE from joe@example.com to ann@example.com",
            ": its view is missing",
            "  came to     200 OK, after ",
            "  failed over home ",
            "  ended       by a BYE from ",
            " after the answer: 200 OK",
        ],
    );
    println!("{output}");
    let events = lab.path("lab/home.events");
    let line = poll(TOLD_MAX, || {
        let mut all = read_events(&events).into_iter();
        all.find(|event| event["kind"] == "call")
    });
    let event = line.expect("the home tells of the call");
    println!("{event}");
    assert_eq!(event["node"], "home");
    assert_eq!(
        (&event["from"], &event["to"]),
        (&"joe@example.com".into(), &"ann@example.com".into())
    );
    assert_eq!(
        (&event["status"], &event["reason"]),
        (&200.into(), &"BYE".into())
    );
    assert_eq!(event["failed_over"], true, "{event}");
    let millis = |name: &str| event[name].as_f64().expect("a number");
    assert!(
        millis("setup_ms") < 2_000.0 && millis("duration_ms") > 1_500.0,
        "{event}"
    );
    let edges = event["edges"].as_array().expect("a list");
    let name = format!(
        "e{}",
        1 + EDGES.iter().position(|at| *at == victim).expect("an edge")
    );
    assert!(edges.contains(&name.into()), "{event}");
    let registered = read_events(&events);
    let registered = registered
        .iter()
        .filter(|event| event["kind"] == "registration");
    assert!(registered.filter(|event| event["status"] == 200).count() >= 4);
    rotate(&lab, &events);
}

/// The lines of a file of events, each of which is JSON.
fn read_events(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
        .collect()
}

/// A file that logrotate has moved is made anew at SIGHUP.
fn rotate(lab: &Lab, events: &Path) {
    let moved: PathBuf = events.with_extension("events.1");
    std::fs::rename(events, &moved).expect("a file can be moved");
    let before = read_events(&moved).len();
    lab.signal("-HUP", crate::lab::HOME);
    // The next line goes there.
    let wrote = poll(TOLD_MAX, || {
        let phone = Agent::start(lab, "register", "joe", EDGES[2], &["--password", "guess"]);
        phone.end();
        (!read_events(events).is_empty()).then_some(())
    });
    assert!(wrote.is_some(), "{}", lab.last_words());
    assert_eq!(read_events(events)[0]["kind"], "registration");
    assert!(read_events(&moved).len() >= before);
    let page = lab.page("home", "/metrics");
    assert!(
        metric(&page, "steadfast_events_written_total") > 0,
        "{page}"
    );
    assert_eq!(metric(&page, "steadfast_events_lost_total"), 0);
}

/// One packet of HEPv3, chunk by chunk, read by its specification.
fn chunks(packet: &[u8]) -> BTreeMap<u16, Vec<u8>> {
    assert_eq!(&packet[..4], b"HEP3");
    let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    assert_eq!(usize::from(number(4)), packet.len());
    let mut found = BTreeMap::new();
    let mut at = 6;
    while at < packet.len() {
        assert_eq!(number(at), 0, "the generic vendor");
        let len = usize::from(number(at + 4));
        let value = packet[at + 6..at + len].to_vec();
        assert!(found.insert(number(at + 2), value).is_none());
        at += len;
    }
    found
}

#[test]
fn a_collector_gets_every_message_whole() {
    let lab = Lab::start("trace-hep");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a time");
    let port = socket.local_addr().expect("an address").port();
    configure(
        &lab,
        "e1",
        &format!("hep = \"udp:127.0.0.1:{port}\"\nhep_id = 77\nhep_password = \"pw\"\n"),
    );
    assert_ne!(call(&lab, "nobody"), Some(0));
    let mut all = Vec::new();
    let mut packet = vec![0; 65_536];
    let is_over = |all: &[BTreeMap<u16, Vec<u8>>]| {
        all.iter()
            .any(|chunks| chunks[&15].starts_with(b"ACK sip:nobody@"))
    };
    let got = poll(TOLD_MAX, || {
        if let Ok(count) = socket.recv(&mut packet) {
            all.push(chunks(&packet[..count]));
        }
        is_over(&all).then_some(())
    });
    assert!(got.is_some(), "{} packets\n{}", all.len(), lab.last_words());
    for chunks in &all {
        let text = String::from_utf8_lossy(&chunks[&15]);
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        assert_eq!(length, Some(body.len().to_string().as_str()), "{text}");
        assert!(
            !text.contains("response=\"") || text.contains("response=\"***"),
            "{text}"
        );
        assert_eq!(
            (&chunks[&1][..], &chunks[&2][..], &chunks[&11][..]),
            (&[2][..], &[17][..], &[1][..])
        );
        assert_eq!(chunks[&12], 77_u32.to_be_bytes());
        assert_eq!(
            (&chunks[&14][..], &chunks[&19][..]),
            (&b"pw"[..], &b"e1"[..])
        );
        let ends = [&chunks[&3], &chunks[&4]];
        assert!(ends.contains(&&vec![127, 0, 0, 11]), "{ends:?}");
    }
    let page = lab.page("e1", "/metrics");
    assert_eq!(metric(&page, "steadfast_hep_lost_total"), 0);
    assert_eq!(metric(&page, "steadfast_recorder_missed_total"), 0);
    drop(socket);
    read_by_sngrep(&lab, port);
}

/// The same by a program that nobody here wrote.
fn read_by_sngrep(lab: &Lab, port: u16) {
    if Command::new("sngrep").arg("-V").output().is_err() {
        println!("skipped: sngrep is not installed (tests/run installs it)");
        return;
    }
    let file = lab.path("hep.pcap");
    let mut command = Command::new("sngrep");
    command
        .args(["-N", "-q", "-L", &format!("udp:127.0.0.1:{port}"), "-O"])
        .arg(&file);
    let mut sngrep = Process::start("sngrep", &mut command, lab.path("sngrep.log"));
    let listens = poll(TOLD_MAX, || UdpSocket::bind(("127.0.0.1", port)).err());
    assert!(listens.is_some(), "{}", sngrep.last_words());
    assert_ne!(call(lab, "nobody"), Some(0));
    let before = metric(&lab.page("e1", "/metrics"), "steadfast_hep_sent_total");
    let sent = || {
        let page = lab.page("e1", "/metrics");
        let has_acked = metric(&page, "steadfast_hep_sent_total");
        (has_acked >= before && std::fs::metadata(&file).is_ok_and(|file| file.len() > 2_000))
            .then_some(())
    };
    assert!(poll(TOLD_MAX, sent).is_some(), "{}", sngrep.last_words());
    sngrep.signal("-INT");
    assert!(sngrep.wait(TOLD_MAX).is_some());
    let Some(rows) = tshark(&file, &["sip.CSeq.method", "ip.dst"]) else {
        return;
    };
    assert!(rows.iter().any(|row| row[0] == "INVITE"), "{rows:?}");
    assert!(rows.iter().any(|row| row[1] == "127.0.0.11"), "{rows:?}");
}
