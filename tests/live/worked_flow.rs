//! The worked flow of `src/core/protocol.md`, line by line, as tshark sees
//! it between the phones, the edges and the home while `steadfast demo` plays
//! it over TCP with readable tokens.

use std::net::IpAddr;
use std::time::Duration;

use crate::capture::{Capture, Seen};
use crate::lab::{EDGES, HOME, PHONES, steadfast, turn};
use crate::process::Process;

/// How long the demonstration may take.
const DEMO_MAX: Duration = Duration::from_secs(60);

/// What was seen, with a finger on the place reached so far.
struct Flow {
    seen: Vec<Seen>,
    at: usize,
}

impl Flow {
    /// The next message from one to the other that begins so and is meant.
    #[track_caller]
    fn next(&mut self, from: &str, to: &str, start: &str, is_it: impl Fn(&Seen) -> bool) -> Seen {
        let [from, to]: [IpAddr; 2] = [from, to].map(|ip| ip.parse().expect("an address"));
        let found = self.seen[self.at..].iter().position(|seen| {
            seen.from == from && seen.to == to && seen.start().starts_with(start) && is_it(seen)
        });
        let Some(found) = found else {
            let rest: Vec<_> = self.seen[self.at..]
                .iter()
                .map(|seen| format!("{} -> {}: {}", seen.from, seen.to, seen.start()))
                .collect();
            panic!("no {start:?} from {from} to {to} in\n{}", rest.join("\n"))
        };
        self.at += found;
        self.seen[self.at].clone()
    }
}

fn any(_: &Seen) -> bool {
    true
}

/// Whether joe is whom it registers.
fn of_joe(seen: &Seen) -> bool {
    seen.header("To").concat().contains("sip:joe@")
}

/// The values of a header, without the marks of the dialog (trust: dialogs):
/// each of them has one.
#[track_caller]
fn unmarked(seen: &Seen, name: &str) -> Vec<String> {
    let values = seen.header(name).into_iter();
    let split = values.map(|value| {
        let (uri, mark) = value
            .rsplit_once(";dlg=")
            .or_else(|| value.rsplit_once('.'))
            .unwrap_or_else(|| panic!("{value}"));
        assert_eq!(mark.len(), "p0123456789av>".len(), "{value}");
        format!("{uri}>")
    });
    split.collect()
}

/// Steps 1 to 4; returns joe's token and his second edge.
#[track_caller]
fn discovery(flow: &mut Flow) -> (String, &'static str) {
    let e1 = EDGES[0];
    // 1
    let request = flow.next(PHONES, HOME, "REGISTER sip:example.com SIP/2.0", of_joe);
    assert_eq!(request.header("Route"), [""; 0]);
    let redirected = flow.next(HOME, PHONES, "SIP/2.0 300 ", of_joe);
    assert_eq!(redirected.header("Contact"), ["<sip:edge.example.com;lr>"]);

    // 2
    let first = flow.next(PHONES, e1, "REGISTER sip:example.com SIP/2.0", of_joe);
    assert_eq!(first.header("Route"), ["<sip:edge.example.com;lr>"]);
    let unproven = flow.next(e1, HOME, "REGISTER sip:example.com SIP/2.0", of_joe);
    assert_eq!(unproven.header("Route"), [""; 0]);
    let path = unproven.header("Path").concat();
    assert!(path.starts_with("<sip:joe+e1+"), "D-E15: {path}");
    flow.next(e1, PHONES, "SIP/2.0 401 ", of_joe);
    let proven = flow.next(e1, HOME, "REGISTER ", |seen| {
        of_joe(seen) && !seen.header("Authorization").is_empty()
    });
    let path = proven.header("Path").concat();
    let token = path.strip_prefix("<sip:joe+e1+");
    let token = token.and_then(|token| token.strip_suffix("@edge.example.com;lr;ob>"));
    let token = token.unwrap_or_else(|| panic!("{path}"));
    let (second, instance) = token.split_once('+').expect("edge and instance");
    let index = ["e1", "e2", "e3"].iter().position(|name| *name == second);
    let backup = EDGES[index.expect("an edge of the lab")];
    let token = format!("joe+e1+{second}+{instance}");
    let uri = |more: &str| format!("<sip:{token}@edge.example.com;lr{more}>");

    // 3
    let granted = flow.next(HOME, e1, "SIP/2.0 200 ", of_joe);
    assert_eq!(granted.header("Path"), [uri(";ob")]);
    let service_route = [uri(";ob"), "<sip:example.com;lr>".to_owned()];
    assert_eq!(granted.header("Service-Route"), service_route);
    assert!(granted.header("Require").contains(&"outbound"));
    assert_eq!(granted.header("Outbound-Proxy"), [""; 0]);
    let response = flow.next(e1, PHONES, "SIP/2.0 200 ", of_joe);
    let outbound_proxy = uri(&format!(";maddr={backup};transport=tcp"));
    assert_eq!(response.header("Outbound-Proxy"), [&outbound_proxy]);

    // 4
    let again = flow.next(PHONES, backup, "REGISTER sip:example.com ", of_joe);
    assert_eq!(again.header("Route"), [outbound_proxy]);
    assert!(again.header("Contact").concat().contains(";reg-id=2"));
    let same = flow.next(backup, HOME, "REGISTER ", of_joe);
    assert_eq!(same.header("Path"), [uri(";ob")], "H-3");
    let response = flow.next(backup, PHONES, "SIP/2.0 200 ", of_joe);
    assert_eq!(response.header("Outbound-Proxy"), [""; 0], "D-E10");
    (token, backup)
}

#[test]
fn every_line_of_the_worked_flow_is_on_the_wire() {
    let (_turn, dir) = turn("worked-flow");
    let capture = Capture::start(dir.join("flow.pcapng"), "tcp port 5060");
    let mut command = steadfast();
    command.args(["demo", "--transport", "tcp"]);
    let mut demo = Process::start("steadfast demo", &mut command, dir.join("demo.log"));
    let end = demo.wait(DEMO_MAX);
    let output = demo.output();
    let seen = capture.finish();
    assert!(end.is_some_and(|end| end.success()), "{end:?}\n{output}");
    assert!(output.contains("calls lost: 0"), "{output}");
    let mut flow = Flow { seen, at: 0 };
    let [e1, e2, _] = EDGES;
    let (token, backup) = discovery(&mut flow);
    let uri = |more: &str| format!("<sip:{token}@edge.example.com;lr{more}>");

    // 5, from the other end: joe calls, so his edge writes the URI on the way out.
    let invite = flow.next(e1, HOME, "INVITE ", any);
    let gunk = uri(";gunk=e1");
    assert_eq!(unmarked(&invite, "Record-Route"), [gunk.as_str()]);
    let onward = flow.next(HOME, e2, "INVITE ", any);
    assert!(onward.header("Route")[0].starts_with("<sip:ann+e2+"));
    assert!(onward.header("Route")[0].ends_with(";lr;ob>"));
    assert_eq!(
        unmarked(&onward, "Record-Route"),
        ["<sip:example.com;lr>", gunk.as_str()],
        "H-17"
    );

    // 6: e1 is dead. ann's re-INVITE and BYE find the backup by RFC 3261
    // equality with the Path URI; joe's own re-INVITE takes his other flow.
    let renewed = flow.next(HOME, backup, "INVITE ", any);
    assert_eq!(unmarked(&renewed, "Route"), [gunk.as_str()], "H-9");
    flow.next(backup, PHONES, "INVITE ", any);
    flow.next(PHONES, backup, "SIP/2.0 200 ", |seen| {
        seen.answers("INVITE")
    });
    let own = flow.next(PHONES, backup, "INVITE ", any);
    assert_eq!(unmarked(&own, "Route")[0], gunk, "H-8");
    let bye = flow.next(HOME, backup, "BYE ", any);
    assert_eq!(unmarked(&bye, "Route"), [gunk.as_str()], "H-7");
    flow.next(backup, PHONES, "BYE ", any);
    flow.next(backup, HOME, "SIP/2.0 200 ", |seen| seen.answers("BYE"));
    let after = flow.seen[flow.at..].iter();
    let dead: IpAddr = e1.parse().expect("an address");
    let spoke = after.filter(|seen| seen.from == dead).count();
    assert_eq!(spoke, 0, "the dead say nothing");
    std::fs::remove_dir_all(dir).expect("the test's folder can go");
}
