//! The addresses of the lab, where `wire/settings.rs` looks for them: the
//! bodies play with one shard and need no `World`.

/// Address of the home.
pub(crate) const HOME: &str = "127.0.0.10:5060";
/// Addresses of the edges.
pub(crate) const EDGES: [&str; 3] = ["127.0.0.11:5060", "127.0.0.12:5060", "127.0.0.13:5060"];

/// How the edges write their tokens.
#[derive(Clone, Copy)]
pub(crate) enum Tokens {
    Clear,
    Sealed,
}
