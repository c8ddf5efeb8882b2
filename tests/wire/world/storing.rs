//! The store of the homes, which writes when the test says so where an answer waits for it.

use steadfast::shard::Input;

use super::World;

/// A record that an answer waits for.
pub(super) struct Unwritten {
    /// The shard that has put it out.
    pub(super) index: usize,
    pub(super) number: u64,
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

impl World {
    /// The store writes the first records that wait for it, and says so.
    pub(crate) fn store_writes(&mut self, records: usize) {
        let written = records.min(self.unwritten.len());
        let written: Vec<_> = self.unwritten.drain(..written).collect();
        for record in written {
            self.write(record.key, record.value);
            let up_to = record.number;
            self.input(record.index, Input::Stored { up_to });
        }
        self.settle();
    }

    /// The store cannot be written, and says so. It keeps what it was given.
    pub(crate) fn store_fails(&mut self, home: &str) {
        for index in self.shards_of(home) {
            self.input(index, Input::NotStored);
        }
        self.settle();
    }

    /// Keeps a row for the next run of a home, or takes it out.
    pub(super) fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        match value {
            Some(value) => self.store.insert(key, value),
            None => self.store.remove(&key),
        };
    }
}
