//! The numbers of a running lab: that they are OpenMetrics, that they say what happened, and
//! that the dashboard shows some that there are. And who sends traffic away by `/readyz`.

use std::io::Write as _;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lab::{EDGES, HOME, Lab, PHONES, metric, port};
use crate::load::brief_calls;
use crate::node;
use crate::open_metrics::{families, lint};
use crate::process::poll;
use crate::register::register;

/// How long a node may take to notice something.
const PATIENCE: Duration = Duration::from_secs(20);
/// Calls that are made.
const CALLS: u32 = 40;

/// A page of a node of the lab, whatever its status, with a line of the head more.
fn ask(lab: &Lab, node: &str, path: &str, line: &str) -> Option<String> {
    node::get(&lab.path(&format!("lab/{node}.sock")), path, line).ok()
}

fn open_metrics(lab: &Lab, node: &str) -> String {
    let wanted = "Accept: application/openmetrics-text; version=1.0.0\r\n";
    let answer = ask(lab, node, "/metrics", wanted).expect("the node answers");
    let (head, page) = answer.split_once("\r\n\r\n").expect("it is an answer");
    assert!(
        head.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    page.to_owned()
}

/// The parser of the Prometheus project reads a page, where it is installed.
fn parse(page: &str) {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/openmetrics/bin/python3");
    if !python.exists() {
        eprintln!("no prometheus-client in target/openmetrics: tests/run installs it");
        return;
    }
    let script = "import sys\n\
                  from prometheus_client.openmetrics.parser import text_string_to_metric_families\n\
                  print(len(list(text_string_to_metric_families(sys.stdin.read()))))";
    let mut parser = Command::new(python)
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = parser.stdin.take().expect("it is piped");
    input.write_all(page.as_bytes()).expect("it reads");
    drop(input);
    let output = parser.wait_with_output().expect("it ends");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    let count = String::from_utf8_lossy(&output.stdout);
    assert_eq!(count.trim(), families(page).len().to_string());
}

/// What lints metrics for Prometheus reads the older format of a page, where it is installed.
fn promtool(lab: &Lab, node: &str) {
    let text = lab.page(node, "/metrics");
    let (_, page) = text.split_once("\r\n\r\n").expect("it is an answer");
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut lint) = started else {
        eprintln!("no promtool: tests/run installs it (prometheus)");
        return;
    };
    let mut input = lint.stdin.take().expect("it is piped");
    input.write_all(page.as_bytes()).expect("it reads");
    drop(input);
    let output = lint.wait_with_output().expect("it ends");
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    assert!(
        output.status.success() && words.is_empty(),
        "{node}: {words}"
    );
}

/// A series of a page, by the beginning of it and everything that it must contain.
fn series(page: &str, name: &str, labels: &[&str]) -> f64 {
    let lines = page.lines().filter(|line| {
        let is_it = line
            .strip_prefix(name)
            .is_some_and(|it| it.starts_with('{'));
        is_it && labels.iter().all(|label| line.contains(label))
    });
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[test]
fn the_numbers_are_open_metrics_and_say_what_happened() {
    let lab = Lab::start("metrics");
    let (joe, ann) = (port(), port());
    register(&lab, "joe", EDGES[0], joe);
    register(&lab, "ann", EDGES[1], ann);
    brief_calls(&lab, (20, CALLS), (joe, ann));
    let pages = ["home", "e1", "e2"].map(|node| open_metrics(&lab, node));
    for page in &pages {
        assert_eq!(lint(page), [""; 0], "{page}");
        parse(page);
    }
    ["home", "e1"].iter().for_each(|node| promtool(&lab, node));
    let [home, e1, e2] = &pages;
    let calls = f64::from(CALLS);
    let setup =
        |page: &str, what: &str| series(page, &format!("steadfast_call_setup_seconds_{what}"), &[]);
    for page in &pages {
        assert!((setup(page, "count") - calls).abs() < 0.5, "{page}");
        let mean = setup(page, "sum") / calls;
        assert!(mean > 0.0 && mean < 5.0, "{mean}");
    }
    let invites = ["method=\"INVITE\"", "transport=\"udp\""];
    let requests = "steadfast_requests_received_total";
    let of = |side| [invites[0], invites[1], side];
    assert!(
        series(e1, requests, &of("side=\"access\"")) >= calls,
        "{e1}"
    );
    assert!(series(e2, requests, &of("side=\"core\"")) >= calls, "{e2}");
    let ok = ["method=\"BYE\"", "code=\"2xx\""];
    assert!(series(home, "steadfast_responses_sent_total", &ok) >= calls);
    assert!(series(home, "steadfast_responses_received_total", &ok) >= calls);
    let registers = "steadfast_registration_seconds_count";
    assert!(series(home, registers, &["code=\"2xx\""]) >= 2.0, "{home}");
    assert!(series(e1, registers, &["code=\"4xx\""]) >= 1.0, "{e1}");
    assert!((series(e1, "steadfast_phones", &["transport=\"udp\""]) - 1.0).abs() < 0.5);
    for measured in ["loop_delay", "queue_time"] {
        let count = series(e1, &format!("steadfast_{measured}_seconds_count"), &[]);
        assert!(count > calls, "{measured}: {count}");
    }
    let text = lab.page("e1", "/metrics");
    assert!(metric(&text, "steadfast_peers_up") >= 1, "{text}");
    assert!(text.contains("steadfast_build_info{node=\"e1\",version=\""));
    // What the kernel says of the process itself.
    let id = lab.process_of(EDGES[0]);
    let open = std::fs::read_dir(format!("/proc/{id}/fd")).map(Iterator::count);
    let said = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|line| line.trim().parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {name}: {text}"))
    };
    let open = f64::from(u32::try_from(open.expect("it is ours")).expect("some"));
    assert!((said("process_open_fds ") - open).abs() < 10.0, "{open}");
    assert!(said("process_max_fds ") >= open);
    assert!(said("process_resident_memory_bytes ") > 1e6);
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("later")
        .as_secs_f64()
        - said("process_start_time_seconds ");
    assert!((-1.0..600.0).contains(&since), "{since}");
    shows_what_there_is(&pages);
}

/// Each number that the dashboard names is one of a node.
fn shows_what_there_is(pages: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning/grafana.json");
    let text = std::fs::read_to_string(path).expect("it is there");
    let board: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut named = Vec::new();
    let panels = board["panels"].as_array().expect("it has panels");
    for panel in panels {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().expect("each has one");
            let words = expression.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
            let is_ours =
                |word: &&str| word.starts_with("steadfast_") || word.starts_with("process_");
            named.extend(words.filter(is_ours).map(str::to_owned));
        }
    }
    assert!(named.len() > 40, "{named:?}");
    let known: Vec<_> = pages.iter().flat_map(|page| families(page)).collect();
    for name in named {
        let family = ["_total", "_bucket", "_info"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(&name);
        // The lab has no certificates; `tests/live/certificates.rs` sees these.
        let is_known = known.contains(&family) || family.contains("_certificate_");
        assert!(is_known, "the dashboard shows {name}, which no node has");
    }
}

#[test]
fn an_edge_without_a_home_and_one_that_drains_are_not_ready() {
    let lab = Lab::start("ready");
    let says = |node: &str, status: &str, line: &str| {
        let mut last = None;
        let said = poll(PATIENCE, || {
            last = ask(&lab, node, "/readyz", "");
            let answer = last.as_deref()?;
            let (head, body) = answer.split_once("\r\n\r\n")?;
            let is_so = head.contains(status) && body.lines().any(|it| it == line);
            is_so.then_some(())
        });
        assert!(said.is_some(), "{node} never says {line:?}: {last:?}");
    };
    says("e1", " 200 ", "ready");
    says("home", " 200 ", "ready");
    // A request that nobody answers keeps a node that was told to end.
    let (phone, caller) = (port(), port());
    register(&lab, "joe", EDGES[1], phone);
    let _phone = UdpSocket::bind((PHONES, phone)).expect("it is free again");
    let caller_socket = UdpSocket::bind((PHONES, caller)).expect("it was seen free");
    let invite = format!(
        "INVITE sip:joe@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP {PHONES}:{caller};rport;branch=z9hG4bK-ready\r\nMax-Forwards: 70\r\n\
         From: <sip:ann@elsewhere.example>;tag=a\r\nTo: <sip:joe@example.com>\r\n\
         Call-ID: ready\r\nCSeq: 1 INVITE\r\nContact: <sip:ann@{PHONES}:{caller}>\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let sent = caller_socket.send_to(invite.as_bytes(), (HOME, 5060));
    sent.expect("it leaves");
    let waits = poll(PATIENCE, || {
        let page = lab.page("e2", "/metrics");
        (metric(&page, "steadfast_contexts") > 0).then_some(())
    });
    assert!(waits.is_some(), "{}", lab.page("e2", "/metrics"));
    lab.signal("-TERM", EDGES[1]);
    says("e2", " 503 ", "it drains, and begins nothing new");
    lab.signal("-9", HOME);
    says("e1", " 503 ", "no home is in reach");
    let live = ask(&lab, "e1", "/livez", "").expect("it answers");
    assert!(live.starts_with("HTTP/1.0 200 "), "{live}");
}
