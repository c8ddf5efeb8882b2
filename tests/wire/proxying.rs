//! The proxy core hop by hop, at a home that is a plain proxy (RFC 3261 §16).

use super::marks::unmarked;
use super::peer::{CORE, FAR, answer, branch_of, expect, mask, request, respond, silent, status};
use super::phone::Phone;
use super::world::{HOME, Tokens, World};
use steadfast::time::Duration;

/// Sends a request to the home and returns it as it came out at `at`, with
/// our branch masked.
#[track_caller]
fn through(text: &str, at: &str) -> String {
    let mut world = World::lab(Tokens::Clear);
    world.send(CORE, HOME, text);
    mask(&world.receive(at).text)
}

#[test]
fn only_the_named_bytes_change() {
    // P-1, P-3, P-14, X-12, L-4
    let message: &[u8] = b"INVITE sip:bob@127.0.0.9;x=%41 SIP/2.0\r\n\
        v:  SIP/2.0/UDP  127.0.0.12:40060 ;branch=z9hG4bKa;x=\"1\"\r\n\
        f: \"A, <B>\" <sip:a@example.com>;tag=1\r\n\
        t: sip:bob@127.0.0.9\r\n\
        i: c1\r\n\
        CSeq: 0001\t INVITE\r\n\
        Subject: one\r\n two\r\n\t three\r\n\
        Date: no date at all\r\n\
        X-Odd:;;,,;,;\r\n\
        max-forwards:  0068\r\n\
        m: <sip:a@127.0.0.12:40060>\r\n\
        Require: nothing-here-knows\r\n\
        P-Asserted-Identity: <sip:a@example.com>\r\n\
        l: 6\r\n\r\n\xff\x00\r\n\r\n";
    let mut world = World::lab(Tokens::Clear);
    world.send_bytes(CORE, HOME, message);
    let seen = world.receive(FAR);
    let branch = branch_of(&seen.text);
    let (line, rest) =
        message.split_at(message.windows(2).position(|end| end == b"\r\n").unwrap() + 2);
    let at = rest.windows(4).position(|part| part == b"0068").unwrap();
    let recorded = Phone::values(&seen.text, "Record-Route").remove(0);
    assert_eq!(unmarked(&recorded), "<sip:example.com;lr>");
    let ours = format!(
        "Via: SIP/2.0/UDP 127.0.0.10;rport;branch={branch}\r\nMax-Breadth: 60\r\nRecord-Route: {recorded}\r\n"
    );
    let want = [line, ours.as_bytes(), &rest[..at], b"67", &rest[at + 4..]].concat();
    assert_eq!(seen.bytes, want, "{}", seen.text);
    // Cookie, transaction, and the loop part (L-2).
    assert!(branch.starts_with("z9hG4bK"), "{branch}");
    assert_eq!(branch.len(), 7 + 14 + 6, "{branch}");
}

#[test]
fn max_forwards_counts_down() {
    // P-3
    #[track_caller]
    fn check(field: &str, want: &str) {
        let text =
            request("MESSAGE", "sip:bob@127.0.0.9", "mf", "").replace("Max-Forwards: 70\n", field);
        let mut world = World::lab(Tokens::Clear);
        world.send(CORE, HOME, &text);
        let got = if world.has(FAR) {
            let text = world.receive(FAR).text;
            let fields = text.split("\r\n").filter(|l| l.starts_with("Max-Forwards"));
            fields.collect::<Vec<_>>().join("|")
        } else {
            status(&mut world, CORE).to_string()
        };
        assert_eq!(got, want, "{field}");
    }
    check("", "Max-Forwards: 70");
    check("Max-Forwards: 70\n", "Max-Forwards: 69");
    check("Max-Forwards: 255\n", "Max-Forwards: 254");
    check("Max-Forwards: 1\n", "Max-Forwards: 0");
    check("Max-Forwards: 0\n", "483");
    check("Max-Forwards: 256\n", "400");
    check("Max-Forwards: -1\n", "400");
    check("Max-Forwards: 7 0\n", "400");
    check("Max-Forwards:\n", "400");
}

/// The Request-URI and the Route values of what came out.
fn route_of(text: &str) -> (String, Vec<String>) {
    let uri = text.split(' ').nth(1).unwrap().to_owned();
    let lines = text.split("\r\n");
    let routes = lines.filter_map(|line| line.strip_prefix("Route: "));
    (uri, routes.map(str::to_owned).collect())
}

#[test]
fn own_routes_are_taken_off_the_front() {
    // P-9
    #[track_caller]
    fn check(route: &str, want: &[&str]) {
        let text = request("MESSAGE", "sip:bob@127.0.0.8", "po", route);
        let (uri, routes) = route_of(&through(&text, FAR));
        assert_eq!(
            (&uri[..], &routes[..]),
            (
                "sip:bob@127.0.0.8",
                &want.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..]
            )
        );
    }
    let next = "<sip:127.0.0.9;lr>";
    check(
        &format!("Route: <sip:example.com;lr>\nRoute: {next}\n"),
        &[next],
    );
    check(&format!("Route: <sip:example.com;lr>, {next}\n"), &[next]);
    check(&format!("Route: <sip:example.com;lr>,\n {next}\n"), &[next]);
    check(
        &format!(
            "Route: <sip:example.com;lr>, <sip:127.0.0.10;lr;transport=tcp>\nRoute: {next}, <sip:z;lr>\n"
        ),
        &[&format!("{next}, <sip:z;lr>")],
    );
    // A third one belongs to an earlier pass and to nobody else.
    check(
        &format!("Route: {next}, <sip:example.com;lr>\n"),
        &[&format!("{next}, <sip:example.com;lr>")],
    );
}

#[test]
fn a_strict_router_upstream_is_put_right() {
    // P-7
    let text = request(
        "MESSAGE",
        "sip:example.com;lr",
        "st",
        "Route: <sip:127.0.0.9;lr>, <sip:y@127.0.0.7>\nX: 1\nRoute: \"Bob\" <sip:bob@127.0.0.8;x=1>;p\n",
    );
    let (uri, routes) = route_of(&through(&text, FAR));
    assert_eq!(uri, "sip:bob@127.0.0.8;x=1");
    assert_eq!(routes, ["<sip:127.0.0.9;lr>, <sip:y@127.0.0.7>"]);
    // The last Route is the only one.
    let text = request(
        "MESSAGE",
        "sip:example.com;lr",
        "st",
        "Route: <sip:bob@127.0.0.9>\n",
    );
    let (uri, routes) = route_of(&through(&text, FAR));
    assert_eq!((&uri[..], routes.len()), ("sip:bob@127.0.0.9", 0));
}

#[test]
fn a_strict_router_downstream_gets_its_uri() {
    // P-11
    let text = request(
        "MESSAGE",
        "sip:bob@127.0.0.8;a=b",
        "sd",
        "Route: <sip:example.com;lr>, <sip:127.0.0.9;x=1>, <sip:127.0.0.7;lr>\n",
    );
    let (uri, routes) = route_of(&through(&text, FAR));
    assert_eq!(uri, "sip:127.0.0.9;x=1");
    assert_eq!(routes, ["<sip:127.0.0.7;lr>", "<sip:bob@127.0.0.8;a=b>"]);
    // `lr=on` and `lr=true` are loose (P-11).
    let text = request(
        "MESSAGE",
        "sip:bob@127.0.0.8",
        "sd",
        "Route: <sip:127.0.0.9;lr=on>\n",
    );
    let (uri, routes) = route_of(&through(&text, FAR));
    assert_eq!(
        (&uri[..], &routes[..]),
        (
            "sip:bob@127.0.0.8",
            &["<sip:127.0.0.9;lr=on>".to_owned()][..]
        )
    );
}

#[test]
fn a_response_loses_our_via_and_nothing_else() {
    // P-21, P-26
    #[track_caller]
    fn check(vias: impl Fn(&str) -> String, want: &str) {
        let mut world = World::lab(Tokens::Clear);
        let text = request("INVITE", "sip:bob@127.0.0.9", "re", "");
        world.send(CORE, HOME, &text);
        assert_eq!(status(&mut world, CORE), 100);
        let received = expect(&mut world, FAR, "INVITE");
        let ours = format!(
            "SIP/2.0/UDP 127.0.0.10;rport=5060;received=127.0.0.10;branch={}",
            branch_of(&received)
        );
        let rest = "X-First: 1\r\nf: <sip:joe@example.com>;tag=j\r\nt: <sip:ann@example.com>;tag=Far \r\ni: re\r\n\
            CSeq:  1 INVITE\r\nX-Last: a\r\n b\r\nl: 3\r\n\r\n\x01\x02\x03";
        for (code, passes) in [(100, false), (183, true), (404, true)] {
            let start = format!("SIP/2.0 {code} Any \u{20ac} Thing\r\n");
            world.send_bytes(
                FAR,
                HOME,
                format!("{start}{}{rest}", vias(&ours)).as_bytes(),
            );
            assert_eq!(world.has(CORE), passes, "{code}");
            if passes {
                assert_eq!(world.receive(CORE).text, format!("{start}{want}{rest}"));
            }
        }
        expect(&mut world, FAR, "ACK");
        world.send(CORE, HOME, &super::peer::of_invite("ACK", &text));
        world.drained();
    }
    let theirs = format!("SIP/2.0/UDP {CORE};branch=z9hG4bKre");
    check(
        |ours| format!("Via: {ours}\r\nVia: {theirs}\r\n"),
        &format!("Via: {theirs}\r\n"),
    );
    check(
        |ours| format!("Via: {ours}, {theirs}\r\n"),
        &format!("Via: {theirs}\r\n"),
    );
    check(
        |ours| format!("v:{ours}\r\n ,\r\n {theirs}\r\n"),
        &format!("v:{theirs}\r\n"),
    );
}

#[test]
fn a_response_that_is_not_for_us_goes_nowhere() {
    // P-19, P-20, T-7
    let mut world = World::lab(Tokens::Clear);
    world.send(
        CORE,
        HOME,
        &request("INVITE", "sip:bob@127.0.0.9", "st", ""),
    );
    assert_eq!(status(&mut world, CORE), 100);
    let received = expect(&mut world, FAR, "INVITE");
    let ringing = answer(&received, 180, "far", "").replace('\n', "\r\n");
    let branch = branch_of(&received);
    for (what, stray) in [
        (
            "another sent-by",
            ringing.replacen("127.0.0.10;", "127.0.0.10:5099;", 1),
        ),
        (
            "a name",
            ringing.replacen("127.0.0.10;", "example.com:5060;", 1),
        ),
        (
            "another branch",
            ringing.replacen(&branch, &branch.replace("z9hG4bK", "z9hG4bKx"), 1),
        ),
        (
            "no branch",
            ringing.replacen(&format!(";branch={branch}"), "", 1),
        ),
        (
            "another method",
            ringing.replace("CSeq: 1 INVITE", "CSeq: 1 BYE"),
        ),
        (
            "no second Via",
            ringing.replace(&format!("Via: SIP/2.0/UDP {CORE};branch=z9hG4bKst\r\n"), ""),
        ),
    ] {
        let before = world.counter(HOME, "stray_responses");
        world.send_bytes(FAR, HOME, stray.as_bytes());
        silent(&world, &[CORE, FAR]);
        assert_eq!(world.counter(HOME, "stray_responses"), before + 1, "{what}");
    }
    world.send_bytes(FAR, HOME, ringing.as_bytes());
    assert_eq!(status(&mut world, CORE), 180);
    respond(&mut world, FAR, &received, 200);
    assert_eq!(status(&mut world, CORE), 200);
    world.drained();
    // T-7: after its time a 2xx is a stray too.
    respond(&mut world, FAR, &received, 200);
    silent(&world, &[CORE]);
}

#[test]
fn a_request_that_comes_again_is_answered_from_memory() {
    // T-2, T-5
    let mut world = World::lab(Tokens::Clear);
    let invite = request("INVITE", "sip:bob@127.0.0.9", "again", "");
    world.send(CORE, HOME, &invite);
    let trying = world.receive(CORE).text;
    assert!(
        trying.starts_with("SIP/2.0 100 Trying\r\n")
            && trying.contains("To: <sip:ann@example.com>\r\n"),
        "{trying}"
    );
    let received = expect(&mut world, FAR, "INVITE");
    world.send(CORE, HOME, &invite);
    assert_eq!(world.receive(CORE).text, trying);
    respond(&mut world, FAR, &received, 180);
    let ringing = world.receive(CORE).text;
    world.send(CORE, HOME, &invite);
    assert_eq!(world.receive(CORE).text, ringing);
    respond(&mut world, FAR, &received, 486);
    let busy = world.receive(CORE).text;
    expect(&mut world, FAR, "ACK");
    world.send(CORE, HOME, &invite);
    assert_eq!(world.receive(CORE).text, busy);
    assert_eq!(world.counter(HOME, "retransmissions_in"), 3);
    silent(&world, &[FAR]);
    world.send(CORE, HOME, &super::peer::of_invite("ACK", &invite));
    world.drained();
    silent(&world, &[CORE, FAR]);
}

#[test]
fn a_peer_of_rfc_2543_has_transactions_too() {
    // T-3, P-35
    let mut world = World::lab(Tokens::Clear);
    let invite =
        request("INVITE", "sip:bob@127.0.0.9", "old", "").replace(";branch=z9hG4bKold", "");
    world.send(CORE, HOME, &invite);
    assert_eq!(status(&mut world, CORE), 100);
    let received = expect(&mut world, FAR, "INVITE");
    world.send(CORE, HOME, &invite);
    assert_eq!(status(&mut world, CORE), 100);
    respond(&mut world, FAR, &received, 180);
    assert_eq!(status(&mut world, CORE), 180);
    world.send(CORE, HOME, &super::peer::of_invite("CANCEL", &invite));
    assert_eq!(status(&mut world, CORE), 200);
    let cancel = expect(&mut world, FAR, "CANCEL");
    respond(&mut world, FAR, &cancel, 200);
    respond(&mut world, FAR, &received, 487);
    expect(&mut world, FAR, "ACK");
    let terminated = world.receive(CORE).text;
    let tag = terminated.split(";tag=far").count();
    assert_eq!(tag, 2, "{terminated}");
    let ack = super::peer::of_invite("ACK", &invite).replace(
        "To: <sip:ann@example.com>",
        "To: <sip:ann@example.com>;tag=far",
    );
    world.send(CORE, HOME, &ack);
    world.drained();
    silent(&world, &[CORE, FAR]);
}

#[test]
fn a_non_invite_hears_100_after_3500_ms_and_no_408() {
    // T-8, T-9
    let mut world = World::lab(Tokens::Clear);
    let message = request("MESSAGE", "sip:bob@127.0.0.9", "slow", "");
    world.send(CORE, HOME, &message);
    world.pass(Duration::from_millis(3_499));
    silent(&world, &[CORE]);
    world.send(CORE, HOME, &message);
    silent(&world, &[CORE]);
    world.pass(Duration::from_millis(1));
    let trying = world.receive(CORE).text;
    assert!(
        trying.starts_with("SIP/2.0 100 Trying\r\n")
            && !trying.contains("To: <sip:ann@example.com>;tag"),
        "{trying}"
    );
    world.pass(Duration::from_secs(60));
    silent(&world, &[CORE]);
    assert_eq!(world.counter(HOME, "timeouts"), 1);
    world.drained();
    // Somebody else's 408 is not passed on either (RFC 4320 §4.2).
    world.forget();
    world.send(
        CORE,
        HOME,
        &request("MESSAGE", "sip:bob@127.0.0.9", "four", ""),
    );
    let received = expect(&mut world, FAR, "MESSAGE");
    respond(&mut world, FAR, &received, 408);
    silent(&world, &[CORE]);
    // A provisional other than 100 is none of a non-INVITE's.
    world.send(
        CORE,
        HOME,
        &request("MESSAGE", "sip:bob@127.0.0.9", "prov", ""),
    );
    let received = expect(&mut world, FAR, "MESSAGE");
    respond(&mut world, FAR, &received, 180);
    silent(&world, &[CORE]);
    respond(&mut world, FAR, &received, 200);
    assert_eq!(status(&mut world, CORE), 200);
    world.drained();
}
