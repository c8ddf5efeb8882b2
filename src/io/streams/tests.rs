//! Streams over the loopback, driven event by event.

use std::net::TcpListener;

use super::*;
use crate::bytes::Pool;
use crate::io::token::Token;
use crate::time::Duration;

const NOW: Instant = Instant::ZERO;

fn name(index: u32) -> StreamId {
    let generation = 0;
    StreamId(Slot { index, generation })
}

/// Two streams, `name(0)` and `name(1)`, with their far ends.
fn two() -> (Streams, Readiness, [TcpStream; 2]) {
    let here = [IpAddr::from([127, 0, 0, 78])].into_iter();
    let outgoing = Outgoing::new(here, limits::CORE_PORT, 0);
    let (mut streams, readiness) = (Streams::new(outgoing), Readiness::new().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far_ends = [0, 1].map(|index| {
        let far_end = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near_end, _) = listener.accept().unwrap();
        near_end.set_nonblocking(true).unwrap();
        streams.accept(&readiness, name(index), near_end);
        far_end
    });
    (streams, readiness, far_ends)
}

/// Serves events until `until` holds.
fn serve(
    streams: &mut Streams,
    readiness: &mut Readiness,
    until: impl Fn(&Streams) -> bool,
) -> Vec<StreamId> {
    let mut connected = Vec::new();
    while !until(streams) {
        let count = readiness.wait(Duration::from_secs(5)).unwrap();
        assert!(count > 0, "nothing happens any more");
        for index in 0..count {
            let (token, ready) = readiness.event(index);
            let Token::Stream(slot) = Token::unpack(token) else {
                panic!("no stream");
            };
            if ready.is_writable() {
                connected.extend(streams.writable(readiness, slot).map(|(name, _)| name));
            }
            if ready.is_readable() {
                let counters = &mut Counters::default();
                streams.read(readiness, NOW, slot, &mut [0; 64], counters);
            }
        }
    }
    connected
}

/// A connection without TLS, from any address.
fn dial(stream: StreamId, peer: SocketAddr) -> Dial<'static> {
    Dial {
        stream,
        from: None,
        peer,
        tls: None,
    }
}

#[test]
fn a_peer_that_does_not_read_is_closed_at_the_bound_and_blocks_nobody() {
    let (mut streams, readiness, mut far_ends) = two();
    let (pool, mut counters) = (Pool::new(), Counters::default());
    let message = pool.copy(&[b'x'; 16_384]);
    let mut pushed = 0;
    let gone = loop {
        streams.push(&readiness, name(0), message.clone(), &mut counters);
        pushed += message.len();
        if let Some(gone) = streams.take_gone() {
            break gone;
        }
        streams.push(&readiness, name(1), pool.copy(b"!"), &mut counters);
        streams.flush(&readiness);
        let mut byte = [0];
        far_ends[1].read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"!");
    };
    assert_eq!((gone, counters.tcp_overflows), (name(0), 1));
    assert!(pushed > limits::STREAM_QUEUE_MAX);
    assert_eq!((streams.take_gone(), streams.len()), (None, 1));
}

#[test]
fn a_close_waits_for_what_is_queued_while_its_name_serves_another() {
    let (mut streams, mut readiness, [mut far_end, _other]) = two();
    let (pool, mut counters) = (Pool::new(), Counters::default());
    let message = pool.copy(&[b'x'; 16_384]);
    // More than the kernel's buffers take, so that some of it waits.
    let mut pushed = 0;
    while !streams.is_writing() {
        streams.push(&readiness, name(0), message.clone(), &mut counters);
        streams.flush(&readiness);
        pushed += 1;
    }
    streams.close(NOW, name(0));
    assert_eq!(streams.len(), 2);
    streams.push(&readiness, name(0), message.clone(), &mut counters);
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        far_end.read_to_end(&mut all).unwrap();
        all.len()
    });
    serve(&mut streams, &mut readiness, |streams| streams.len() == 1);
    assert_eq!(reader.join().unwrap(), pushed * message.len());
    assert_eq!(streams.take_gone(), None);
}

#[test]
fn what_is_sent_before_a_connection_is_up_arrives_first() {
    let (mut streams, mut readiness, _far_ends) = two();
    let (pool, mut counters) = (Pool::new(), Counters::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap();
    let local = IpAddr::from([127, 0, 0, 78]);
    let opening = &mut Counters::default();
    streams.connect(&readiness, NOW, dial(name(2), peer), opening);
    streams.push(&readiness, name(2), pool.copy(b"first"), &mut counters);
    let is_up = |streams: &Streams| streams.connections.iter().all(|(_, c)| !c.is_blocked);
    assert_eq!(serve(&mut streams, &mut readiness, is_up), [name(2)]);
    let (mut far_end, from) = listener.accept().unwrap();
    let mut bytes = [0; 5];
    far_end.read_exact(&mut bytes).unwrap();
    assert_eq!((&bytes, from.ip()), (b"first", local));
}

#[test]
fn a_refused_or_late_connection_is_gone_once() {
    let (mut streams, mut readiness, _far_ends) = two();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let counters = &mut Counters::default();
    streams.connect(&readiness, NOW, dial(name(2), closed), counters);
    serve(&mut streams, &mut readiness, |streams| streams.len() == 2);
    assert_eq!(
        (streams.take_gone(), streams.take_gone()),
        (Some(name(2)), None)
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap();
    streams.connect(&readiness, NOW, dial(name(3), peer), counters);
    let due = NOW + limits::CONNECT_MAX;
    assert_eq!(streams.deadline(), Some(due));
    streams.expire(due - Duration::from_micros(1), &mut Counters::default());
    assert_eq!(streams.take_gone(), None);
    streams.expire(due, &mut Counters::default());
    assert_eq!(
        (streams.take_gone(), streams.deadline()),
        (Some(name(3)), None)
    );
}
