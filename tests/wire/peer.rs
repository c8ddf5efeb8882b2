//! Everyone who is no phone: elements that the test plays with messages
//! written by hand, around a home that is a plain proxy to them.

use super::phone::authorization;
use super::world::{HOME, World};

/// An element that the home trusts as an edge.
pub(crate) const CORE: &str = "127.0.0.12:40060";
/// Somebody out in the world.
pub(crate) const FAR: &str = "127.0.0.9:5060";
/// What an edge says of a request that joe's phone sent (RFC 3325).
pub(crate) const VOUCHED: &str = "P-Asserted-Identity: <sip:joe@example.com>\n";

/// A request from `CORE`, which vouches for joe; `extra` holds whole header lines.
pub(crate) fn request(method: &str, uri: &str, branch: &str, extra: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP {CORE};branch=z9hG4bK{branch}\nMax-Forwards: 70\n\
         From: <sip:joe@example.com>;tag=j\nTo: <sip:ann@example.com>\nCall-ID: {branch}\nCSeq: 1 {method}\n\
         {VOUCHED}{extra}Content-Length: 0\n\n"
    )
}

/// A request to somebody at `FAR`, longer than a datagram should be.
pub(crate) fn long(method: &str, branch: &str) -> String {
    let extra = format!("X-Long: {}\n", "x".repeat(1_200));
    request(method, "sip:bob@127.0.0.9", branch, &extra)
}

/// The answer to a request as it was received.
pub(crate) fn answer(request: &str, status: u16, tag: &str, extra: &str) -> String {
    let mut out = format!("SIP/2.0 {status} Hand Made\n");
    for line in request.split("\r\n\r\n").next().unwrap().split("\r\n") {
        let name = line.split(':').next().unwrap();
        if matches!(name, "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route") {
            out += &format!("{line}\n");
        } else if name == "To" {
            let fresh = status > 100 && !line.contains(";tag=") && !tag.is_empty();
            let tag = if fresh {
                format!(";tag={tag}")
            } else {
                String::new()
            };
            out += &format!("{line}{tag}\n");
        }
    }
    out + extra + "Content-Length: 0\n\n"
}

/// An ACK or a CANCEL of an INVITE that `request` wrote.
pub(crate) fn of_invite(method: &str, invite: &str) -> String {
    invite.replace("INVITE", method)
}

/// Answers what came to `at`, to where it came from.
#[track_caller]
pub(crate) fn respond(world: &mut World, at: &str, request: &str, status: u16) {
    let text = answer(request, status, "far", "");
    world.send(at, HOME, &text);
}

/// What came to `at`, which must be a request of this method.
#[track_caller]
pub(crate) fn expect(world: &mut World, at: &str, method: &str) -> String {
    let text = world.receive(at).text;
    assert!(text.starts_with(&format!("{method} ")), "{text}");
    text
}

/// The status of what came to `at`, which must be a response.
#[track_caller]
pub(crate) fn status(world: &mut World, at: &str) -> u16 {
    let text = world.receive(at).text;
    let status = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3));
    status.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

/// Nothing waits at any of these.
#[track_caller]
pub(crate) fn silent(world: &World, at: &[&str]) {
    for at in at {
        assert!(!world.has(at), "{at}\n{}", world.ladder());
    }
}

/// The branch of the topmost Via, which a proxy of ours wrote.
pub(crate) fn branch_of(text: &str) -> String {
    let via = text
        .split("\r\n")
        .find(|line| line.starts_with("Via: "))
        .unwrap();
    let branch = via.split("branch=").nth(1).unwrap();
    branch.split([';', ',']).next().unwrap().to_owned()
}

/// The text with our own branch written as `OURS`.
pub(crate) fn mask(text: &str) -> String {
    text.replacen(&branch_of(text), "OURS", 1)
}

/// Registers a contact of ann, straight at the home from an address that it
/// takes for an edge's: that flow is where the home forwards to.
pub(crate) fn register(world: &mut World, flow: &str, params: &str, cseq: u32) {
    let request = |cseq: u32, extra: &str| {
        format!(
            "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {flow};branch=z9hG4bKr{cseq}{}\nMax-Forwards: 70\n\
             From: <sip:ann@example.com>;tag=f\nTo: <sip:ann@example.com>\nCall-ID: reg-{flow}\n\
             CSeq: {cseq} REGISTER\nContact: <sip:ann@{flow}>{params}\nSupported: path, outbound\n{extra}\
             Content-Length: 0\n\n",
            flow.replace([':', '.'], "")
        )
    };
    world.send(flow, HOME, &request(cseq, ""));
    let challenge = world.receive(flow).text;
    assert!(challenge.starts_with("SIP/2.0 401 "), "{challenge}");
    let credentials = authorization("ann", &challenge);
    world.send(flow, HOME, &request(cseq + 1, &credentials));
    let ok = world.receive(flow).text;
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
}
