//! The lab, and what an operator asks a node.

use crate::time::Duration;

/// How long the lab waits for a node to listen, or to end.
pub const LAB_PATIENCE: Duration = Duration::from_secs(12);
/// How often it looks.
pub const LAB_POLL: Duration = Duration::from_millis(20);
/// Refusals that each shard keeps for an operator to read, and that a node shows.
/// More: the oldest is written over.
pub const REJECTS_KEPT: usize = 1_000;
/// Bytes of an address of record that is kept with them; the rest is cut off.
pub(crate) const REJECT_USER_MAX: usize = 64;
/// Bytes of a method.
pub(crate) const REJECT_METHOD_MAX: usize = 12;
/// Reasons that are counted apart: more than there are. One more is not.
pub(crate) const REJECT_REASONS_MAX: usize = 128;
/// Refusals that `why` shows of one user: the last of them.
pub(crate) const REJECTS_IN_WHY: usize = 10;
