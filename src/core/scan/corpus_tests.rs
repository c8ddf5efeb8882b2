//! The torture messages of RFC 4475 and RFC 5118, as they are archived: what
//! `frame` and `scan` say of each. What those leave to the proxy scans as Ok.

use std::path::{Path, PathBuf};

use super::*;
use crate::frame::{self, DatagramFrame, Resume, StreamFrame};

/// The corpus, or `None` with a word on it: it is not part of the repository.
fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = std::env::var_os("STEADFAST_CORPUS").map_or(beside, PathBuf::from);
    if folder.join("rfc4475").is_dir() {
        return Some(folder);
    }
    eprintln!(
        "no corpus at {}: nothing was checked (set STEADFAST_CORPUS)",
        folder.display()
    );
    None
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A defect by its variant's name: where it stands depends on the file.
fn verdict(bytes: &[u8]) -> String {
    let sip = match frame::datagram(bytes) {
        DatagramFrame::Sip(sip) => sip,
        other @ (DatagramFrame::KeepAlive | DatagramFrame::Stun(_) | DatagramFrame::Noise) => {
            return format!("{other:?}");
        }
    };
    let mut message = Message::default();
    let scanned = scan(sip, &mut message);
    let cut = if message.end().is_err() {
        "Cut short, "
    } else {
        ""
    };
    let word = scanned.map_or_else(|defect| format!("{defect:?}"), |()| "Ok".to_owned());
    let name = word.split('(').next().unwrap_or_default();
    format!("{cut}{name}")
}

const TRUNCATED: &str = "Cut short, Ok";

/// In the order of the sections of RFC 4475.
const RFC4475: [(&str, &str); 50] = [
    ("wsinv", "Ok"),
    ("intmeth", "Ok"),
    ("esc01", "Ok"),
    ("escnull", "Ok"),
    ("esc02", "Ok"),
    ("lwsdisp", "Ok"),
    ("longreq", "Ok"),
    ("dblreq", "Ok"),
    ("semiuri", "Ok"),
    ("transports", "Ok"),
    ("mpart01", "Ok"),
    ("unreason", "Ok"),
    ("noreason", "Ok"),
    ("badinv01", "Via"),
    ("clerr", TRUNCATED),
    ("ncl", "ContentLength"),
    ("scalar02", "CSeq"),
    ("scalarlg", "CSeq"),
    ("quotbal", "Address"),
    ("ltgtruri", "StartLine"),
    ("lwsruri", "StartLine"),
    ("lwsstart", "StartLine"),
    ("trws", "StartLine"),
    ("escruri", "Uri"),
    ("baddate", "Ok"),
    ("regbadct", "Ok"),
    ("badaspec", "Address"),
    ("baddn", "Cut short, Truncated"),
    ("badvers", "Version"),
    ("mismatch01", "CSeq"),
    ("mismatch02", "CSeq"),
    ("bigcode", "Status"),
    ("badbranch", "Ok"),
    ("insuf", "Missing"),
    ("unkscm", "Ok"),
    ("novelsc", "Ok"),
    ("unksm2", "Ok"),
    ("bext01", "Ok"),
    ("invut", "Ok"),
    ("regaut01", "Ok"),
    ("multi01", "Repeated"),
    ("mcl01", "ContentLength"),
    ("bcast", "Ok"),
    ("zeromf", "Ok"),
    ("cparam01", "Ok"),
    ("cparam02", "Ok"),
    ("regescrt", "Ok"),
    ("sdp01", "Ok"),
    ("inv2543", "Ok"),
    ("test", "StartLine"),
];

#[test]
fn rfc4475_messages_get_the_outcome_of_the_table() {
    let Some(corpus) = corpus() else { return };
    let mut wrong = Vec::new();
    for (name, want) in RFC4475 {
        let got = verdict(&read(&corpus.join(format!("rfc4475/{name}.dat"))));
        if got != want {
            wrong.push((name, want, got));
        }
    }
    assert_eq!(wrong, [], "name, want, got");
}

#[test]
fn rfc5118_messages_get_the_outcome_of_the_table() {
    let Some(corpus) = corpus() else { return };
    let mut seen = 0;
    for folder in ["rfc5118/wire-cl-fixed", "rfc5118/wire"] {
        for file in std::fs::read_dir(corpus.join(folder)).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let want = match name.as_str() {
                // Three colons: legal in RFC 3261's grammar, but no address.
                "ipv6-bad" | "ipv6-bug-abnf-3-colons" => "Uri",
                _ => "Ok",
            };
            let got = verdict(&read(&path));
            // Where the archive counted bodies with bare line feeds.
            let got = got
                .strip_prefix("Cut short, ")
                .filter(|_| folder == "rfc5118/wire")
                .unwrap_or(&got);
            assert_eq!(got, want, "{folder}/{name}");
            seen += 1;
        }
    }
    assert_eq!(seen, 24);
}

/// A corpus file as one datagram, scanned.
fn scanned(corpus: &Path, name: &str) -> (Vec<u8>, Message, Result<(), Malformed>) {
    let bytes = read(&corpus.join(name));
    let DatagramFrame::Sip(sip) = frame::datagram(&bytes) else {
        panic!("{name} is no message")
    };
    let mut message = Message::default();
    let verdict = scan(sip, &mut message);
    let end = message.end().unwrap_or(sip.len());
    (sip[..end].to_vec(), message, verdict)
}

#[test]
fn wsinv_is_read_through_all_its_white_space() {
    let Some(corpus) = corpus() else { return };
    let (bytes, message, _) = scanned(&corpus, "rfc4475/wsinv.dat");
    let via = message.top_via().unwrap();
    assert_eq!(via.sent_by.of(&bytes), b"192.0.2.2");
    assert_eq!(
        (
            via.branch.map(|branch| branch.of(&bytes)),
            via.has_cookie(&bytes)
        ),
        (Some(&b"390skdjuw"[..]), false)
    );
    assert_eq!(message.values(&bytes, Name::Via).count(), 3);
    let tag = |address: Option<&Address>| {
        address
            .unwrap()
            .param(&bytes, "tag")
            .flatten()
            .unwrap()
            .of(&bytes)
            .to_vec()
    };
    assert_eq!(
        (tag(message.to()), tag(message.from())),
        (b"1918181833n".to_vec(), b"98asjd8".to_vec())
    );
    assert_eq!(
        (message.cseq(), message.number(&bytes, Name::MaxForwards)),
        (9, Ok(Some(68)))
    );
    let contact = message.values(&bytes, Name::Contact).next().unwrap();
    let contact = Address::parse(&bytes, contact).unwrap();
    assert_eq!(
        contact.param(&bytes, "q").flatten().map(|q| q.of(&bytes)),
        Some(&b"0.33"[..])
    );
    assert_eq!(message.body().len(), 150);
}

#[test]
fn values_come_out_of_the_corpus_as_they_are() {
    let Some(corpus) = corpus() else { return };
    let (_, message, _) = scanned(&corpus, "rfc4475/mpart01.dat");
    assert_eq!(message.body().len(), 553);
    let (bytes, message, _) = scanned(&corpus, "rfc4475/longreq.dat");
    assert_eq!(message.values(&bytes, Name::Via).count(), 34);
    let (bytes, message, _) = scanned(&corpus, "rfc4475/badbranch.dat");
    assert!(!message.top_via().unwrap().has_cookie(&bytes));
    let (bytes, message, _) = scanned(&corpus, "rfc4475/regbadct.dat");
    let contact = message.first(Name::Contact).unwrap().value;
    assert_eq!(
        Address::parse(&bytes, contact),
        Err(Malformed::Address(contact))
    );
    let (bytes, message, _) = scanned(&corpus, "rfc4475/regaut01.dat");
    let credentials = message.first(Name::Authorization).unwrap().value;
    assert_eq!(auth::Digest::parse(&bytes, credentials), Ok(None));
    let (bytes, message, _) = scanned(&corpus, "rfc4475/esc02.dat");
    assert_eq!(
        (message.method(), message.all(Name::Contact).count()),
        (Method::Other, 2)
    );
    assert_eq!(message.cseq_method().of(&bytes), b"RE%47IST%45R");
    let received = |name| {
        let (bytes, message, _) = scanned(&corpus, name);
        crate::uri::host_ip(message.top_via().unwrap().received.unwrap().of(&bytes))
    };
    let want = "2001:db8::9:255".parse().ok();
    assert_eq!(
        received("rfc5118/wire/via-received-param-no-delim.sip"),
        want
    );
    assert_eq!(
        received("rfc5118/wire/via-received-param-with-delim.sip"),
        want
    );
}

/// Reads the file as a stream that arrives in two pieces.
fn streamed(bytes: &[u8], split: usize) -> Vec<Vec<u8>> {
    let (mut messages, mut resume, mut at) = (Vec::new(), Resume::default(), 0);
    for end in [split, bytes.len()] {
        loop {
            at += match frame::stream(bytes.get(at..end).unwrap_or_default(), &mut resume) {
                StreamFrame::NeedMore { .. } => break,
                StreamFrame::Ping { len }
                | StreamFrame::Skip { len }
                | StreamFrame::Noise { len } => len,
                StreamFrame::Message { start, end } => {
                    messages.push(bytes[at + start..at + end].to_vec());
                    end
                }
                StreamFrame::Broken { .. } => return messages,
            };
        }
    }
    messages
}

// RFC 4475 §3.1.1.8, X-9
#[test]
fn dblreq_is_two_requests_on_a_stream_and_one_in_a_datagram() {
    let Some(corpus) = corpus() else { return };
    let bytes = read(&corpus.join("rfc4475/dblreq.dat"));
    let second = bytes
        .windows(6)
        .position(|window| window == b"INVITE")
        .unwrap();
    for split in 0..=bytes.len() {
        let messages = streamed(&bytes, split);
        let methods: Vec<_> = messages
            .iter()
            .map(|message| message.split(|&byte| byte == b' ').next().unwrap())
            .collect();
        assert_eq!(methods, [&b"REGISTER"[..], b"INVITE"], "split at {split}");
        assert!(
            bytes[second..].starts_with(&messages[1]),
            "split at {split}"
        );
    }
    let mut first = Message::default();
    assert_eq!(
        (scan(&bytes, &mut first), first.end()),
        (Ok(()), Ok(second - 2))
    );
}
