//! The marks of dialogs in Record-Route values, as somebody without the key sees
//! them, and how the tests come by one.

use super::phone::Phone;
use super::world::World;

/// The letter of its side and way, and its MAC.
const LEN: usize = 17;

/// Where the mark of a value begins and ends; it has one.
#[track_caller]
fn place(value: &str) -> (usize, usize) {
    let mut places = value.match_indices(";dlg=");
    let at = places
        .next()
        .unwrap_or_else(|| panic!("no mark in {value}"));
    assert_eq!(places.next(), None, "{value}");
    let begin = at.0 + ";dlg=".len();
    let end = begin + LEN;
    let mark = &value[begin..end];
    let is_base32 = mark
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v'));
    assert!(
        mark.starts_with(['p', 'q', 's', 't']) && is_base32,
        "{value}"
    );
    assert!(value[end..].starts_with([';', '>']), "{value}");
    (begin, end)
}

/// The mark of a value.
#[track_caller]
pub(crate) fn mark_of(value: &str) -> &str {
    let (begin, end) = place(value);
    &value[begin..end]
}

/// The value without it.
#[track_caller]
pub(crate) fn unmarked(value: &str) -> String {
    let (begin, end) = place(value);
    format!("{}{}", &value[..begin - ";dlg=".len()], &value[end..])
}

/// Somebody past the home whom a registered phone has called: he knows the
/// phone's value of the Record-Route, and turns to its edge with nothing else.
/// Nothing of the call is left to be received.
#[track_caller]
pub(crate) fn called_by(
    world: &mut World,
    phone: &Phone,
    edge: &str,
    (name, addr): (&'static str, &'static str),
) -> Phone {
    let mut called = Phone::foreign(name, addr);
    let uri = format!("sip:{name}@{addr}");
    phone.send(world, edge, &phone.request("INVITE", &uri, 1, "", ""));
    let invite = called.receive(world);
    assert!(invite.starts_with("INVITE "), "{invite}");
    called.dialog(&invite, false);
    called.routes.drain(..called.routes.len() - 1);
    world.forget();
    called
}
