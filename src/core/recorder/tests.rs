//! What is read is what was written, as long as it is there.

use std::sync::Arc;

use super::*;

const LINK: PeerLink = PeerLink {
    transport: Transport::Udp,
    peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5070),
    socket: Some(SocketId(0)),
};

fn message(n: u64) -> Vec<u8> {
    let body = "x".repeat(usize::try_from(n * 7_919 % 1_500).unwrap());
    format!("INVITE {n} SIP/2.0\r\nCall-ID: c{n}@example.com\r\n\r\n{body}").into_bytes()
}

fn came(recorder: &mut Recorder, n: u64) {
    let kind = EntryKind::came(false, LINK.transport, LINK.socket);
    recorder.came(Instant::from_micros(n), kind, &LINK.peer, &message(n));
}

fn read_all(
    recorder: &Recorder,
    mut from: u64,
    filter: &Filter,
) -> (Vec<(RecordedEntry, Vec<u8>)>, u64) {
    let (mut all, mut missed) = (Vec::new(), 0);
    loop {
        let piece = recorder.read(from, filter);
        missed += piece.missed;
        from = piece.next;
        for record in piece.records {
            let bytes = piece.bytes[record.bytes.clone()].to_vec();
            all.push((record, bytes));
        }
        if piece.is_last {
            return (all, missed);
        }
    }
}

#[test]
fn a_small_one_is_off_and_keeps_nothing() {
    let mut recorder = Recorder::new(limits::RECORDER_BYTES_MIN - 1);
    assert!(!recorder.is_on());
    recorder.begin();
    let piece = recorder.read(0, &Filter::All);
    assert!(piece.records.is_empty() && piece.is_last);
}

#[test]
fn the_newest_are_kept_whole_through_many_rounds() {
    let mut recorder = Recorder::new(limits::RECORDER_BYTES_MIN);
    let memory = recorder.entries.capacity();
    for n in 0..20_000 {
        came(&mut recorder, n);
        if n % 997 != 0 {
            continue;
        }
        let (all, missed) = read_all(&recorder, 0, &Filter::All);
        assert_eq!(missed, 0);
        let first = all[0].0.number;
        assert_eq!(all.len() as u64, n + 1 - first);
        for (index, (record, bytes)) in all.iter().enumerate() {
            assert_eq!(record.number, first + index as u64);
            assert_eq!(record.cause, Some(record.number));
            assert_eq!(record.link, Some(LINK));
            assert_eq!(bytes, &message(record.number), "{n}");
        }
    }
    assert_eq!(recorder.entries.capacity(), memory);
    let (all, missed) = read_all(&recorder, 5, &Filter::All);
    let first = all[0].0.number;
    assert!(first > 5 && all.len() > 500, "{first} {}", all.len());
    assert_eq!(missed, first - 5);
}

#[test]
fn short_entries_are_bounded_by_their_number() {
    let mut recorder = Recorder::new(limits::RECORDER_BYTES_MIN);
    let dropped = Decision::Dropped;
    for n in 0..100_000 {
        recorder.decided(Instant::from_micros(n), NOBODY, None, dropped);
    }
    let (all, _) = read_all(&recorder, 0, &Filter::All);
    assert_eq!(all.len(), recorder.most);
    assert_eq!(all[0].0.number, 100_000 - recorder.most as u64);
    assert_eq!(
        (all[0].0.what, all[0].0.cause),
        (What::Decided(dropped), None)
    );
}

#[test]
fn a_question_gets_what_it_asks_for_in_pieces() {
    let mut recorder = Recorder::new(4 * limits::RECORDER_BYTES_MIN);
    for n in 0..2_000 {
        came(&mut recorder, n);
        recorder.decided(
            Instant::from_micros(n),
            recorder.cause(),
            Some(LINK),
            Decision::Dropped,
        );
        let answer = match n % 4 {
            0 => "SIP/2.0 401 Unauthorized\r\n\r\n",
            1 => "SIP/2.0 404 Not Found\r\n\r\n",
            2 => "SIP/2.0 200 OK\r\n\r\n",
            _ => "SIP/2.0 407 Who\r\n\r\n",
        };
        let kind = EntryKind::left(LINK.transport, LINK.socket);
        recorder.left(Instant::from_micros(n), kind, &LINK.peer, answer.as_bytes());
    }
    let piece = recorder.read(0, &Filter::All);
    assert!(!piece.is_last && piece.records.len() as u64 <= limits::RECORDER_PIECE);
    let (refused, _) = read_all(&recorder, 0, &Filter::Refusals);
    assert_eq!(refused.len(), 500);
    assert!(
        refused
            .iter()
            .all(|(_, bytes)| bytes.starts_with(b"SIP/2.0 404"))
    );
    let texts: Arc<[Box<[u8]>]> = [b"c1999@example.com"[..].into()].into();
    let (found, _) = read_all(&recorder, 0, &Filter::Texts(texts));
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].0.what, &found[0].1), (What::In, &message(1_999)));
    assert_eq!(found[1].0.what, What::Decided(Decision::Dropped));
    assert_eq!(found[1].0.cause, Some(found[0].0.number));
}

#[test]
fn decisions_are_sentences() {
    let says = |decision: Decision| decision.sentence(Some(&LINK));
    let level = crate::stick::Level::Equal;
    assert_eq!(
        says(Decision::Stuck { level }),
        "sticks to the flow to udp:127.0.0.1:5070: an equal URI is bound to it, by another edge of the set"
    );
    assert_eq!(
        says(Decision::NoFlow(FlowLack::Closed)),
        "430: the connection that the flow token names is closed"
    );
    let mapped = Decision::Final {
        status: 430,
        sent: 480,
        reason: "The Phone Cannot Be Reached",
    };
    assert_eq!(
        says(mapped),
        "answers 480 The Phone Cannot Be Reached, since the best that it got is 430"
    );
}
