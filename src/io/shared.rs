//! Between the shards of a home and a store that several homes share: what a shard asks, and
//! what it is told.

/// A question of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedQuestion {
    /// Its index among the shards.
    pub shard: u8,
    /// As in `Output::Ask`.
    pub id: u64,
    /// The address of record.
    pub key: Box<[u8]>,
}

/// What the store has of an address of record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedAnswer {
    /// Which.
    pub key: Box<[u8]>,
    /// The version of its bindings.
    pub version: u64,
    /// What they are.
    pub bindings: KeptBindings,
    /// As in `Output::Store`; 0: this is the outcome of none.
    pub number: u64,
    /// It has refused that change.
    pub is_refused: bool,
    /// As in `Output::Ask`; 0: nobody has asked.
    pub ask: u64,
}

/// The bindings of an address of record in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptBindings {
    /// As in `home::SharedBindings`.
    AsHere,
    /// As in `home::SharedBindings`.
    Are(Option<Box<[u8]>>),
    /// The store cannot say.
    Unknown,
}
