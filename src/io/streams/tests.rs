//! Streams over the loopback, driven event by event.

use std::io::Read;
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::bytes::Pool;
use crate::io::completion_id::CompletionId;
use crate::io::ring::Room;
use crate::time::Duration;

const NOW: Instant = Instant::ZERO;

fn name(index: u32) -> StreamId {
    let generation = 0;
    StreamId(Slot { index, generation })
}

mod secured;

/// Streams with their ring.
struct World {
    streams: Streams,
    // Ends before the room that it receives into.
    ring: Ring,
    room: Room,
    pool: Pool,
    counters: Counters,
    /// Streams that came up, and bytes that were received.
    connected: Vec<StreamId>,
    received: usize,
    /// What is said to the next bytes.
    answer: Option<(StreamId, &'static [u8])>,
}

impl World {
    /// Two streams, `name(0)` and `name(1)`, with their far ends.
    fn with_two() -> (Self, [TcpStream; 2]) {
        let here = [IpAddr::from([127, 0, 0, 78])].into_iter();
        let outgoing = Outgoing::new(here, limits::CORE_PORT, 0);
        let (ring, room) = Ring::new().unwrap();
        let mut world = Self {
            streams: Streams::new(outgoing),
            ring,
            room,
            pool: Pool::new(),
            counters: Counters::default(),
            connected: Vec::new(),
            received: 0,
            answer: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far_ends = [0, 1].map(|index| {
            let far_end = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (near_end, _) = listener.accept().unwrap();
            let ring = Receiver {
                ring: &mut world.ring,
                room: &world.room,
            };
            world.streams.accept(ring, name(index), near_end.into());
            far_end
        });
        (world, far_ends)
    }

    fn push(&mut self, stream: StreamId, bytes: &[u8]) {
        let bytes = self.pool.copy(bytes);
        self.streams
            .push(&mut self.ring, stream, bytes, &mut self.counters);
    }

    fn connect(&mut self, stream: StreamId, peer: SocketAddr) {
        let dial = dial(stream, peer);
        self.streams
            .connect(&mut self.ring, NOW, dial, &mut self.counters);
    }

    /// One turn, which waits at most that long.
    fn turn(&mut self, most: Duration) {
        self.streams.flush(&mut self.ring);
        let most = if self.streams.is_in_a_hurry() {
            Duration::ZERO
        } else {
            most
        };
        self.ring.enter(Some(most)).unwrap();
        self.streams.on_written(&mut self.ring);
        while let Some(completion) = self.ring.next() {
            match completion.id {
                CompletionId::Stream(slot) => self.on_stream(slot, completion),
                CompletionId::Writable(slot) => self.streams.on_writable(slot),
                CompletionId::Connected(slot) => {
                    let (ring, result) = (
                        Receiver {
                            ring: &mut self.ring,
                            room: &self.room,
                        },
                        completion.result,
                    );
                    let connected =
                        self.streams
                            .on_connected(ring, slot, result, &mut self.counters);
                    self.connected.extend(connected);
                }
                CompletionId::Nothing
                | CompletionId::Inbox
                | CompletionId::Mesh
                | CompletionId::Alarm
                | CompletionId::Udp(_)
                | CompletionId::UdpReady(_)
                | CompletionId::Listener(_)
                | CompletionId::ListenerReady(_)
                | CompletionId::Readable(_)
                | CompletionId::Datagram(_)
                | CompletionId::Write(_) => panic!("{completion:?}"),
            }
        }
        self.streams.flush(&mut self.ring);
    }

    fn on_stream(&mut self, slot: Slot, completion: Completion) {
        let (ring, counters) = (&mut self.ring, &mut self.counters);
        let came = self
            .streams
            .read(ring, NOW, slot, &completion, &mut [], counters);
        if let Some(Came::Clear(_, count)) = came {
            self.received += count;
            if let Some((stream, bytes)) = self.answer.take() {
                self.push(stream, bytes);
            }
        }
        if let Some(index) = completion.buffer {
            self.room.chunks.give_back(index);
        }
        if !completion.goes_on {
            self.streams.go_on(
                Receiver {
                    ring: &mut self.ring,
                    room: &self.room,
                },
                slot,
            );
        }
    }

    /// Turns until `until` holds.
    fn serve(&mut self, until: impl Fn(&Self) -> bool) {
        let started = std::time::Instant::now();
        while !until(self) {
            assert!(
                started.elapsed() < Duration::from_secs(5),
                "nothing happens any more"
            );
            self.turn(Duration::from_millis(100));
        }
    }

    /// Has what was staged last take effect: a receive that was cancelled ends with the
    /// enter after it.
    fn settle(&mut self) {
        self.turn(Duration::ZERO);
        self.turn(Duration::ZERO);
    }

    fn take_gone(&mut self) -> Option<StreamId> {
        self.streams.take_gone()
    }
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
    let (mut world, mut far_ends) = World::with_two();
    let mut pushed = 0;
    let gone = loop {
        world.push(name(0), &[b'x'; 16_384]);
        pushed += 16_384;
        if let Some(gone) = world.take_gone() {
            break gone;
        }
        world.push(name(1), b"!");
        world.turn(Duration::ZERO);
        let mut byte = [0];
        far_ends[1].read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"!");
    };
    assert_eq!((gone, world.counters.tcp_overflows), (name(0), 1));
    assert!(pushed > limits::STREAM_QUEUE_MAX);
    assert_eq!((world.take_gone(), world.streams.len()), (None, 1));
    // The far end learns of it although a receive was under way.
    world.settle();
    far_ends[0]
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut all = Vec::new();
    far_ends[0].read_to_end(&mut all).unwrap();
    assert!(all.len() < pushed && all.iter().all(|byte| *byte == b'x'));
}

#[test]
fn a_close_waits_for_what_is_queued_while_its_name_serves_another() {
    let (mut world, [mut far_end, _other]) = World::with_two();
    // More than the kernel's buffers take, so that some of it waits.
    let mut pushed = 0;
    while !world.streams.is_writing() {
        world.push(name(0), &[b'x'; 16_384]);
        world.turn(Duration::ZERO);
        pushed += 1;
    }
    world.streams.close(&mut world.ring, NOW, name(0));
    assert_eq!(world.streams.len(), 2);
    world.push(name(0), &[b'x'; 16_384]);
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        far_end.read_to_end(&mut all).unwrap();
        all.len()
    });
    world.serve(|world| world.streams.len() == 1);
    world.settle();
    assert_eq!(reader.join().unwrap(), pushed * 16_384);
    assert_eq!(world.take_gone(), None);
}

#[test]
fn a_closed_stream_says_so_at_once_although_the_ring_receives_from_it() {
    let (mut world, [mut far_end, _other]) = World::with_two();
    far_end
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    world.push(name(0), b"BYE");
    world.streams.close(&mut world.ring, NOW, name(0));
    world.serve(|world| world.streams.len() == 1);
    world.settle();
    let mut all = Vec::new();
    far_end.read_to_end(&mut all).unwrap();
    assert_eq!((&all[..], world.take_gone()), (&b"BYE"[..], None));
}

#[test]
fn who_sends_nothing_more_is_answered() {
    use std::io::Write;
    use std::net::Shutdown;
    let (mut world, [mut far_end, _other]) = World::with_two();
    far_end
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    far_end.write_all(b"OPTIONS").unwrap();
    far_end.shutdown(Shutdown::Write).unwrap();
    // Both come at once: what answers the first is not staged yet at the second.
    world.answer = Some((name(0), b"200"));
    world.serve(|world| world.streams.len() == 1);
    world.settle();
    let mut all = Vec::new();
    far_end.read_to_end(&mut all).unwrap();
    assert_eq!((&all[..], world.take_gone()), (&b"200"[..], Some(name(0))));
}

#[test]
fn what_is_said_behind_a_staged_write_waits_for_that_alone() {
    let (mut world, [mut far_end, _other]) = World::with_two();
    far_end
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    world.push(name(0), b"one ");
    world.streams.flush(&mut world.ring);
    assert!(!world.streams.is_in_a_hurry());
    world.push(name(0), b"two");
    world.streams.flush(&mut world.ring);
    // A write that succeeds wakes nobody.
    assert!(world.streams.is_in_a_hurry());
    world.settle();
    let mut all = [0; 7];
    far_end.read_exact(&mut all).unwrap();
    assert_eq!(&all, b"one two");
    assert!(!world.streams.is_in_a_hurry() && !world.streams.is_writing());
}

#[test]
fn a_connection_that_is_closed_on_its_way_up_is_let_go_of() {
    let (mut world, _far_ends) = World::with_two();
    // Nobody answers there.
    world.connect(name(2), "192.0.2.1:9".parse().unwrap());
    world.streams.close(&mut world.ring, NOW, name(2));
    assert!(world.streams.dialing.is_empty());
    world.settle();
    assert_eq!((world.streams.len(), world.take_gone()), (2, None));
}

#[test]
fn more_than_all_buffers_hold_arrives() {
    use std::io::Write;
    let (mut world, [mut far_end, _other]) = World::with_two();
    let total = 32 * 1024 * 1024;
    let writer = std::thread::spawn(move || {
        far_end.write_all(&vec![b'x'; total]).unwrap();
        far_end
    });
    world.serve(|world| world.received == total);
    let far_end = writer.join().unwrap();
    drop(far_end);
    world.serve(|world| world.streams.len() == 1);
    assert_eq!(world.take_gone(), Some(name(0)));
}

#[test]
fn what_is_sent_before_a_connection_is_up_arrives_first() {
    let (mut world, _far_ends) = World::with_two();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    world.connect(name(2), listener.local_addr().unwrap());
    world.push(name(2), b"first");
    world.serve(|world| world.connected == [name(2)] && !world.streams.is_writing());
    let (mut far_end, from) = listener.accept().unwrap();
    let mut bytes = [0; 5];
    far_end.read_exact(&mut bytes).unwrap();
    let local = IpAddr::from([127, 0, 0, 78]);
    assert_eq!((&bytes, from.ip()), (b"first", local));
}

#[test]
fn a_connection_takes_another_port_where_the_first_leads_there_already() {
    let (mut world, _far_ends) = World::with_two();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap();
    // One more than there are ports.
    let count = u32::from(limits::CORE_PORTS) + 1;
    for index in 0..count {
        world.connect(name(2 + index), peer);
    }
    world.serve(|world| world.connected.len() == count as usize);
    assert_eq!(world.take_gone(), None);
    assert!(world.streams.dialing.is_empty());
}

#[test]
fn a_refused_or_late_connection_is_gone_once() {
    let (mut world, _far_ends) = World::with_two();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = closed.local_addr().unwrap();
    drop(closed);
    world.connect(name(2), addr);
    world.serve(|world| world.streams.len() == 2);
    assert_eq!(
        (world.take_gone(), world.take_gone()),
        (Some(name(2)), None)
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    world.connect(name(3), listener.local_addr().unwrap());
    let due = NOW + limits::CONNECT_MAX;
    assert_eq!(world.streams.deadline(), Some(due));
    let early = due - Duration::from_micros(1);
    let counters = &mut Counters::default();
    world.streams.expire(&mut world.ring, early, counters);
    assert_eq!(world.take_gone(), None);
    world.streams.expire(&mut world.ring, due, counters);
    let deadline = world.streams.deadline();
    assert_eq!((world.take_gone(), deadline), (Some(name(3)), None));
    assert!(world.streams.dialing.is_empty());
}
