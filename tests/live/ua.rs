//! The user agent against the lab: its way to two flows, line by line, and a call.

use std::time::Duration;

use crate::agent::{Agent, Message};
use crate::lab::{EDGES, HOME, Lab, steadfast};
use crate::process::{Process, poll};

/// How long a phone may take for what it is told.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the cluster is called before a token is known.
const CLUSTER: &str = "<sip:edge.example.com;lr>";

/// One request of the flow and its answer.
#[track_caller]
fn exchange<'a>(
    messages: &'a [Message],
    number: usize,
    with: &str,
    answer: &str,
) -> [&'a Message; 2] {
    let [request, response] = [&messages[2 * number], &messages[2 * number + 1]];
    assert!(request.is_sent && !response.is_sent, "{messages:#?}");
    // D-U3: the Request-URI stays the same at every hop.
    assert_eq!(request.start(), "REGISTER sip:example.com SIP/2.0");
    assert_eq!(request.peer.to_string(), with, "{request:#?}");
    assert_eq!(response.peer.to_string(), with, "{response:#?}");
    assert!(response.start().starts_with(answer), "{response:#?}");
    [request, response]
}

/// Steps 1 to 4 of the worked flow; returns the token and its two edges.
fn register(test: &str, flags: &[&str]) -> (String, [&'static str; 2]) {
    let lab = Lab::start_with(test, flags);
    let joe = Agent::start(&lab, "register", "joe", EDGES[0], &["--once"]);
    let messages = joe.finish();
    assert_eq!(messages.len(), 8, "{messages:#?}");

    let [request, redirected] = exchange(&messages, 0, HOME, "SIP/2.0 300 ");
    assert_eq!(request.header("Route"), [""; 0]);
    assert_eq!(redirected.header("Contact"), [CLUSTER]);

    let [pushed, _] = exchange(&messages, 1, EDGES[0], "SIP/2.0 401 ");
    assert_eq!(pushed.header("Route"), [CLUSTER]);
    let [first, granted] = exchange(&messages, 2, EDGES[0], "SIP/2.0 200 ");
    assert_eq!(first.header("Route"), [CLUSTER]);
    assert!(first.header("Contact").concat().contains(";reg-id=1"));

    let path = granted.header("Path").concat();
    let token = path.strip_prefix("<sip:");
    let token = token.and_then(|path| path.strip_suffix("@edge.example.com;lr;ob>"));
    let token = token.unwrap_or_else(|| panic!("no token: {granted:#?}"));
    assert!(!token.contains(['@', ';', ',']), "{token}");
    let service_route = format!("{path}, <sip:example.com;lr>");
    assert_eq!(granted.header("Service-Route"), [&service_route]);
    let proxy = granted.header("Outbound-Proxy").concat();
    let named = |edge: &&str| proxy == format!("<sip:{token}@edge.example.com;lr;maddr={edge}>");
    let backup = EDGES.into_iter().find(named);
    let backup = backup.unwrap_or_else(|| panic!("no backup edge: {granted:#?}"));
    assert_ne!(backup, EDGES[0], "D-E9: the backup is another edge");

    let [second, granted] = exchange(&messages, 3, backup, "SIP/2.0 200 ");
    assert_eq!(second.header("Route"), [proxy]);
    assert!(second.header("Contact").concat().contains(";reg-id=2"));
    assert_eq!(granted.header("Path"), [path.as_str()]);
    assert_eq!(granted.header("Service-Route"), [service_route]);
    assert_eq!(granted.header("Outbound-Proxy"), [""; 0]);
    println!("{test}: joe registered through {} and {backup}", EDGES[0]);
    (token.to_owned(), [EDGES[0], backup])
}

/// What the lab calls the edge at this address.
fn name(edge: &str) -> &'static str {
    let index = EDGES.iter().position(|other| *other == edge);
    ["e1", "e2", "e3"][index.expect("an edge of the lab")]
}

#[test]
fn an_agent_registers_two_flows_with_a_clear_token() {
    let (token, edges) = register("ua-clear", &["--clear"]);
    let parts: Vec<_> = token.split('+').collect();
    assert_eq!(
        parts[..3],
        ["joe", name(edges[0]), name(edges[1])],
        "{token}"
    );
}

#[test]
fn an_agent_registers_two_flows_with_a_sealed_token() {
    let tokens = [register("ua-sealed", &[]), register("ua-sealed-again", &[])];
    let [(token, _), (other, _)] = &tokens;
    assert_ne!(token, other, "each lab has a key of its own");
    for word in ["joe", "e1"] {
        // What is sealed may spell a short word, but not each time; between
        // separators it would be a name.
        let is_plain = |token: &str| token.split('+').any(|part| part == word);
        assert!(!is_plain(token) && !is_plain(other), "{tokens:?}");
        let is_in_both = token
            .find(word)
            .is_some_and(|at| other.find(word) == Some(at));
        assert!(!is_in_both, "{word} stands in {tokens:?}");
    }
}

#[test]
fn an_agent_with_the_wrong_password_says_so() {
    let lab = Lab::start("ua-password");
    let more = ["--once", "--password", "wrong"];
    let end = Agent::start(&lab, "register", "joe", EDGES[0], &more).end();
    assert_eq!(end.status, Some(1), "{}", end.output);
    let sentence = "steadfast: flow 1 is not registered: 401: the user name \"joe\" or its \
                    password is not accepted";
    assert_eq!(end.output.lines().last(), Some(sentence), "{}", end.output);
}

#[test]
fn an_agent_calls_an_agent() {
    let lab = Lab::start("ua-call");
    let listen = ["--calls", "1", "--ring", "0"];
    let mut ann = Agent::start(&lab, "listen", "ann", EDGES[1], &listen);
    ann.until("ready, with 2 of 2 flows");
    let call = ["sip:ann@example.com", "--for", "1"];
    let mut joe = Agent::start(&lab, "call", "joe", EDGES[0], &call);
    joe.until("call 1: answered");
    ann.until("call 1: answered");
    joe.until("call 1: ended here");
    ann.until("call 1: ended by the other side");
    for messages in [joe.finish(), ann.finish()] {
        let refused = messages.iter().find(|message| {
            ["INVITE", "BYE"]
                .iter()
                .any(|method| message.is_final(method))
                && !message.start().starts_with("SIP/2.0 200 ")
        });
        assert!(refused.is_none(), "{refused:#?}");
    }
}

/// What the lab says one could type, behind the name of the program.
fn typed(lab: &Lab, what: &str) -> Vec<String> {
    let start = format!("  steadfast {what} ");
    lab.until_said(&start);
    let output = lab.output();
    let line = output.lines().find(|line| line.starts_with(&start));
    let words = line.expect("it was said").split_whitespace().skip(1);
    words.map(str::to_owned).collect()
}

/// Runs what the lab says, with an end.
fn as_told(lab: &Lab, what: &str, more: &[&str]) -> Process {
    let mut command = steadfast();
    command.args(typed(lab, what)).args(more);
    Process::start(what, &mut command, lab.path(&format!("{what}.log")))
}

#[test]
fn the_phones_that_a_lab_tells_one_to_start_talk() {
    for (test, flags, proxy) in [
        ("ua-told", &[][..], "127.0.0.11:5060"),
        ("ua-told-tls", &["--tls"][..], "127.0.0.11:5061"),
    ] {
        let lab = Lab::start_with(test, flags);
        let mut ann = as_told(&lab, "ua listen", &["--calls", "1", "--ring", "0"]);
        let is_ready = poll(PATIENCE, || {
            ann.output().contains("ready, with 2 of 2").then_some(())
        });
        assert!(is_ready.is_some(), "{}", ann.last_words());
        let mut joe = as_told(&lab, "ua call", &[]);
        let answers = poll(PATIENCE, || {
            joe.output().contains("call 1: answered").then_some(())
        });
        assert!(answers.is_some(), "{}", joe.last_words());
        let through = format!("flow 1: registered through {proxy} ");
        assert!(joe.output().contains(&through), "{}", joe.last_words());
        // A minute is long: Ctrl-C hangs up.
        joe.signal("-INT");
        assert!(joe.wait(PATIENCE).is_some(), "{}", joe.last_words());
        let end = ann.wait(PATIENCE);
        let is_well = end.is_some_and(|end| end.success());
        assert!(is_well, "{}", ann.last_words());
    }
}
