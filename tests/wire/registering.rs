//! The worked flow of `src/core/protocol.md`, steps 1 to 4.

use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::limits;

const JOE: &str = "127.0.0.1:5070";

/// The only value of a header.
#[track_caller]
fn only(message: &str, name: &str) -> String {
    let mut values = Phone::values(message, name);
    assert_eq!(values.len(), 1, "{name} in {message}");
    values.remove(0)
}

/// A phone that speaks everything there is.
fn phone(reg_id: u32) -> Register<'static> {
    let mut joe = Register::new("joe", JOE);
    joe.lines = format!(
        "Contact: <sip:joe@{JOE}>;+sip.instance=\"<urn:uuid:0001>\";reg-id={reg_id}\n\
         Supported: path, outbound, alt-proxies\n"
    );
    joe
}

#[test]
fn a_phone_that_knows_nothing_ends_up_with_two_flows() {
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let mut world = World::lab(tokens);
        // D-H1, D-H3
        let mut joe = phone(1);
        joe.route = String::new();
        let redirect = joe.send(&mut world, HOME, "");
        assert!(redirect.starts_with("SIP/2.0 300 "), "{redirect}");
        // D-U3, D-E1, D-E15
        joe.route = only(&redirect, "Contact");
        assert_eq!(joe.route, "<sip:edge.example.com;lr>");
        let ok = joe.login(&mut world, EDGES[0]);
        assert!(ok.starts_with("SIP/2.0 200 OK"), "{ok}");
        // D-E8, D-E9, D-H6, O-9, O-16
        let (path, outbound) = (only(&ok, "Path"), only(&ok, "Outbound-Proxy"));
        let token = path["<sip:".len()..].split('@').next().unwrap();
        if matches!(tokens, Tokens::Clear) {
            assert_eq!(token, "joe+e1+e3+urn_3Auuid_3A0001");
        } else {
            assert!(!token.contains("joe"), "{token}");
        }
        assert_eq!(path, format!("<sip:{token}@edge.example.com;lr;ob>"));
        assert_eq!(
            Phone::values(&ok, "Service-Route"),
            [&*path, "<sip:example.com;lr>"]
        );
        assert_eq!(
            outbound,
            format!("<sip:{token}@edge.example.com;lr;maddr=127.0.0.13>")
        );
        // D-E12: in one line, since many phones read only the first.
        assert!(ok.contains("Require: outbound, alt-proxies\r\n"), "{ok}");
        let spread = limits::FLOW_TIMER_SPREAD;
        Phone::shortened(&ok, "\r\nFlow-Timer: ", limits::FLOW_TIMER_S, spread);
        // D-E2, D-E10, H-3, H-4: the second flow, under the same Path.
        let mut second = phone(2);
        (second.route, second.call_id) = (outbound, "reg2");
        let ok = second.login(&mut world, EDGES[2]);
        assert!(ok.starts_with("SIP/2.0 200 OK"), "{ok}");
        assert_eq!(only(&ok, "Path"), path);
        assert!(!ok.contains("Outbound-Proxy"), "{ok}");
        assert_eq!(Phone::values(&ok, "Contact").len(), 2, "{ok}");
        // S-1, S-13: of the challenged requests nothing stayed.
        assert_eq!(world.counter(HOME, "stick_bound"), 2);
    }
}
