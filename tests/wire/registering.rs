//! The worked flow of protocol 2.5, steps 1 to 4.

use super::phone::authorization;
use super::world::{EDGES, HOME, Tokens, World};

const JOE: &str = "127.0.0.1:5070";

#[test]
fn a_phone_that_knows_nothing_ends_up_with_two_flows() {
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let mut world = World::lab(tokens);
        let register = |route: &str, cseq: u32, reg_id: u32, extra: &str| {
            format!(
                "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {JOE};rport;branch=z9hG4bKr{cseq}\n{route}\
                 Max-Forwards: 70\nFrom: <sip:joe@example.com>;tag=f\nTo: <sip:joe@example.com>\n\
                 Call-ID: reg{reg_id}\nCSeq: {cseq} REGISTER\n\
                 Contact: <sip:joe@{JOE}>;+sip.instance=\"<urn:uuid:0001>\";reg-id={reg_id}\n\
                 Supported: path, outbound, alt-proxies\n{extra}Content-Length: 0\n\n"
            )
        };
        // D-H1, D-H3
        world.send(JOE, HOME, &register("", 1, 1, ""));
        let redirect = world.receive(JOE).text;
        assert!(redirect.starts_with("SIP/2.0 300 "), "{redirect}");
        assert!(
            redirect.contains("Contact: <sip:edge.example.com;lr>\r\n"),
            "{redirect}"
        );
        // D-E1, D-E15
        let route = "Route: <sip:edge.example.com;lr>\n";
        world.send(JOE, EDGES[0], &register(route, 2, 1, ""));
        let challenge = world.receive(JOE).text;
        assert!(challenge.starts_with("SIP/2.0 401 "), "{challenge}");
        world.send(
            JOE,
            EDGES[0],
            &register(route, 3, 1, &authorization("joe", &challenge)),
        );
        let ok = world.receive(JOE).text;
        assert!(ok.starts_with("SIP/2.0 200 OK"), "{ok}\n{}", world.ladder());
        // D-E8, D-E9, D-H6, O-9, O-16
        let path = header(&ok, "Path");
        let outbound = header(&ok, "Outbound-Proxy");
        let token = path
            .strip_prefix("<sip:")
            .unwrap()
            .split('@')
            .next()
            .unwrap();
        if matches!(tokens, Tokens::Clear) {
            assert!(token.starts_with("joe+e1+e"), "{token}");
        } else {
            assert!(!token.contains("joe"), "{token}");
        }
        assert_eq!(path, format!("<sip:{token}@edge.example.com;lr;ob>"));
        assert_eq!(
            header(&ok, "Service-Route"),
            format!("{path}, <sip:example.com;lr>")
        );
        assert!(
            ok.contains("Require: outbound, alt-proxies\r\n") && ok.contains("Flow-Timer: 120\r\n"),
            "{ok}"
        );
        let maddr = outbound
            .split("maddr=")
            .nth(1)
            .unwrap()
            .trim_end_matches('>')
            .to_owned();
        assert_eq!(
            outbound,
            format!("<sip:{token}@edge.example.com;lr;maddr={maddr}>")
        );
        // D-E2, D-E10: the second flow, through the other edge, under the same Path.
        let second = EDGES
            .iter()
            .find(|edge| **edge == format!("{maddr}:5060"))
            .unwrap();
        let route = format!("Route: {outbound}\n");
        world.send(JOE, second, &register(&route, 1, 2, ""));
        let challenge = world.receive(JOE).text;
        world.send(
            JOE,
            second,
            &register(&route, 2, 2, &authorization("joe", &challenge)),
        );
        let ok = world.receive(JOE).text;
        assert!(ok.starts_with("SIP/2.0 200 OK"), "{ok}");
        assert_eq!(header(&ok, "Path"), path);
        assert!(!ok.contains("Outbound-Proxy"), "{ok}");
        assert_eq!(ok.matches("Contact: ").count(), 2, "{ok}");
        assert_eq!(world.counter(HOME, "stick_bound"), 2);
    }
}

/// The value of the first header of that name.
fn header(message: &str, name: &str) -> String {
    let line = message
        .split("\r\n")
        .find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {message}"))
        .to_owned()
}
