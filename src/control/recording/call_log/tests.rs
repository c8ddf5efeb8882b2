//! What passes an edge or a home, and the lines that come of it.

use super::*;
use crate::config::parse;

/// What a node of this name takes note of.
fn log_of(name: &str) -> CallLog {
    let role = match name {
        "home" => "[home]\ndomain = \"example.com\"\nsubscribers = \"users.txt\"\n\
             edges = \"sip:edge.example.com;lr\"\nedge_peers = [\"192.0.2.11\"]\n"
            .to_owned(),
        edge => format!(
            "[edge]\ncluster = \"edge.example.com\"\nhome = [\"sip:192.0.2.10;transport=udp\"]\n\
             core_name = \"core.example.com\"\n\
             members = [{{ name = \"{edge}\", address = \"192.0.2.11\", core = [\"udp:10.0.0.1:5070\", \"tcp:10.0.0.1:5070\"] }}]\n"
        ),
    };
    let listen = "[\"udp:192.0.2.11:5060\", \"tcp:192.0.2.11:5060\"]";
    let text = format!("name = \"{name}\"\nlisten = {listen}\nshards = 1\n{role}");
    let folder = std::env::temp_dir().join(format!("call-log-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("users.txt"), "").unwrap();
    let config = parse("node.toml", &text, &folder).unwrap();
    CallLog::new(name, &config.role)
}

/// A message of the call `id` with these lines more.
fn row(kind: Kind, at_ms: u64, start: &str, cseq: &str, more: &str, id: &str) -> Row {
    let tag = if cseq == "2 BYE" { ";tag=t" } else { "" };
    let bytes = format!(
        "{start}\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:joe@example.com>;tag=f\r\n\
         To: <sip:ann@example.com>{tag}\r\nCall-ID: {id}\r\nCSeq: {cseq}\r\n{more}Content-Length: 0\r\n\r\n"
    );
    Row {
        shard: 0,
        number: at_ms,
        unix_us: 1_800_000_000_000_000 + at_ms * 1_000,
        kind,
        transport: Some("udp".to_owned()),
        local: None,
        peer: None,
        cause: Some(at_ms),
        bytes: bytes.into_bytes(),
        name: String::new(),
        says: String::new(),
    }
}

fn decision(name: &str, cause: u64) -> Row {
    let row = row(Kind::Decision, cause, "", "", "", "");
    Row {
        name: name.to_owned(),
        bytes: Vec::new(),
        ..row
    }
}

const INVITE: &str = "INVITE sip:ann@example.com SIP/2.0";
const BYE: &str = "BYE sip:ann@10.0.0.2 SIP/2.0";
const ROUTE: &str = "Route: <sip:token@edge.example.com;lr;gunk=e1.abc>\r\n";

#[test]
fn a_call_that_is_refused_is_one_line() {
    let mut log = log_of("home");
    let question = "SIP/2.0 407 Who";
    let refusal = "SIP/2.0 486 Busy Here";
    let credentials = "Proxy-Authorization: Digest x=\"y\"\r\n";
    for row in [
        row(Kind::In, 0, INVITE, "1 INVITE", "", "c1"),
        row(Kind::Out, 1, question, "1 INVITE", "", "c1"),
        row(Kind::In, 2, INVITE, "2 INVITE", credentials, "c1"),
        row(Kind::In, 3, refusal, "2 INVITE", "", "c1"),
    ] {
        assert!(log.take(&row).is_empty(), "{row:?}");
    }
    let lines = log.take(&row(Kind::Out, 14, refusal, "2 INVITE", "", "c1"));
    assert_eq!(
        lines,
        [
            "{\"time\":\"2027-01-15T08:00:00.014Z\",\"node\":\"home\",\"kind\":\"call\",\"call_id\":\"c1\",\
          \"from\":\"joe@example.com\",\"to\":\"ann@example.com\",\"edges\":[],\"status\":486,\
          \"reason\":\"Busy Here\",\"setup_ms\":14.0,\"duration_ms\":null,\"failed_over\":false}"
        ]
    );
    assert!(
        log.take(&row(Kind::Out, 15, refusal, "2 INVITE", "", "c1"))
            .is_empty()
    );
}

/// A call that is answered, then the decisions about its BYE, and the line.
fn ended(decisions: &[&str]) -> String {
    let mut log = log_of("home");
    let recorded = "Record-Route: <sip:token@edge.example.com;lr;gunk=e2.xyz>\r\n";
    log.take(&row(Kind::In, 0, INVITE, "1 INVITE", "", "c1"));
    // By chance among the edges of the set: no dialog is there that could change its way.
    log.take(&decision("stuck-equal", 0));
    log.take(&row(
        Kind::Out,
        50,
        "SIP/2.0 200 OK",
        "1 INVITE",
        recorded,
        "c1",
    ));
    log.take(&row(Kind::In, 2_050, BYE, "2 BYE", ROUTE, "c1"));
    for name in decisions {
        log.take(&decision(name, 2_050));
    }
    log.take(&row(
        Kind::Out,
        2_060,
        "SIP/2.0 100 Trying",
        "2 BYE",
        "",
        "c1",
    ));
    log.take(&row(Kind::Out, 2_070, "SIP/2.0 200 OK", "2 BYE", "", "c1"))
        .remove(0)
}

#[test]
fn a_call_that_changes_its_edge_says_so() {
    let line = ended(&["stuck-exact"]);
    let want = "\"edges\":[\"e1\",\"e2\"],\"status\":200,\"reason\":\"BYE\",\"setup_ms\":50.0,\
                \"duration_ms\":2000.0,\"failed_over\":false}";
    assert!(line.ends_with(want), "{line}");
    for name in ["stuck-equal", "stand-by"] {
        assert!(ended(&[name]).ends_with("\"failed_over\":true}"), "{name}");
    }
}

#[test]
fn an_edge_that_takes_a_call_over_knows_no_beginning() {
    let line = |node: &str| {
        let mut log = log_of(node);
        log.take(&row(Kind::In, 0, BYE, "2 BYE", ROUTE, "c1"));
        log.take(&row(Kind::Out, 3, "SIP/2.0 200 OK", "2 BYE", "", "c1"))
            .remove(0)
    };
    let took_over = "\"setup_ms\":null,\"duration_ms\":null,\"failed_over\":true}";
    assert!(line("e3").ends_with(took_over), "{}", line("e3"));
    // It was restarted.
    assert!(line("e1").ends_with("\"failed_over\":false}"));
}

#[test]
fn edges_are_those_that_the_routes_of_the_cluster_name() {
    let forged = "Record-Route: <sip:x@elsewhere.example;lr;gunk=no.1>, <sip:y@EDGE.example.com;lr;gunk=e1.abc>\r\n\
                  Subject: <sip:token@edge.example.com;lr;gunk=no>\r\nRoute: <sip:z@edge.example.com;lr>\r\n\
                  Route: <sip:token@core.example.com;lr;transport=tcp;gunk=e3>\r\n";
    let line = |node: &str| {
        let mut log = log_of(node);
        log.take(&row(Kind::In, 0, BYE, "2 BYE", forged, "c1"));
        log.take(&row(Kind::Out, 3, "SIP/2.0 200 OK", "2 BYE", "", "c1"))
            .remove(0)
    };
    let (home, edge) = (line("home"), line("e2"));
    assert!(home.contains("\"edges\":[\"e1\"],"), "{home}");
    // An edge that tells of a call is one of them.
    assert!(edge.contains("\"edges\":[\"e1\",\"e2\",\"e3\"],"), "{edge}");
    // Whoever invents names makes a line no longer.
    let mut log = log_of("home");
    log.take(&row(Kind::In, 0, INVITE, "1 INVITE", "", "c1"));
    for n in 0..100 {
        let route = format!("Record-Route: <sip:a@edge.example.com;gunk=f{n:03}>\r\n");
        log.take(&row(Kind::In, 1, INVITE, "1 INVITE", &route, "c1"));
    }
    let refused = row(Kind::Out, 9, "SIP/2.0 486 Busy Here", "1 INVITE", "", "c1");
    let line = log.take(&refused).remove(0);
    assert_eq!(
        line.matches("\"f0").count(),
        limits::EDGES_LOGGED_MAX,
        "{line}"
    );
}

#[test]
fn registrations_are_lines_and_questions_are_not() {
    let mut log = log_of("home");
    let register = "REGISTER sip:example.com SIP/2.0";
    let credentials = "Authorization: Digest x=\"y\"\r\n";
    let mut answer = |cseq: &str, sent: &str, status: &str, lines: &str| {
        log.take(&row(Kind::In, 0, register, cseq, sent, "r"));
        log.take(&row(Kind::Out, 2, status, cseq, lines, "r"))
    };
    assert!(answer("1 REGISTER", "", "SIP/2.0 401 Unauthorized", "").is_empty());
    let stale = "WWW-Authenticate: Digest nonce=\"n\", stale=true\r\n";
    assert!(answer("2 REGISTER", credentials, "SIP/2.0 401 Unauthorized", stale).is_empty());
    let wrong = answer(
        "3 REGISTER",
        credentials,
        "SIP/2.0 401 Wrong User Or Password",
        "",
    );
    assert!(wrong[0].contains("\"kind\":\"registration\"") && wrong[0].contains("\"status\":401"));
    let right = answer("4 REGISTER", credentials, "SIP/2.0 200 OK", "");
    assert!(
        right[0].contains("\"reason\":\"OK\",\"setup_ms\":2.0,"),
        "{right:?}"
    );
}

#[test]
fn what_never_ends_is_bounded() {
    let mut log = log_of("home");
    let mut lines = Vec::new();
    for n in 0..=limits::CALLS_LOGGED_MAX {
        lines.extend(log.take(&row(Kind::In, 0, INVITE, "1 INVITE", "", &format!("c{n}"))));
    }
    assert_eq!(
        (lines.len(), log.calls.len()),
        (1, limits::CALLS_LOGGED_MAX)
    );
    assert!(
        lines[0].contains("\"call_id\":\"c0\"")
            && lines[0].contains("\"reason\":\"not seen to end\"")
    );
    assert!(log.causes.len() <= limits::CAUSES_KEPT);
}
