//! Who lives: peers at the ends of our flows, by keep-alives and what they owe an
//! answer to ([`Peers`]), and destinations by what became of requests ([`Health`]).

mod health;
mod peers;

pub use health::Health;
pub use peers::{KeepaliveRole, LivenessEvent, Peers};
