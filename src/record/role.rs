//! The two ends of a connection.

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that has connected.
    Client,
    /// The one that was connected to.
    Server,
}
