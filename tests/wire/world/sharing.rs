//! A store that several homes share, which does something when the test says so.

use std::collections::BTreeMap;

use steadfast::home::{ChangeKind, SharedBindings, SharedChange, SharedRow, row_of};
use steadfast::shard::Input;

use super::World;
use super::staging::UNIX;
use super::storing::Unwritten;

/// A question that was not answered yet.
pub(super) struct Asked {
    index: usize,
    key: Vec<u8>,
    id: u64,
}

/// The bindings of an address of record.
type Fields = BTreeMap<Vec<u8>, Vec<u8>>;

/// What stands in the store: of each address of record the version and the fields.
#[derive(Default)]
pub(crate) struct Shared {
    rows: BTreeMap<Vec<u8>, (u64, Fields)>,
    version: u64,
    /// What has changed since the homes were told last.
    changed: Vec<Vec<u8>>,
    /// The next change comes too late: another home has taken a later one.
    pub(crate) refuses: bool,
}

impl Shared {
    fn row(&self, key: &[u8]) -> (u64, Option<Vec<u8>>) {
        let Some((version, fields)) = self.rows.get(key) else {
            return (self.version, None);
        };
        (*version, row_of(fields.values().map(|it| &it[..]), UNIX))
    }

    /// Carries out a change; false: the bindings are others than the home has.
    fn carry_out(&mut self, key: &[u8], change: &SharedChange<'_>) -> bool {
        self.version += 1;
        let stamp = self.version.to_be_bytes();
        let (version, fields) = self.rows.entry(key.to_vec()).or_default();
        let is_same = *version == change.base;
        *version = self.version;
        if matches!(change.kind, ChangeKind::Clear | ChangeKind::Revoke) {
            fields.clear();
        }
        for one in change.bindings() {
            match one.binding {
                Some(binding) => fields.insert(one.field.to_vec(), [&stamp, binding].concat()),
                None => fields.remove(one.field),
            };
        }
        self.changed.push(key.to_vec());
        is_same
    }
}

impl World {
    pub(super) fn note_asked(&mut self, index: usize, key: &[u8], id: u64) {
        let key = key.to_vec();
        self.asked.push(Asked { index, key, id });
    }

    /// How much was asked that was not answered yet.
    pub(crate) fn questions(&self) -> usize {
        self.asked.len()
    }

    /// The store carries out what was put out, and says what came of it.
    pub(crate) fn shared_carries_out(&mut self) {
        for record in std::mem::take(&mut self.unwritten) {
            let Unwritten {
                index, number, key, ..
            } = record;
            let value = record.value.expect("what is shared is a change");
            let change = SharedChange::read(&value).expect("it can be read");
            let is_refused = std::mem::take(&mut self.shared.refuses);
            let is_same = !is_refused && self.shared.carry_out(&key, &change);
            let (version, row) = self.shared.row(&key);
            let bindings = match is_same {
                true => SharedBindings::AsHere,
                false => SharedBindings::Are(row.as_deref()),
            };
            self.tell_shared(index, &key, version, bindings, (number, 0));
            if is_refused {
                self.input(index, Input::Refused { number });
            }
            self.input(index, Input::Stored { up_to: number });
        }
        self.settle();
    }

    /// Every shard of a home hears of what has changed.
    pub(crate) fn shared_tells(&mut self, home: &str) {
        for key in std::mem::take(&mut self.shared.changed) {
            let (version, row) = self.shared.row(&key);
            for index in self.shards_of(home) {
                let bindings = SharedBindings::Are(row.as_deref());
                self.tell_shared(index, &key, version, bindings, (0, 0));
            }
        }
        self.settle();
    }

    /// The store answers all that was asked.
    pub(crate) fn shared_answers(&mut self) {
        for Asked { index, key, id } in std::mem::take(&mut self.asked) {
            let (version, row) = self.shared.row(&key);
            let bindings = SharedBindings::Are(row.as_deref());
            self.tell_shared(index, &key, version, bindings, (0, id));
        }
        self.settle();
    }

    /// The store cannot say what was asked.
    pub(crate) fn shared_is_away(&mut self) {
        for Asked { index, id: ask, .. } in std::mem::take(&mut self.asked) {
            self.input(index, Input::Shared { row: None, ask });
        }
        self.settle();
    }

    fn tell_shared(
        &mut self,
        index: usize,
        key: &[u8],
        version: u64,
        bindings: SharedBindings<'_>,
        (number, ask): (u64, u64),
    ) {
        let row = Some(SharedRow {
            key,
            version,
            bindings,
            number,
        });
        self.input(index, Input::Shared { row, ask });
    }
}
