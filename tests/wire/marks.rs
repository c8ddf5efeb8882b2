//! The marks of dialogs in Record-Route values, as somebody without the key sees
//! them, and how the tests come by one.

use super::phone::Phone;
use super::world::World;

/// The letter of its side and way, and its MAC.
const LEN: usize = 13;
/// The parameter of one that stands alone, and of one behind the name of who handles the
/// dialog.
const ALONE: &str = ";dlg=";
const NAMED: &str = ";gunk=";

/// Where the mark of a value and what belongs to it begins, and where the mark itself
/// begins and ends; it has one.
#[track_caller]
fn place(value: &str) -> (usize, usize, usize) {
    let alone = value.match_indices(ALONE);
    let places: Vec<_> = alone.chain(value.match_indices(NAMED)).collect();
    let [(param, name)] = places[..] else {
        panic!("no mark in {value}, or two");
    };
    let behind = value[param + 1..].find([';', '>']);
    let end = behind.unwrap_or_else(|| panic!("{value}")) + param + 1;
    let begin = end - LEN;
    let mark = &value[begin..end];
    let is_base32 = mark
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v'));
    assert!(
        mark.starts_with(['p', 'q', 's', 't']) && is_base32,
        "{value}"
    );
    let before = &value[param..begin];
    assert!(before == ALONE || before.ends_with('.'), "{value}");
    let from = if name == ALONE { param } else { begin - 1 };
    (from, begin, end)
}

/// The mark of a value.
#[track_caller]
pub(crate) fn mark_of(value: &str) -> &str {
    let (_, begin, end) = place(value);
    &value[begin..end]
}

/// The value without it.
#[track_caller]
pub(crate) fn unmarked(value: &str) -> String {
    let (from, _, end) = place(value);
    format!("{}{}", &value[..from], &value[end..])
}

/// The value without it and without the name of a phone.
#[track_caller]
pub(crate) fn bare(value: &str) -> String {
    let value = if is_marked(value) {
        unmarked(value)
    } else {
        value.to_owned()
    };
    match value.split_once('@') {
        Some((before, host)) if before.len() - before.find(':').unwrap() == 6 => {
            format!("{}:{host}", before.split(':').next().unwrap())
        }
        _ => value,
    }
}

/// Whether a value has one.
pub(crate) fn is_marked(value: &str) -> bool {
    value.contains(ALONE) || value.contains(NAMED)
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
