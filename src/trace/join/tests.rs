//! Views of two nodes, and what becomes of them.

use super::*;

const INVITE: &str = "INVITE sip:ann@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\n\
    From: <sip:joe@example.com>;tag=f\r\nTo: <sip:ann@Example.com>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n\
    Content-Length: 0\r\n\r\n";

fn refusal() -> String {
    let rest = INVITE.split_once("\r\n").unwrap().1;
    format!("SIP/2.0 404 No Such Subscriber\r\n{rest}")
}

fn row(kind: Kind, number: u64, unix_us: u64, peer: &str, text: &str) -> Row {
    Row {
        shard: 0,
        number,
        unix_us,
        kind,
        transport: Some("udp".to_owned()),
        local: Some("127.0.0.11:5060".parse().unwrap()),
        peer: Some(peer.parse().unwrap()),
        cause: Some(number),
        bytes: text.as_bytes().to_vec(),
        name: String::new(),
        says: String::new(),
    }
}

fn view(node: &str, local: &str, mut rows: Vec<Row>) -> View {
    for row in &mut rows {
        row.local = Some(local.parse().unwrap());
    }
    View {
        node: node.to_owned(),
        rows,
        next: vec![9],
        is_last: true,
        missed: 0,
    }
}

/// An edge that relays an INVITE and its refusal, and a home whose clock is `skew` microseconds
/// ahead.
fn views(skew: u64) -> Vec<View> {
    let refusal = &refusal();
    // As it goes on it has another Via.
    let passed_on = &INVITE.replace("10.0.0.1", "127.0.0.11");
    let decision = Row {
        cause: Some(0),
        name: "answered".to_owned(),
        says: "answers 404 itself: No Such Subscriber".to_owned(),
        bytes: Vec::new(),
        kind: Kind::Decision,
        ..row(Kind::Decision, 1, 1_250 + skew, "127.0.0.11:5060", "")
    };
    let edge = vec![
        row(Kind::In, 0, 1_000, "10.0.0.1:5070", INVITE),
        row(Kind::Out, 1, 1_100, "127.0.0.10:5060", passed_on),
        row(Kind::In, 2, 1_400, "127.0.0.10:5060", refusal),
        row(
            Kind::Out,
            3,
            1_500,
            "10.0.0.1:5070",
            &refusal.replace("Subscriber", "Subscriber "),
        ),
    ];
    let home = vec![
        row(Kind::In, 0, 1_200 + skew, "127.0.0.11:5060", passed_on),
        decision,
        row(Kind::Out, 2, 1_300 + skew, "127.0.0.11:5060", refusal),
    ];
    vec![
        view("e1", "127.0.0.11:5060", edge),
        view("home", "127.0.0.10:5060", home),
    ]
}

fn ladder(stories: &[Story]) -> Vec<String> {
    let step = |step: &Step| match &step.what {
        What::Message(arrow) => format!(
            "{} {}>{} {}",
            step.unix_us,
            arrow.from.label(),
            arrow.to.label(),
            arrow.sip.start
        ),
        What::Decision { node, says, .. } => format!("{} {node} {says}", step.unix_us),
    };
    stories
        .iter()
        .flat_map(|story| story.steps.iter().map(step))
        .collect()
}

const WANT: [&str; 5] = [
    "1000 10.0.0.1:5070>e1 INVITE sip:ann@example.com SIP/2.0",
    "1100 e1>home INVITE sip:ann@example.com SIP/2.0",
    "1250 home answers 404 itself: No Such Subscriber",
    "1300 home>e1 SIP/2.0 404 No Such Subscriber",
    "1500 e1>10.0.0.1:5070 SIP/2.0 404 No Such Subscriber ",
];

#[test]
fn what_one_sent_and_another_received_is_one_arrow() {
    let aor = Subject::Aor("ann@example.com".to_owned());
    for subject in [aor, Subject::CallId("c1".to_owned()), Subject::Failures] {
        assert_eq!(ladder(&stories(views(0), &subject)), WANT, "{subject:?}");
    }
    for other in [
        Subject::Aor("ann@example.org".to_owned()),
        Subject::CallId("c".to_owned()),
    ] {
        assert!(stories(views(0), &other).is_empty(), "{other:?}");
    }
}

#[test]
fn a_clock_that_is_ahead_is_seen_by_messages_that_arrive_before_they_were_sent() {
    let subject = Subject::CallId("c1".to_owned());
    // Three seconds ahead: the way there and back take the same.
    let joined = stories(views(3_000_000), &subject);
    assert_eq!(ladder(&joined), WANT);
    // The home alone knows what it has seen.
    let alone = views(0).split_off(1);
    assert_eq!(
        ladder(&stories(alone, &subject)),
        [
            "1200 127.0.0.11:5060>home INVITE sip:ann@example.com SIP/2.0",
            "1250 home answers 404 itself: No Such Subscriber",
            "1300 home>127.0.0.11:5060 SIP/2.0 404 No Such Subscriber",
        ]
    );
}

#[test]
fn a_ladder_and_its_end_are_drawn_line_by_line() {
    let stories = stories(views(0), &Subject::CallId("c1".to_owned()));
    let drawn = super::super::draw(&stories);
    assert_eq!(
        drawn,
        "INVITE from joe@example.com to ann@example.com, 1970-01-01 00:00:00 UTC, Call-ID c1\n\
         \x20                   joe            e1            home\n\
         \x20              10.0.0.1:5070\n\
         00:00:00.001         |------------->|              |       INVITE sip:ann@example.com  udp\n\
         00:00:00.001         |              |------------->|       INVITE sip:ann@example.com  udp 0.100 ms\n\
         00:00:00.001         |              |              *       home answers 404 itself: No Such Subscriber\n\
         00:00:00.001         |              |<-------------|       404 No Such Subscriber (INVITE)  udp 0.100 ms\n\
         00:00:00.001         |<-------------|              |       404 No Such Subscriber  (INVITE)  udp\n\
         \x20 came to     404 No Such Subscriber , after 0.5 ms\n\
         \x20 because     home answers 404 itself: No Such Subscriber\n"
    );
}
