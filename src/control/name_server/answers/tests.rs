//! Questions as resolvers ask them, and as nobody should.

use hickory_resolver::proto::op::{MessageType, Query};

use super::*;
use crate::config;

/// Three edges that serve their own zone and the domain of the home.
const FILE: &str = r#"
name = "e1"
listen = ["udp:192.0.2.11:5060", "tcp:192.0.2.11:5060"]
[edge]
cluster = "edge.example.com"
home = ["sip:192.0.2.10:5060;transport=udp"]
members = [MEMBERS]
"#;

fn answers(members: usize, silent: Silent) -> Answers {
    let member = |n: usize| format!("{{ name = \"e{n}\", address = \"192.0.2.{}\" }}", 10 + n);
    let members: Vec<_> = (1..=members).map(member).collect();
    let text = FILE.replace("MEMBERS", &members.join(", "));
    let config = config::parse("e1.toml", &text, std::path::Path::new("")).unwrap();
    Answers::new(&Zone::of(&config).unwrap(), true, silent)
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut asked = Message::new(0x1234, MessageType::Query, OpCode::Query);
    asked.metadata.recursion_desired = true;
    asked.add_query(Query::query(absolute(name).unwrap(), kind));
    asked
}

fn with_edns(mut asked: Message, payload: u16, version: u8) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload).set_version(version);
    asked.set_edns(edns);
    asked
}

fn ask(answers: &Answers, asked: &Message, room: Room) -> (Message, usize) {
    let mut out = Vec::new();
    assert!(answers.reply(&asked.to_vec().unwrap(), room, &mut out));
    let answer = Message::from_vec(&out).unwrap();
    assert_eq!(
        (answer.id, answer.message_type),
        (0x1234, MessageType::Response)
    );
    assert_eq!(answer.queries, asked.queries, "the question is echoed");
    assert!(!answer.recursion_available);
    (answer, out.len())
}

/// The answer's code, and its sections as text.
#[track_caller]
fn check(name: &str, kind: RecordType, code: ResponseCode, want: &[&str]) {
    let (answer, _) = ask(
        &answers(3, Silent::default()),
        &question(name, kind),
        Room::Datagram,
    );
    assert_eq!(answer.response_code, code, "{name} {kind}");
    assert_eq!(answer.authoritative, code != ResponseCode::Refused);
    let all = answer.answers.iter().chain(&answer.authorities);
    let all: Vec<_> = all
        .chain(&answer.additionals)
        .map(ToString::to_string)
        .collect();
    assert_eq!(all, want, "{name} {kind}");
}

const SOA: &str = "edge.example.com. 60 IN SOA e1.edge.example.com. hostmaster.edge.example.com. 1 \
                   3600 3600 3600 60";

#[test]
fn a_name_is_answered_with_its_records_and_the_addresses_they_lead_to() {
    check(
        "_sip._udp.e2.edge.example.com",
        RecordType::SRV,
        ResponseCode::NoError,
        &[
            "_sip._udp.e2.edge.example.com. 60 IN SRV 10 100 5060 e2.edge.example.com.",
            "_sip._udp.e2.edge.example.com. 60 IN SRV 20 100 5060 e1.edge.example.com.",
            "_sip._udp.e2.edge.example.com. 60 IN SRV 20 100 5060 e3.edge.example.com.",
            "e2.edge.example.com. 3600 IN A 192.0.2.12",
            "e1.edge.example.com. 3600 IN A 192.0.2.11",
            "e3.edge.example.com. 3600 IN A 192.0.2.13",
        ],
    );
    check(
        "e1.edge.example.com",
        RecordType::NAPTR,
        ResponseCode::NoError,
        &[
            "e1.edge.example.com. 3600 IN NAPTR 10 0 \"s\" \"SIP+D2T\" \"\" \
             _sip._tcp.e1.edge.example.com.",
            "e1.edge.example.com. 3600 IN NAPTR 20 0 \"s\" \"SIP+D2U\" \"\" \
             _sip._udp.e1.edge.example.com.",
        ],
    );
    let addresses = ["11", "12", "13"];
    let lines = addresses.map(|host| format!("example.com. 60 IN A 192.0.2.{host}"));
    check(
        "example.com",
        RecordType::A,
        ResponseCode::NoError,
        &[&*lines[0], &*lines[1], &*lines[2]],
    );
}

#[test]
fn what_is_not_there_comes_with_the_soa() {
    let nothing = ResponseCode::NoError;
    check("edge.example.com", RecordType::AAAA, nothing, &[SOA]);
    check("edge.example.com", RecordType::MX, nothing, &[SOA]);
    // A name below which there are others exists.
    check("_udp.edge.example.com", RecordType::SRV, nothing, &[SOA]);
    let none = ResponseCode::NXDomain;
    check("e9.edge.example.com", RecordType::A, none, &[SOA]);
    check("_sips._tcp.edge.example.com", RecordType::SRV, none, &[SOA]);
    let refused = ResponseCode::Refused;
    check("example.net", RecordType::A, refused, &[]);
    check("com", RecordType::A, refused, &[]);
    check("edge.example.com", RecordType::AXFR, refused, &[]);
    check("edge.example.com", RecordType::IXFR, refused, &[]);
}

#[test]
fn the_spelling_of_a_question_comes_back() {
    let name = "_SIP._Udp.E2.edge.EXAMPLE.com";
    let (answer, _) = ask(
        &answers(1, Silent::default()),
        &question("eDgE.eXample.Com", RecordType::A),
        Room::Datagram,
    );
    let [record] = &answer.answers[..] else {
        panic!("{answer}")
    };
    assert_eq!(record.name.to_ascii(), "eDgE.eXample.Com.");
    let (answer, _) = ask(
        &answers(2, Silent::default()),
        &question(name, RecordType::SRV),
        Room::Stream,
    );
    assert_eq!(answer.answers.len(), 2);
    assert_eq!(answer.answers[0].name.to_ascii(), format!("{name}."));
}

#[test]
fn other_classes_and_operations_and_counts_are_refused() {
    let answers = answers(3, Silent::default());
    let mut asked = question("edge.example.com", RecordType::A);
    asked.queries[0].set_query_class(DNSClass::CH);
    let (answer, _) = ask(&answers, &asked, Room::Datagram);
    assert_eq!(answer.response_code, ResponseCode::Refused);
    let code = |bytes: &[u8]| {
        let mut out = Vec::new();
        answers.reply(bytes, Room::Datagram, &mut out).then(|| {
            let answer = Message::from_vec(&out).unwrap();
            assert!(out.len() <= bytes.len(), "no longer than what asked");
            (answer.response_code, answer.op_code)
        })
    };
    let good = question("edge.example.com", RecordType::A)
        .to_vec()
        .unwrap();
    for opcode in [1, 2, 4, 5, 15] {
        let mut bytes = good.clone();
        bytes[2] = opcode << 3;
        let want = (ResponseCode::NotImp, OpCode::from_u8(opcode));
        assert_eq!(code(&bytes), Some(want));
    }
    // So many questions, answers and additional records as there is no room for.
    let wrong = Some((ResponseCode::FormErr, OpCode::Query));
    for (at, count) in [(4, 0), (4, 2), (4, 0xFFFF), (6, 1), (8, 2), (10, 3)] {
        let mut bytes = good.clone();
        bytes[at..at + 2].copy_from_slice(&u16::to_be_bytes(count));
        assert_eq!(code(&bytes), wrong, "{count} at {at}");
    }
    // An answer is not answered, nor is what is no message.
    let mut bytes = good.clone();
    bytes[2] |= 0x80;
    assert_eq!(code(&bytes), None);
    for len in 0..12 {
        assert_eq!(code(&good[..len]), None);
    }
    for len in 12..good.len() {
        assert_eq!(code(&good[..len]), wrong, "cut at {len}");
    }
    // A name that leads to itself, or out of the message.
    for pointer in [[0xC0, 12], [0xC0, 0xFF], [0xFF, 0xFF], [0x40, 1], [0x80, 1]] {
        let mut bytes = good.clone();
        bytes[12..14].copy_from_slice(&pointer);
        assert_eq!(code(&bytes), wrong, "{pointer:?}");
    }
}

#[test]
fn edns_says_how_long_an_answer_may_be_and_we_how_long_at_most() {
    let answers = answers(40, Silent::default());
    let plain = question("_sip._udp.edge.example.com", RecordType::SRV);
    for asked in [plain.clone(), with_edns(plain.clone(), 65_535, 0)] {
        let (answer, len) = ask(&answers, &asked, Room::Datagram);
        assert!(answer.truncation && answer.answers.is_empty());
        assert!(len <= asked.to_vec().unwrap().len(), "{len}");
        assert_eq!(answer.edns.is_some(), asked.edns.is_some());
    }
    let (answer, _) = ask(&answers, &plain, Room::Stream);
    assert!(!answer.truncation);
    assert_eq!((answer.answers.len(), answer.additionals.len()), (40, 40));
    // What fits without its addresses comes without them.
    let naptr = question("_sip._udp.edge.example.com", RecordType::SRV);
    let few = self::answers(9, Silent::default());
    let (answer, len) = ask(&few, &naptr, Room::Datagram);
    assert_eq!((answer.answers.len(), answer.additionals.len()), (9, 0));
    assert!(len <= 512, "{len}");
    let (answer, len) = ask(&few, &with_edns(naptr, 1_232, 0), Room::Datagram);
    assert_eq!((answer.answers.len(), answer.additionals.len()), (9, 9));
    assert!(len <= 1_232, "{len}");
    // RFC 6891 §6.1.3, §6.2.3
    let asked = with_edns(question("edge.example.com", RecordType::NS), 100, 1);
    let (answer, _) = ask(&answers, &asked, Room::Datagram);
    // BADVERS, which shares its number with BADSIG.
    assert_eq!(u16::from(answer.response_code), 16);
}

#[test]
fn a_source_over_its_bound_gets_no_more_than_it_sent() {
    let answers = answers(3, Silent::default());
    let asked = question("_sip._udp.edge.example.com", RecordType::SRV);
    let (answer, len) = ask(&answers, &asked, Room::Header);
    assert!(answer.truncation && answer.answers.is_empty());
    assert_eq!(len, asked.to_vec().unwrap().len());
}

#[test]
fn any_is_answered_with_one_set() {
    let asked = question("e1.edge.example.com", RecordType::ANY);
    let (answer, _) = ask(&answers(3, Silent::default()), &asked, Room::Stream);
    let kinds: Vec<_> = answer.answers.iter().map(Record::record_type).collect();
    assert_eq!(kinds, [RecordType::NAPTR, RecordType::NAPTR]);
}

#[test]
fn whoever_is_silent_is_answered_last_and_has_no_part_in_the_clusters_name() {
    let silent = Silent::default().with(1, true);
    let answers = answers(3, silent);
    let (answer, _) = ask(
        &answers,
        &question("_sip._tcp.example.com", RecordType::SRV),
        Room::Stream,
    );
    let lines: Vec<_> = answer.answers.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "_sip._tcp.example.com. 60 IN SRV 10 100 5060 e1.edge.example.com.",
            "_sip._tcp.example.com. 60 IN SRV 10 100 5060 e3.edge.example.com.",
            "_sip._tcp.example.com. 60 IN SRV 30 100 5060 e2.edge.example.com.",
        ]
    );
    let addresses = |name| {
        let (answer, _) = ask(&answers, &question(name, RecordType::A), Room::Stream);
        let data = answer.answers.iter().map(|one| one.data.to_string());
        data.collect::<Vec<_>>()
    };
    assert_eq!(addresses("edge.example.com"), ["192.0.2.11", "192.0.2.13"]);
    assert_eq!(addresses("e2.edge.example.com"), ["192.0.2.12"]);
}

/// Nothing that comes as a question may end the node, or be answered with more than
/// it may: every good question with some of its bytes changed, cut and lengthened.
#[test]
fn no_bytes_do_harm() {
    let answers = answers(40, Silent::default());
    let names = [
        "edge.example.com",
        "_sip._udp.e1.edge.example.com",
        "a.example.net",
    ];
    let kinds = [
        RecordType::SRV,
        RecordType::NAPTR,
        RecordType::ANY,
        RecordType::OPT,
    ];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut chance = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let (mut out, mut whole) = (Vec::new(), 0);
    for _ in 0..40_000 {
        let plain = question(names[chance(3)], kinds[chance(4)]);
        let asked = with_edns(plain, u16::try_from(chance(1 << 16)).unwrap(), 0);
        let mut bytes = asked.to_vec().unwrap();
        for _ in 0..chance(4) {
            let at = chance(bytes.len());
            bytes[at] = u8::try_from(chance(256)).unwrap();
        }
        match chance(8) {
            0 => bytes.truncate(chance(bytes.len())),
            1 => bytes.extend((0..chance(64)).map(|n| u8::try_from(n).unwrap())),
            _ => {}
        }
        if answers.reply(&bytes, Room::Datagram, &mut out) {
            let answer = Message::from_vec(&out).unwrap();
            whole += usize::from(!answer.answers.is_empty());
            assert!(out.len() <= usize::from(limits::ZONE_DATAGRAM_MAX));
        }
        if answers.reply(&bytes, Room::Header, &mut out) {
            // EDNS of ours has no options, and of theirs counts none.
            assert!(
                out.len() <= bytes.len() + 11,
                "{} for {}",
                out.len(),
                bytes.len()
            );
        }
    }
    assert!(whole > 1_000, "{whole} of them were still good");
}
