//! The bodies that `tests/replay.rs` runs, for libFuzzer: one each target.

#![allow(dead_code, reason = "each target uses one body")]

#[path = "../wire"]
mod wire {
    pub(crate) mod settings;
    #[path = "../replay/lab.rs"]
    pub(crate) mod world;
}

#[path = "../replay"]
mod replay {
    pub(crate) mod chance;
    pub(crate) mod corridor;
    pub(crate) mod framing;
    pub(crate) mod keys;
    pub(crate) mod names;
    pub(crate) mod pings;
    pub(crate) mod records;
    pub(crate) mod scanning;
    pub(crate) mod text;
    pub(crate) mod tokens;
    pub(crate) mod twin;
    pub(crate) mod values;
}

use steadfast::scan::Message;

pub(crate) fn frame(bytes: &[u8]) {
    replay::framing::check(bytes);
}

pub(crate) fn scan(bytes: &[u8]) {
    replay::scanning::check(bytes, &mut Message::default());
}

pub(crate) fn key(bytes: &[u8]) {
    replay::keys::check(bytes);
}

pub(crate) fn token(bytes: &[u8]) {
    replay::tokens::check(bytes);
}

pub(crate) fn stun(bytes: &[u8]) {
    replay::pings::check(bytes);
}

pub(crate) fn identity(bytes: &[u8]) {
    replay::names::check(bytes);
}

pub(crate) fn record(bytes: &[u8]) {
    replay::records::check(bytes);
}

pub(crate) fn shard(bytes: &[u8]) {
    replay::corridor::check(bytes);
}
