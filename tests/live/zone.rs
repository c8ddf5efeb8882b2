//! The names of the lab in the DNS: asked with dig, compared by `check --dns`, and
//! flooded.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use steadfast::limits;

use crate::dns;
use crate::lab::{EDGES, Lab, PHONES, port, steadfast};
use crate::process::poll;

/// Where the edges of the lab answer.
const DNS_PORT: u16 = 5300;
/// How long anything may take that happens within a few seconds.
const STEP_MAX: Duration = Duration::from_secs(20);
/// How long the name server is flooded.
const FLOOD: Duration = Duration::from_secs(2);

/// What dig prints of an answer of that edge, with these further arguments.
fn dig(edge: &str, query: &[&str]) -> String {
    let mut command = Command::new("dig");
    command.args([&format!("@{edge}"), "-p", &DNS_PORT.to_string()]);
    command.args(["+noall", "+comments", "+answer", "+time=2", "+tries=1"]);
    let run = command.args(query).output();
    let run = run.expect("dig is there: tests/run installs it");
    String::from_utf8_lossy(&run.stdout).replace('\t', " ")
}

/// The data of the answers, as dig prints them in short.
fn short(edge: &str, query: &[&str]) -> Vec<String> {
    let output = dig(edge, &[&["+nocomments", "+short"], query].concat());
    let mut lines: Vec<_> = output.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

fn check_dns(file: &std::path::Path) -> Output {
    let mut command = steadfast();
    let run = command.args(["check", "--dns", "--config"]).arg(file);
    run.output().expect("the program starts")
}

/// What is not in its zones, and not to be had.
fn refuses(e1: &str) {
    for (query, status) in [
        (["SOA", "example.net"], "status: REFUSED"),
        (["A", "e4.edge.example.com"], "status: NXDOMAIN"),
        (["MX", "example.com"], "status: NOERROR"),
        // dig asks for it over TCP, and shows nothing but this.
        (["AXFR", "edge.example.com"], "Transfer failed"),
    ] {
        let output = dig(e1, &query);
        assert!(output.contains(status), "{query:?}: {output}");
    }
}

/// The file of an edge that asks another one for names.
fn asking(lab: &Lab, edge: &str) -> PathBuf {
    let config = lab.path("lab/e1.toml");
    let file = std::fs::read_to_string(&config).expect("the lab wrote it");
    let asking = file.replace(
        "[dns]\n",
        &format!("[dns]\nservers = [\"{edge}:{DNS_PORT}\"]\n"),
    );
    let asking_file = lab.path("lab/asking.toml");
    std::fs::write(&asking_file, asking).expect("a file can be written");
    asking_file
}

#[test]
fn the_lab_serves_its_zone_and_puts_a_dead_edge_last() {
    let lab = Lab::start("zone");
    let [e1, e2, e3] = EDGES;
    let name = "_sip._udp.e2.edge.example.com";
    assert_eq!(
        short(e1, &["SRV", name]),
        [
            "10 100 5060 e2.edge.example.com.",
            "20 100 5060 e1.edge.example.com.",
            "20 100 5060 e3.edge.example.com.",
        ]
    );
    for transport in ["+notcp", "+tcp"] {
        let output = dig(e3, &[transport, "A", "example.com"]);
        assert!(
            output.contains("status: NOERROR") && output.contains("flags: qr aa rd;"),
            "{output}"
        );
    }
    assert_eq!(short(e3, &["A", "example.com"]), EDGES);
    refuses(e1);
    // What an operator would put into his DNS is what this one has.
    let asking_file = asking(&lab, e3);
    let run = check_dns(&asking_file);
    let output = String::from_utf8_lossy(&run.stderr);
    assert_eq!((run.status.code(), &*output), (Some(0), ""));

    lab.signal("-KILL", e2);
    let last = [
        "10 100 5060 e1.edge.example.com.",
        "10 100 5060 e3.edge.example.com.",
        "30 100 5060 e2.edge.example.com.",
    ];
    // Each of the others notices for itself.
    let has_noticed = |edge: &&str| short(edge, &["SRV", "_sip._tcp.edge.example.com"]) == last;
    let seen = poll(STEP_MAX, || [e1, e3].iter().all(has_noticed).then_some(()));
    assert!(
        seen.is_some(),
        "{:?}",
        dig(e1, &["SRV", "_sip._tcp.edge.example.com"])
    );
    assert_eq!(short(e1, &["A", "edge.example.com"]), [e1, e3]);
    assert_eq!(short(e1, &["A", "e2.edge.example.com"]), [e2]);
    let run = check_dns(&asking_file);
    let output = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(2), "{output}");
    assert!(
        output.contains("missing: A of edge.example.com lacks 127.0.0.12\n"),
        "{output}"
    );
    assert!(
        output.contains("SRV of _sip._udp.e2.edge.example.com should lead to e2"),
        "{output}"
    );
    lab.log_until("e1", |log| {
        log.contains("a member is silent, and last in the zone")
    });
    // Back again, it has its place again.
    let _again = lab.start_again("e2");
    let seen = poll(STEP_MAX, || {
        (short(e1, &["A", "edge.example.com"]).len() == 3).then_some(())
    });
    assert!(seen.is_some(), "e2 never came back into the zone");
}

#[test]
fn the_zone_is_that_of_the_members_of_the_day() {
    let lab = Lab::start("zone-members");
    let [e1, ..] = EDGES;
    let file = lab.path("lab/e1.toml");
    let text = std::fs::read_to_string(&file).expect("the lab wrote it");
    let reload = |text: &str| {
        std::fs::write(&file, text).expect("a file can be written");
        let run = steadfast().args(["reload", "--node"]).arg(&file).output();
        let run = run.expect("the program starts");
        assert!(run.status.success(), "{run:?}");
    };
    let servers = |lines: &[&str]| {
        let found = poll(STEP_MAX, || {
            let found = short(e1, &["SRV", "_sip._udp.edge.example.com"]);
            (found == lines).then_some(())
        });
        assert!(
            found.is_some(),
            "{:?}",
            dig(e1, &["SRV", "_sip._udp.edge.example.com"])
        );
    };
    let all = ["e1", "e2", "e3"].map(|name| format!("10 100 5060 {name}.edge.example.com."));
    let all = all.each_ref().map(String::as_str);
    servers(&all);
    let without: String = text
        .lines()
        .filter(|line| !line.contains("name = \"e3\""))
        .map(|line| format!("{line}\n"))
        .collect();
    reload(&without);
    servers(&all[..2]);
    assert!(dig(e1, &["A", "e3.edge.example.com"]).contains("status: NXDOMAIN"));
    reload(&text);
    servers(&all);
}

/// A record as it should be, what is there instead, how the check ends, and what it says.
type Fault = (&'static str, &'static str, i32, &'static [&'static str]);

const FAULTS: [Fault; 4] = [
    ("", "", 0, &[]),
    (
        BACKUP,
        "",
        2,
        &["missing: SRV of _sip._udp.e1.edge.example.com lacks e2.edge.example.com port 5060"],
    ),
    (
        BACKUP,
        "--srv-host=_sip._udp.e1.edge.example.com,e2.edge.example.com,5060,5,100",
        0,
        &[
            "warning: SRV of _sip._udp.e1.edge.example.com should lead to e1.edge.example.com port \
           5060 before e2.edge.example.com port 5060, whose priorities are 10 and 5: it is wrong, \
           or the first does not answer",
        ],
    ),
    (
        "--host-record=e1.edge.example.com,127.0.0.11",
        "--host-record=e1.edge.example.com,127.0.0.19",
        2,
        &[
            "missing: A of e1.edge.example.com lacks 127.0.0.11",
            "warning: A of e1.edge.example.com has 127.0.0.19, which no member is or needs",
        ],
    ),
];
const BACKUP: &str = "--srv-host=_sip._udp.e1.edge.example.com,e2.edge.example.com,5060,20,100";

/// Faults of an operator's own name server, and the sentence about each.
#[test]
fn check_names_each_fault_of_another_name_server() {
    let (_turn, dir) = crate::lab::turn("zone-check");
    let config = dir.join("e1.toml");
    let text = "name = \"e1\"\nlisten = [\"udp:127.0.0.11:5060\", \"tcp:127.0.0.11:5060\"]\n\
                [dns]\nservers = [\"SERVER\"]\n[edge]\ncluster = \"edge.example.com\"\n\
                home = [\"sip:127.0.0.10:5060;transport=udp\"]\n\
                members = [{ name = \"e1\", address = \"127.0.0.11\" }, { name = \"e2\", address = \"127.0.0.12\" }]\n";
    let text = text.replace("SERVER", dns::SERVER);
    std::fs::write(&config, text).expect("a file can be written");
    let mut command = steadfast();
    let zone = command.args(["zone", "--config"]).arg(&config).output();
    let zone = zone.expect("the program starts").stdout;
    let zone = String::from_utf8(zone).expect("a zone is text");
    // The lines for the parent are wanted as well.
    let lines: Vec<_> = zone
        .lines()
        .map(|line| line.trim_start_matches(';'))
        .collect();
    let mut good: Vec<_> = lines.iter().filter_map(|line| for_dnsmasq(line)).collect();
    good.sort_unstable();
    good.dedup();
    assert_eq!(good.len(), 28, "{zone}");
    for (line, instead, status, says) in FAULTS {
        let mut records = good.clone();
        if !line.is_empty() {
            let index = records.iter().position(|one| one == line);
            let index = index.unwrap_or_else(|| panic!("{line} is none of {good:?}"));
            records.remove(index);
            records.extend((!instead.is_empty()).then(|| instead.to_owned()));
        }
        let records: Vec<_> = records.iter().map(String::as_str).collect();
        let mut server = dns::serve(&dir, &records);
        let run = check_dns(&config);
        server.stop();
        let output = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(status), "{line}: {output}");
        let begin = format!("steadfast: {}: ", config.display());
        let output: Vec<_> = output
            .lines()
            .filter_map(|line| line.strip_prefix(&begin))
            .collect();
        assert_eq!(output, says, "{line}");
    }
    // Nobody to ask.
    let run = check_dns(&config);
    assert_eq!(run.status.code(), Some(2));
    let output = String::from_utf8_lossy(&run.stderr);
    assert!(
        output.contains("missing: the DNS does not answer for NAPTR of edge.example.com"),
        "{output}"
    );
    std::fs::remove_dir_all(&dir).expect("the folder is ours");
}

/// A line of a master file as an argument of dnsmasq.
fn for_dnsmasq(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let name = words.next()?.strip_suffix('.')?;
    let rest: Vec<_> = words
        .map(|word| word.trim_matches('"').trim_end_matches('.'))
        .collect();
    match rest[..] {
        [_, "IN", "A", ip] => Some(format!("--host-record={name},{ip}")),
        [_, "IN", "SRV", priority, weight, port, target] => Some(format!(
            "--srv-host={name},{target},{port},{priority},{weight}"
        )),
        [
            _,
            "IN",
            "NAPTR",
            order,
            preference,
            flags,
            service,
            regexp,
            replacement,
        ] => Some(format!(
            "--naptr-record={name},{order},{preference},{flags},{service},{regexp},{replacement}"
        )),
        _ => None,
    }
}

#[test]
fn a_flood_is_not_answered_with_more_than_it_is_and_others_are_served() {
    let lab = Lab::start_with("zone-flood", &["--strict"]);
    let server: SocketAddr = format!("{}:{DNS_PORT}", EDGES[0])
        .parse()
        .expect("an address");
    let socket = UdpSocket::bind((PHONES, port())).expect("a free port is free");
    socket
        .set_nonblocking(true)
        .expect("a socket takes options");
    let question = question("_sip._udp.edge.example.com", 33);
    let garbage: Vec<_> = (0..60)
        .map(|n| u8::try_from(n * 7 % 256).unwrap_or(0))
        .collect();
    let (mut sent, mut whole, mut short) = (0_u32, 0_u32, 0_u32);
    let (mut buffer, end) = ([0; 4_096], Instant::now() + FLOOD);
    while Instant::now() < end {
        for bytes in [&question[..], &garbage, &question[..20], &[]] {
            sent += u32::from(socket.send_to(bytes, server).is_ok());
        }
        while let Ok(len) = socket.recv(&mut buffer) {
            // The number of answers in it (RFC 1035 §4.1.1).
            if buffer[6..8] == [0, 0] {
                assert!(len <= question.len().max(garbage.len()), "{len} bytes");
                short += 1;
            } else {
                whole += 1;
            }
        }
    }
    println!("{sent} datagrams, {whole} whole answers, {short} others");
    let (rate, depth) = limits::ZONE_ANSWERS;
    // What is no question counts as well; one second more for a machine that is slow.
    let bound = depth + rate * (u32::try_from(FLOOD.as_secs()).expect("seconds") + 1);
    assert!(
        (depth / 10..=bound).contains(&whole) && short > 100,
        "{whole} and {short}"
    );
    // Connections that ask nothing do not keep others out for long.
    let idle: Vec<_> = (0..100)
        .filter_map(|_| TcpStream::connect(server).ok())
        .collect();
    let served = poll(STEP_MAX, || {
        let output = dig(EDGES[0], &["+tcp", "A", "e1.edge.example.com"]);
        output.contains("IN A 127.0.0.11").then_some(())
    });
    assert!(served.is_some(), "nobody is served any more");
    drop(idle);
    // The edge is well, and its log is not filled by strangers.
    let health = lab.page("e1", "/healthz");
    assert!(health.contains("1 of 1 shards answer"), "{health}");
    let log = lab.log_until("e1", |_| true);
    assert!(log.lines().count() < 50, "{log}");
}

/// A question of the class IN.
fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("labels are short"));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    bytes
}
