//! The far side of a flow, as a shard tells it another.

use serde::{Deserialize, Serialize};

use super::End;

/// The far side of a flow, as the shard that holds it knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Far {
    /// Its end of the flow.
    pub end: End,
    /// The domains its certificate names.
    pub identities: Box<[Box<str>]>,
}
