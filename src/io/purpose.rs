//! What a socket that the configuration names is for.

/// Whom a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Everybody.
    Everybody,
    /// The phones of another member, once its address has come here.
    Covering,
    /// Peers, who connect to `core_listen`.
    Peers,
    /// Peers, who meet the node on its core side.
    CoreSide,
}
