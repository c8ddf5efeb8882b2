//! What the ring promises, on real sockets of the loopback.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;

use super::super::completion_id;
use super::*;
use crate::bytes::Pool;
use crate::io::bell::Bell;

const LIMIT: Duration = Duration::from_secs(5);

/// The next completion, which comes.
fn next(ring: &mut Ring) -> Completion {
    let until = std::time::Instant::now() + LIMIT;
    loop {
        if let Some(completion) = ring.next() {
            return completion;
        }
        assert!(std::time::Instant::now() < until, "nothing completes");
        ring.enter(Some(LIMIT)).unwrap();
    }
}

/// Receives so many datagrams through the ring, and starts it again where it ended.
fn receive(socket: &UdpSocket, count: usize) -> (Vec<Vec<u8>>, usize) {
    let (mut ring, mut room) = Ring::new().unwrap();
    ring.receive_datagrams(socket.as_fd(), 3, &room, Side::Access);
    let (mut all, mut exhausted) = (Vec::new(), 0);
    while all.len() < count {
        let completion = next(&mut ring);
        assert_eq!(completion.id, CompletionId::Udp(3));
        match (completion.result, completion.buffer) {
            (Ok(length), Some(index)) => {
                let (_, bytes) = ring
                    .datagram(room.datagrams(Side::Access).filled(index, length))
                    .unwrap();
                all.push(bytes.to_vec());
                room.datagrams(Side::Access).give_back(index);
            }
            (Err(libc::ENOBUFS), None) => exhausted += 1,
            other => panic!("{other:?}"),
        }
        if !completion.goes_on {
            ring.receive_datagrams(socket.as_fd(), 3, &room, Side::Access);
        }
    }
    (all, exhausted)
}

fn pair() -> (UdpSocket, UdpSocket) {
    let [from, to] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    from.connect(to.local_addr().unwrap()).unwrap();
    (from, to)
}

#[test]
fn datagrams_of_every_length_arrive_whole_and_in_order() {
    let (from, to) = pair();
    let lengths = [0, 1, 500, 0, 1_500, 9_000, 65_507];
    let sent: Vec<Vec<u8>> = lengths
        .iter()
        .zip(b'a'..)
        .map(|(&length, byte)| vec![byte; length])
        .collect();
    for bytes in &sent {
        from.send(bytes).unwrap();
    }
    assert_eq!(receive(&to, lengths.len()).0, sent);
}

#[test]
fn what_no_buffer_is_left_for_waits_in_the_socket() {
    let (from, to) = pair();
    // All that the usual receive buffer of a socket holds.
    let count = 100;
    let few = usize::from(limits::DATAGRAM_BUFFERS);
    for _ in 0..2 * few / count {
        for number in 0..count {
            let number = u8::try_from(number).unwrap();
            from.send(&[0, number]).unwrap();
        }
        let (all, _) = receive(&to, count);
        let numbers: Vec<_> = all.iter().map(|bytes| usize::from(bytes[1])).collect();
        assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    }
    // With all buffers taken the receive ends, and goes on once they are given back.
    let socket = socket2::SockRef::from(&to);
    socket.set_recv_buffer_size(4 * 1024 * 1024).unwrap();
    let (mut ring, mut room) = Ring::new().unwrap();
    ring.receive_datagrams(to.as_fd(), 0, &room, Side::Access);
    let mut taken = Vec::new();
    let (mut sent, mut is_over) = (0, false);
    while !is_over {
        from.send(b"INVITE").unwrap();
        sent += 1;
        let completion = next(&mut ring);
        taken.extend(completion.buffer);
        is_over = !completion.goes_on;
        let is_full = completion.result == Err(libc::ENOBUFS);
        assert_eq!(is_over, is_full);
    }
    assert_eq!(taken.len(), few);
    for index in taken {
        room.datagrams(Side::Access).give_back(index);
    }
    ring.receive_datagrams(to.as_fd(), 0, &room, Side::Access);
    for _ in few..sent {
        next(&mut ring).result.unwrap();
    }
}

#[test]
fn a_flood_at_a_listener_takes_no_buffer_of_the_core_side() {
    let (from, listener) = pair();
    let (home, upstream) = pair();
    let (mut ring, room) = Ring::new().unwrap();
    ring.receive_datagrams(listener.as_fd(), 0, &room, Side::Access);
    ring.receive_datagrams(upstream.as_fd(), 1, &room, Side::Core);
    loop {
        from.send(b"INVITE").unwrap();
        if next(&mut ring).result == Err(libc::ENOBUFS) {
            break;
        }
    }
    home.send(b"SIP/2.0").unwrap();
    let heard = next(&mut ring);
    assert_eq!((heard.id, heard.goes_on), (CompletionId::Udp(1), true));
    assert!(heard.buffer.is_some());
}

#[test]
fn a_bell_ends_a_wait_without_a_deadline_each_time_it_is_rung() {
    let bells = [(); 2].map(|()| Bell::new().unwrap());
    let [here, there] = &bells;
    let count = 20_000;
    std::thread::scope(|scope| {
        for (own, other) in [(here, there), (there, here)] {
            scope.spawn(move || {
                let (mut ring, _room) = Ring::new().unwrap();
                ring.watch(own.as_fd(), completion_id::MESH);
                let mut heard = 0;
                if std::ptr::eq(own, here) {
                    other.ring().unwrap();
                }
                while heard < count {
                    ring.enter(None).unwrap();
                    while let Some(completion) = ring.next() {
                        assert_eq!(
                            (completion.id, completion.goes_on),
                            (CompletionId::Mesh, true)
                        );
                        heard += 1;
                        other.ring().unwrap();
                    }
                }
            });
        }
    });
}

#[test]
fn an_alarm_rings_once_and_at_the_time_that_was_set_last() {
    let (mut ring, _room) = Ring::new().unwrap();
    let far = Duration::from_secs(3_600);
    ring.set_alarm(far, false);
    ring.enter(Some(Duration::ZERO)).unwrap();
    for round in 0..3 {
        ring.set_alarm(far, round == 0);
        ring.set_alarm(Duration::from_millis(2), true);
        let rang = next(&mut ring);
        assert_eq!((rang.id, rang.goes_on), (CompletionId::Alarm, false));
        ring.enter(Some(Duration::from_millis(5))).unwrap();
        assert!(ring.next().is_none());
    }
}

#[test]
fn every_connection_of_a_burst_is_accepted_by_one_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (mut ring, _room) = Ring::new().unwrap();
    ring.accept(listener.as_fd(), 1);
    let ours: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(addr).unwrap())
        .collect();
    let mut ports = Vec::new();
    while ports.len() < ours.len() {
        ring.enter(Some(LIMIT)).unwrap();
        while let Some(accepted) = ring.next_accepted() {
            assert!(accepted.goes_on && accepted.listener == 1);
            let stream = TcpStream::from(accepted.result.unwrap());
            ports.push(stream.peer_addr().unwrap().port());
        }
    }
    let want: Vec<_> = ours
        .iter()
        .map(|it| it.local_addr().unwrap().port())
        .collect();
    assert_eq!(ports, want);
}

#[test]
fn the_datagram_that_failed_is_told_from_those_that_left() {
    let (_from, to) = pair();
    let addr = to.local_addr().unwrap();
    let pool = Pool::new();
    let (mut ring, _room) = Ring::new().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..10u8 {
        // Longer than any datagram.
        let length = if number % 3 == 1 { 66_000 } else { 10 };
        let bytes = pool.copy(&vec![number; length]);
        ring.send(socket.as_fd(), Datagram::new(0, addr, bytes), false);
    }
    ring.enter(Some(Duration::ZERO)).unwrap();
    let refused = std::iter::from_fn(|| ring.take_refused());
    let refused: Vec<_> = refused.map(|(it, error)| (it.bytes[0], error)).collect();
    assert_eq!(refused, [1, 4, 7].map(|number| (number, libc::EMSGSIZE)));
    assert_eq!(ring.take_sent(), 7);
    assert!(!ring.has_staged());
}

#[test]
fn a_ring_that_has_ended_holds_no_port() {
    for _ in 0..50 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addrs = [socket.local_addr(), listener.local_addr()].map(Result::unwrap);
        let (mut ring, room) = Ring::new().unwrap();
        ring.receive_datagrams(socket.as_fd(), 0, &room, Side::Access);
        ring.accept(listener.as_fd(), 0);
        ring.enter(Some(Duration::ZERO)).unwrap();
        ring.end().unwrap();
        drop((socket, listener, room));
        let again = (UdpSocket::bind(addrs[0]), TcpListener::bind(addrs[1]));
        assert!(again.0.is_ok() && again.1.is_ok(), "{again:?}");
    }
}

#[test]
fn what_is_sent_into_a_full_queue_is_what_was_to_be_sent() {
    let (from, to) = pair();
    to.set_nonblocking(true).unwrap();
    let (addr, pool) = (to.local_addr().unwrap(), Pool::new());
    // One less, all, and one more than the queue has room for.
    for entries in limits::ENTRIES_MAX - 1..=limits::ENTRIES_MAX + 1 {
        let (mut ring, _room) = Ring::new().unwrap();
        for _ in 0..entries {
            ring.cancel(completion_id::udp(77));
        }
        for byte in b"ab" {
            let bytes = pool.copy(&[*byte; 500]);
            ring.send(from.as_fd(), Datagram::new(0, addr, bytes), false);
            // What is let go of too early is written over here.
            drop(pool.copy(&[b'!'; 500]));
        }
        ring.enter(Some(Duration::ZERO)).unwrap();
        assert_eq!((ring.take_sent(), ring.take_refused().is_none()), (2, true));
        for byte in b"ab" {
            let mut bytes = [0; 600];
            assert_eq!(to.recv(&mut bytes).unwrap(), 500);
            assert!(bytes[..500].iter().all(|it| it == byte));
        }
    }
}

#[test]
fn this_kernel_has_what_a_shard_needs() {
    check_ring().unwrap();
}
