use super::*;
use crate::id::{Slot, SocketId, StreamId};

const UDP: Flow = Flow::Udp {
    socket: SocketId(0),
    peer: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5060),
};
const TCP: Flow = Flow::Stream(StreamId(Slot {
    index: 1,
    generation: 0,
}));

const fn ms(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

/// Lets time pass and tells what was to be done, with the milliseconds.
fn run(peers: &mut Peers, until_ms: u64) -> Vec<(u64, LivenessEvent)> {
    let (mut told, mut out) = (Vec::new(), Vec::new());
    while let Some(due) = peers.due().filter(|due| *due <= ms(until_ms)) {
        peers.look(due, &mut out);
        told.extend(out.drain(..).map(|event| (due.as_micros() / 1_000, event)));
    }
    told
}

fn peers() -> Peers {
    Peers::new([1, 2, 3, 4])
}

#[test]
fn who_opened_a_flow_asks_every_second_and_gives_up_within_three() {
    // K-3
    for flow in [UDP, TCP] {
        let mut peers = peers();
        peers.watch(ms(0), flow, KeepaliveRole::Ours);
        for second in 1..5 {
            assert_eq!(
                run(&mut peers, second * 1_000),
                [(second * 1_000, LivenessEvent::Probe(flow))]
            );
            assert!(!peers.note_heard(ms(second * 1_000 + 1), flow));
        }
        let told = run(&mut peers, 9_000);
        let told = |wanted: LivenessEvent| {
            told.iter()
                .find(|(_, event)| *event == wanted)
                .map(|(at, _)| *at)
        };
        assert_eq!(told(LivenessEvent::Probe(flow)), Some(5_000));
        assert_eq!(told(LivenessEvent::Suspect(flow)), Some(5_500));
        assert_eq!(
            told(LivenessEvent::Lost(flow)),
            Some(6_800),
            "2.8 s after the last answer"
        );
        assert!(peers.is_suspect(flow) && peers.note_heard(ms(9_000), flow));
        assert!(!peers.is_suspect(flow));
    }
}

#[test]
fn the_other_side_goes_by_the_questions() {
    let mut peers = peers();
    peers.watch(ms(0), TCP, KeepaliveRole::Theirs);
    for at in [900, 1_900, 2_900] {
        assert_eq!(run(&mut peers, at), []);
        peers.note_heard(ms(at), TCP);
        // A phone may think for long while its edge is well.
        peers.note_request_sent(ms(at), TCP, false);
    }
    assert_eq!(
        run(&mut peers, 9_000),
        [
            (4_400, LivenessEvent::Suspect(TCP)),
            (5_700, LivenessEvent::Lost(TCP))
        ],
        "it asks nothing itself"
    );
}

#[test]
fn a_request_is_followed_by_questions_within_t1() {
    // 3.20
    for role in [KeepaliveRole::None, KeepaliveRole::Theirs] {
        let mut peers = peers();
        peers.watch(ms(0), UDP, role);
        assert!(peers.note_request_sent(ms(100), UDP, false));
        let asks = |at: u64| (at, LivenessEvent::Probe(UDP));
        let want = [
            asks(225),
            asks(350),
            asks(475),
            (600, LivenessEvent::Suspect(UDP)),
        ];
        assert_eq!(run(&mut peers, 600)[..4], want);
    }
}

#[test]
fn over_udp_a_peer_that_does_not_ask_is_asked() {
    let mut peers = peers();
    peers.watch(ms(0), UDP, KeepaliveRole::Theirs);
    for round in 0..5 {
        let at = round * 1_125;
        assert_eq!(
            run(&mut peers, at + 1_125),
            [(at + 1_125, LivenessEvent::Probe(UDP))]
        );
        peers.note_heard(ms(at + 1_125), UDP);
    }
    assert!(!peers.is_suspect(UDP));
}

#[test]
fn anything_that_comes_is_an_answer() {
    let mut peers = peers();
    peers.watch(ms(0), UDP, KeepaliveRole::None);
    peers.note_request_sent(ms(100), UDP, false);
    assert_eq!(run(&mut peers, 300), [(225, LivenessEvent::Probe(UDP))]);
    peers.note_heard(ms(300), UDP);
    assert_eq!(run(&mut peers, 10_000), []);
    assert!(!peers.is_suspect(UDP));
}

#[test]
fn who_slept_itself_blames_nobody() {
    let (mut peers, mut out) = (peers(), Vec::new());
    peers.watch(ms(0), TCP, KeepaliveRole::Theirs);
    peers.watch(ms(0), UDP, KeepaliveRole::Ours);
    peers.look(ms(60_000), &mut out);
    assert_eq!(out, [LivenessEvent::Probe(UDP)]);
}

#[test]
fn a_peer_that_is_not_configured_is_forgotten_some_time() {
    let mut peers = peers();
    peers.watch(ms(0), UDP, KeepaliveRole::None);
    peers.watch(ms(0), TCP, KeepaliveRole::Ours);
    peers.note_request_sent(ms(0), UDP, false);
    let told = run(&mut peers, 61_000);
    assert!(
        told.contains(&(60_000, LivenessEvent::Forgotten(UDP))),
        "{told:?}"
    );
    assert_eq!((peers.len(), peers.is_watched(TCP)), (1, true));
    peers.forget(TCP);
    assert!(peers.is_empty() && !peers.note_request_sent(ms(0), TCP, false));
}

#[test]
fn at_the_bound_one_more_is_not_watched() {
    let mut peers = peers();
    let flow = |index: usize| {
        Flow::Stream(StreamId(Slot {
            index: u32::try_from(index).unwrap(),
            generation: 0,
        }))
    };
    for index in 0..=limits::PEERS_MAX {
        peers.watch(ms(0), flow(index), KeepaliveRole::Ours);
    }
    assert_eq!(peers.len(), limits::PEERS_MAX);
    assert!(peers.is_watched(flow(0)) && !peers.is_watched(flow(limits::PEERS_MAX)));
}

#[test]
fn what_the_network_sent_back_is_believed_until_the_peer_says_anything() {
    let mut peers = peers();
    peers.watch(ms(0), UDP, KeepaliveRole::None);
    assert!(!peers.doubt(ms(100), TCP), "nobody watches it");
    assert!(peers.doubt(ms(100), UDP), "it is asked at once");
    assert!(peers.is_suspect(UDP));
    assert!(!peers.doubt(ms(110), UDP), "and not for every datagram");
    assert!(peers.note_heard(ms(120), UDP) && !peers.is_suspect(UDP));
    assert_eq!(run(&mut peers, 600), []);
}

#[test]
fn who_answers_no_question_is_not_blamed_for_being_slow() {
    // K-1: a home that has agreed to nothing.
    let mut peers = peers();
    peers.watch(ms(0), UDP, KeepaliveRole::None);
    let asks = |at: u64| (at, LivenessEvent::Probe(UDP));
    // It is asked seldom, in case that it does.
    peers.note_heard(ms(0), UDP);
    peers.note_request_sent(ms(100), UDP, false);
    assert_eq!(run(&mut peers, 2_500), [asks(1_100), asks(2_100)]);
    assert!(!peers.is_suspect(UDP));
    // What it answers at once tells.
    peers.note_request_sent(ms(2_500), UDP, true);
    let told = run(&mut peers, 4_300);
    assert!(
        told.contains(&(3_000, LivenessEvent::Suspect(UDP))),
        "{told:?}"
    );
    assert!(
        told.contains(&(4_300, LivenessEvent::Lost(UDP))),
        "{told:?}"
    );
    // And so does a question, of one that has ever answered one.
    peers.note_heard(ms(5_000), UDP);
    peers.answers(UDP);
    peers.note_request_sent(ms(5_000), UDP, false);
    let told = run(&mut peers, 6_800);
    assert!(
        told.contains(&(5_500, LivenessEvent::Suspect(UDP))),
        "{told:?}"
    );
    assert!(
        told.contains(&(6_800, LivenessEvent::Lost(UDP))),
        "{told:?}"
    );
}

#[test]
fn that_a_peer_answers_no_question_is_not_forgotten_in_a_minute() {
    let mut peers = peers();
    peers.watch(ms(0), UDP, KeepaliveRole::None);
    peers.note_heard(ms(0), UDP);
    assert_eq!(run(&mut peers, 600_000), []);
    assert!(peers.note_request_sent(ms(600_000), UDP, false));
    let told = run(&mut peers, 605_000);
    assert!(
        told.iter()
            .all(|(_, event)| *event == LivenessEvent::Probe(UDP)),
        "{told:?}"
    );
}
