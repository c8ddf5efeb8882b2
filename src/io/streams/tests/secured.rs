//! Streams over TLS, once the handshake is over.

use steadfast_record as record;
use steadfast_record::{Cipher, Keys, Role};

use super::super::connection::Wire;
use super::*;
use crate::io::tls::Session;

/// Puts a session of TLS 1.2 on the first stream whose records have come to this number, and
/// gives the other end of it.
fn secure(world: &mut World, sequence: u64) -> (Slot, record::Session) {
    let keys = Keys {
        key: &[7; 16],
        iv: [8; 12],
        sequence,
    };
    let end = |role| record::Session::tls12(Cipher::Aes128Gcm, role, &keys, &keys).unwrap();
    let state = end(Role::Client).into_state();
    let session = Session::read(state.as_bytes(), Vec::new()).unwrap();
    let slot = world.streams.slot(name(0)).unwrap();
    let connection = world.streams.connections.get_mut(slot).unwrap();
    let peer = "127.0.0.1:5061".parse().unwrap();
    connection.tls = Some(Box::new(Wire::new(session, peer)));
    (slot, end(Role::Server))
}

#[test]
fn a_key_that_comes_to_its_end_is_told_of_once() {
    // C-18
    let (mut world, _far_ends) = World::with_two();
    let most = record::limits::AES_GCM_RECORDS_MAX;
    secure(&mut world, most - record::limits::RECORDS_LEFT - 2);
    let told = [0; 4].map(|_| {
        world.push(name(0), b"OPTIONS");
        world.turn(Duration::ZERO);
        world.streams.take_used_up()
    });
    assert_eq!(told, [None, Some(name(0)), None, None]);
    assert_eq!(world.take_gone(), None);
}

#[test]
fn what_was_authentic_before_a_bad_record_is_heard() {
    let (mut world, _far_ends) = World::with_two();
    let (slot, mut far) = secure(&mut world, 0);
    let mut bytes = Vec::new();
    for message in [&b"OPTIONS"[..], b"REGISTER", b"INVITE"] {
        far.seal([message], &mut bytes).unwrap();
    }
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let (ring, counters) = (&mut world.ring, &mut world.counters);
    let came = world.streams.unseal(ring, NOW, slot, &mut bytes, counters);
    assert_eq!(came, Some(Came::Sealed(name(0))));
    assert_eq!(world.streams.plain(), b"OPTIONSREGISTER");
    assert_eq!(world.counters.tls_failed, 1);
    // It ends with that, and what is said to it goes nowhere.
    world.push(name(0), b"200");
    assert_eq!(
        (world.take_gone(), world.take_gone()),
        (Some(name(0)), None)
    );
}
