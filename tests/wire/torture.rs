//! The torture messages of RFC 4475 and RFC 5118 at an edge, as a phone's
//! datagrams and over its stream (RFC 4475, RFC 5118).

mod streams;

use std::path::PathBuf;

use super::phone::Phone;
use super::world::{EDGES, HOME, Seen, Tokens, World};

const PHONE: &str = "127.0.0.1:5070";

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It goes on to the home, every octet that is not ours as it was.
    Forward,
    /// The edge answers it itself.
    Answer(u16),
    /// Nothing happens.
    Silence,
}

use Outcome::{Answer, Forward, Silence};

/// RFC 4475, in the order of its sections.
const RFC_4475: [(&str, Outcome); 49] = [
    // Its Route names a host that is no address, and an edge asks no DNS.
    ("wsinv", Answer(404)),
    ("intmeth", Forward),
    ("esc01", Forward),
    ("escnull", Forward),
    ("esc02", Forward),
    ("lwsdisp", Forward),
    ("longreq", Forward),
    ("dblreq", Forward),
    ("semiuri", Forward),
    ("transports", Forward),
    // A stranger's Route does not lead out of the network.
    ("unreason", Silence),
    ("noreason", Silence),
    ("badinv01", Answer(400)),
    ("clerr", Answer(400)),
    ("ncl", Answer(400)),
    ("scalar02", Answer(400)),
    ("scalarlg", Silence),
    ("quotbal", Answer(400)),
    ("ltgtruri", Answer(400)),
    ("lwsruri", Answer(400)),
    ("lwsstart", Answer(400)),
    ("trws", Answer(400)),
    ("escruri", Answer(400)),
    ("baddate", Forward),
    ("regbadct", Answer(400)),
    ("badaspec", Answer(400)),
    ("baddn", Answer(400)),
    ("badvers", Answer(505)),
    ("mismatch01", Answer(400)),
    ("mismatch02", Answer(400)),
    ("bigcode", Silence),
    ("badbranch", Forward),
    ("insuf", Answer(400)),
    ("unkscm", Answer(416)),
    ("novelsc", Answer(416)),
    ("unksm2", Forward),
    ("bext01", Answer(420)),
    ("invut", Forward),
    ("regaut01", Forward),
    ("multi01", Answer(400)),
    ("mcl01", Answer(400)),
    ("bcast", Silence),
    ("zeromf", Answer(483)),
    ("cparam01", Forward),
    ("cparam02", Forward),
    ("regescrt", Forward),
    ("sdp01", Forward),
    ("inv2543", Forward),
    // No case of the RFC: no version, and no Via to answer to.
    ("test", Silence),
];

/// RFC 5118; `ipv6-in-sdp` counts its body in other line ends.
const RFC_5118: [(&str, Outcome); 12] = [
    ("ipv6-good", Forward),
    ("ipv6-bad", Answer(400)),
    ("port-ambiguous", Forward),
    ("port-unambiguous", Forward),
    ("via-received-param-with-delim", Forward),
    ("via-received-param-no-delim", Forward),
    ("ipv6-in-sdp", Forward),
    ("mult-ip-in-header", Forward),
    ("mult-ip-in-sdp", Forward),
    ("ipv4-mapped-ipv6", Forward),
    // Three colons: the two-colon form is the right one.
    ("ipv6-bug-abnf-3-colons", Answer(400)),
    ("ipv6-correct-abnf-2-colons", Forward),
];

/// The corpus; `None`, said plainly, when it is not there.
fn corpus() -> Option<PathBuf> {
    let named = std::env::var_os("STEADFAST_CORPUS").map(PathBuf::from);
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let found = named.unwrap_or(beside);
    if found.is_dir() {
        return Some(found);
    }
    println!(
        "no torture messages at {}: nothing was tested",
        found.display()
    );
    None
}

/// A valid request still gets its answer.
#[track_caller]
fn still_works(world: &mut World, file: &str) {
    world.forget();
    let options = format!(
        "OPTIONS sip:127.0.0.11 SIP/2.0\nVia: SIP/2.0/UDP {PHONE};branch=z9hG4bKvalid\nMax-Forwards: 70\n\
         From: <sip:a@b>;tag=1\nTo: <sip:127.0.0.11>\nCall-ID: valid\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n"
    );
    world.send(PHONE, EDGES[0], &options);
    let text = world.receive(PHONE).text;
    assert!(text.starts_with("SIP/2.0 200 "), "{file}: {text}");
}

/// What the edge did: what went to the home first, and the first status.
fn outcome(world: &World) -> (Option<&Seen>, Option<u16>) {
    let out: Vec<_> = world
        .trace
        .iter()
        .skip(1)
        .filter(|seen| seen.from.ip().to_string() == "127.0.0.11")
        .collect();
    let forwarded = out.iter().find(|seen| seen.to.to_string() == HOME);
    let answers = out
        .iter()
        .filter(|seen| seen.to.ip().to_string() == "127.0.0.1");
    let statuses =
        answers.filter_map(|seen| seen.text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok());
    // While a name is looked up, an INVITE is told to wait.
    let mut finals = statuses.filter(|status: &u16| *status >= 200);
    (forwarded.copied(), finals.next())
}

/// The lab with edges that let a subscriber's own Route lead anywhere.
fn open() -> World {
    let open = |_: usize, edge: &mut steadfast::edge::Settings| {
        edge.rules.calls_out = steadfast::trust::CallsOut::anywhere();
    };
    World::with(Tokens::Clear, |_| (), open)
}

/// The lab with a subscriber's phone at `PHONE`: for a stranger's the edge is
/// no way to other domains.
fn registered() -> World {
    let mut world = open();
    Phone::new("joe", PHONE, false).register(&mut world, EDGES[0]);
    world.forget();
    world
}

#[track_caller]
fn check(file: &str, bytes: &[u8], want: Outcome) {
    let mut world = registered();
    world.send_bytes(PHONE, EDGES[0], bytes);
    compare(&world, file, bytes, want);
    still_works(&mut world, file);
    world.drained();
}

/// The first thing sent was `bytes`: what was made of it must be what is wanted.
#[track_caller]
fn compare(world: &World, file: &str, bytes: &[u8], want: Outcome) {
    let (forwarded, status) = outcome(world);
    match (want, forwarded) {
        (Forward, Some(seen)) => assert_eq!(
            ours_off(&seen.bytes),
            expected(bytes),
            "{file}:\n{}",
            seen.text
        ),
        (Answer(code), None) => assert_eq!(status, Some(code), "{file}"),
        (Silence, None) => assert_eq!((status, world.trace.len()), (None, 1), "{file}"),
        (_, seen) => panic!("{file}: wanted {want:?}, got {status:?} and {seen:?}"),
    }
}

/// A forwarded request as text without what the edge put into it.
fn ours_off(bytes: &[u8]) -> String {
    let text = text(bytes);
    let (start, rest) = text.split_once("\r\n").unwrap();
    let mut rest = rest;
    let mut vias = 0;
    while let Some((line, after)) = rest.split_once("\r\n") {
        let ours = ["UDP 127.0.0.11:40000;", "TCP 127.0.0.11;"];
        let mut ours = ours.iter().map(|via| format!("Via: SIP/2.0/{via}"));
        let via = ours.any(|via| line.starts_with(&via)) && line.contains(";branch=z9hG4bK");
        let route = line.starts_with("Record-Route: <sip:joe+e1")
            || line.starts_with("Record-Route: <sip:LT9QO@127.0.0.11;")
            || line == "P-Asserted-Identity: <sip:joe@example.com>"
            || line.starts_with("Path: <sip:") && line.contains("+e1");
        if !via && !route && line != "Max-Breadth: 60" && line != "Max-Forwards: 70" {
            break;
        }
        vias += usize::from(via);
        rest = after;
    }
    assert_eq!(vias, 1, "{text}");
    assert_eq!(rest.matches(";received=127.0.0.1").count(), 1, "{text}");
    format!("{start}\r\n{}", rest.replacen(";received=127.0.0.1", "", 1))
}

/// What is to be left of a request: all of it up to its length, one hop older,
/// and without a `received` that its sender wrote into its own Via.
fn expected(bytes: &[u8]) -> String {
    let whole = text(bytes);
    let skipped = whole.len() - whole.trim_start_matches("\r\n").len();
    let mut bytes = &bytes[skipped..];
    let lower = bytes.to_ascii_lowercase();
    if let Some(at) = find(&lower, b"\ncontent-length:") {
        let value = text(&lower[at + 16..]);
        let value = value.split("\r\n").next().unwrap().trim();
        let head = find(bytes, b"\r\n\r\n").unwrap() + 4;
        bytes = &bytes[..head + value.parse::<usize>().unwrap()];
    }
    let mut text = text(bytes);
    for received in [";received=[2001:db8::9:255]", ";received=2001:db8::9:255"] {
        text = text.replacen(received, "", 1);
    }
    let Some(at) = text.to_ascii_lowercase().find("max-forwards") else {
        return text;
    };
    let digits = at + text[at..].find(|c: char| c.is_ascii_digit()).unwrap();
    let end = digits + text[digits..].find(|c: char| !c.is_ascii_digit()).unwrap();
    let number: u32 = text[digits..end].parse().unwrap();
    text.replace_range(digits..end, &(number - 1).to_string());
    text
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|found| found == part)
}

/// Bytes as text, one character each.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[test]
fn rfc_4475_comes_out_as_the_table_says() {
    let Some(corpus) = corpus() else { return };
    for (name, want) in RFC_4475 {
        let bytes = std::fs::read(corpus.join(format!("rfc4475/{name}.dat"))).unwrap();
        check(name, &bytes, want);
    }
}

#[test]
fn what_a_route_held_back_is_forwarded_without_it() {
    let Some(corpus) = corpus() else { return };
    for name in ["wsinv", "mpart01"] {
        let bytes = std::fs::read(corpus.join(format!("rfc4475/{name}.dat"))).unwrap();
        let (start, end) = line_of(&bytes, b"\nroute");
        let bytes = [&bytes[..start], &bytes[end..]].concat();
        let mut world = registered();
        world.send_bytes(PHONE, EDGES[0], &bytes);
        let (forwarded, _) = outcome(&world);
        let got = ours_off(&forwarded.unwrap().bytes);
        // mpart01 asks for its port.
        assert_eq!(
            got.replacen(";rport=5070", ";rport", 1),
            expected(&bytes),
            "{name}"
        );
        world.drained();
    }
}

/// Where the line begins and ends that these bytes begin, its line end before
/// it included; folds belong to it.
fn line_of(bytes: &[u8], begins: &[u8]) -> (usize, usize) {
    let start = find(&bytes.to_ascii_lowercase(), begins).unwrap() + 1;
    let mut end = start;
    loop {
        end += bytes[end..].iter().position(|&byte| byte == b'\n').unwrap() + 1;
        if !matches!(bytes[end], b' ' | b'\t') {
            return (start, end);
        }
    }
}

#[test]
fn rfc_5118_comes_out_as_the_table_says() {
    let Some(corpus) = corpus() else { return };
    for (name, want) in RFC_5118 {
        for (folder, want) in [
            ("wire-cl-fixed", want),
            (
                "wire",
                if name == "ipv6-in-sdp" {
                    Answer(400)
                } else {
                    want
                },
            ),
        ] {
            let bytes = std::fs::read(corpus.join(format!("rfc5118/{folder}/{name}.sip"))).unwrap();
            check(&format!("{folder}/{name}"), &bytes, want);
        }
    }
}
