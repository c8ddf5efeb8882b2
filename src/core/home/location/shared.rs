//! What changes at an address of record, and what it comes to, in a store that several homes
//! share.
//!
//! There a binding is a field of its own, so that two homes which change one address of record at
//! once each change their own bindings. The name of a field is what makes a binding the same one
//! (RFC 3261 §10.3, RFC 5626 §6): `f`, the reg-id, a space and the instance where it has both,
//! else `c` and the contact. Its value is a number that grows with each update (8), and the
//! binding as in `stored`.
//!
//! A change is a version (1), a kind (1), the version of the address of record that it was made
//! on (8), the CSeq (4), the length of the Call-ID (4), the Call-ID; then for each binding that
//! is another than before the length of the field (4), the field, the length of the binding (4)
//! and the binding, of no length where it is gone. All numbers big-endian.

use crate::edit::decimal;
use crate::limits;
use crate::time::{Instant, Wall};

use super::stored::{FIXED, read, read_array, write};
use super::{Binding, Location, binding, stored};

const VERSION: u8 = 1;

/// By what rule a change is carried out in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The Contacts of a REGISTER, by Call-ID and CSeq of the bindings that they mean (RFC 3261
    /// §10.3 step 7).
    Register,
    /// `Contact: *`: every binding goes, whoever else has made some (step 6).
    Clear,
    /// Every binding goes: the subscriber was revoked.
    Revoke,
    /// What the store may have lost: bindings that it has newer ones of stay.
    Restore,
}

impl ChangeKind {
    const ALL: [Self; 4] = [Self::Register, Self::Clear, Self::Revoke, Self::Restore];

    /// The number of it.
    #[must_use]
    pub fn number(self) -> u8 {
        let at = Self::ALL.iter().position(|kind| *kind == self);
        at.and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
    }
}

/// What a change comes from.
#[derive(Clone, Copy, Debug)]
pub(in crate::home) struct ChangeOrigin<'a> {
    pub(in crate::home) kind: ChangeKind,
    pub(in crate::home) call_id: &'a [u8],
    pub(in crate::home) cseq: u32,
}

/// A change as `Output::Store` has it, where several homes share the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedChange<'a> {
    /// By what rule it is carried out.
    pub kind: ChangeKind,
    /// The version of the address of record that it was made on; 0: none was known.
    pub base: u64,
    /// Call-ID of its REGISTER.
    pub call_id: &'a [u8],
    /// CSeq of its REGISTER.
    pub cseq: u32,
    rest: &'a [u8],
}

/// One binding of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedBinding<'a> {
    /// The name of its field.
    pub field: &'a [u8],
    /// What it is now; `None`: it is gone.
    pub binding: Option<&'a [u8]>,
}

impl<'a> SharedChange<'a> {
    /// Reads what the core wrote; `None` for anything else.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&[version, kind], mut rest) = bytes.split_first_chunk()?;
        let kind = *ChangeKind::ALL.get(usize::from(kind))?;
        let base = u64::from_be_bytes(read_array(&mut rest)?);
        let cseq = u32::from_be_bytes(read_array(&mut rest)?);
        let call_id = read_text(&mut rest)?;
        let change = Self {
            kind,
            base,
            call_id,
            cseq,
            rest,
        };
        let mut left = rest;
        while !left.is_empty() {
            read_text(&mut left)?;
            read_text(&mut left)?;
        }
        (version == VERSION).then_some(change)
    }

    /// The bindings that are others than before.
    pub fn bindings(&self) -> impl Iterator<Item = ChangedBinding<'a>> + use<'a> {
        let mut rest = self.rest;
        std::iter::from_fn(move || {
            let field = read_text(&mut rest)?;
            let binding = read_text(&mut rest)?;
            Some(ChangedBinding {
                field,
                binding: Some(binding).filter(|binding| !binding.is_empty()),
            })
        })
    }
}

/// When the binding in a field of the store ends, in seconds since 1970; `None`: no home has
/// written that.
fn field_expiry(value: &[u8]) -> Option<u64> {
    let mut rest = value.get(size_of::<u64>()..)?;
    let (expiry, _) = rest.split_first_chunk()?;
    let expiry = u64::from_be_bytes(*expiry);
    let wall = Wall { unix_at_zero: 0 };
    read(Instant::ZERO, wall, &mut rest)?;
    rest.is_empty().then_some(expiry)
}

/// The row of an address of record, as `Input::Shared` takes it, of the fields that the store
/// has: no more than an address of record may have, the last updated ones. `None`: none is left.
#[must_use]
pub fn row_of<'a>(fields: impl Iterator<Item = &'a [u8]>, now_unix: u64) -> Option<Vec<u8>> {
    let is_live = |value: &&[u8]| field_expiry(value).is_some_and(|expiry| expiry > now_unix);
    let mut values: Vec<&[u8]> = fields.filter(is_live).collect();
    // Each begins with the number of its update.
    values.sort_unstable();
    let over = values.len().saturating_sub(limits::CONTACTS_MAX);
    let values = values.get(over..)?;
    let count = u8::try_from(values.len()).ok().filter(|count| *count > 0)?;
    let mut row = vec![stored::VERSION, count];
    for value in values {
        row.extend_from_slice(value.get(size_of::<u64>()..)?);
    }
    Some(row)
}

impl Location {
    /// Appends what an address of record has now and had not `before`.
    pub(in crate::home) fn encode_change(
        &self,
        now: Instant,
        aor: &[u8],
        wall: Wall,
        origin: ChangeOrigin<'_>,
        before: &[Binding],
        out: &mut Vec<u8>,
    ) {
        out.extend([VERSION, origin.kind.number()]);
        out.extend(self.version(aor).to_be_bytes());
        out.extend(origin.cseq.to_be_bytes());
        write_text(out, |out| out.extend_from_slice(origin.call_id));
        let after = || self.bindings(now, aor);
        for old in before {
            if !after().any(|new| is_same_field(old, new)) {
                write_text(out, |out| write_field(old, out));
                write_text(out, |_| ());
            }
        }
        for new in after().filter(|new| !before.contains(new)) {
            write_text(out, |out| write_field(new, out));
            write_text(out, |out| write(new, wall, out));
        }
    }

    /// How many bytes `encode_change` appends at the most.
    pub(in crate::home) fn change_len(
        &self,
        now: Instant,
        aor: &[u8],
        origin: ChangeOrigin<'_>,
        before: &[Binding],
    ) -> usize {
        /// Two lengths, and a reg-id in digits.
        const MORE: usize = 24;
        let old = before.iter().map(|binding| binding.text.len() + MORE);
        let new = self.bindings(now, aor);
        let new = new.map(|binding| 2 * binding.text.len() + FIXED + MORE);
        old.sum::<usize>() + new.sum::<usize>() + origin.call_id.len() + 32
    }
}

/// Whether two bindings of one address of record are in one field.
fn is_same_field(a: &Binding, b: &Binding) -> bool {
    let (mut one, mut other) = (Vec::new(), Vec::new());
    write_field(a, &mut one);
    write_field(b, &mut other);
    one == other
}

/// Appends the name of the field of a binding.
fn write_field(binding: &Binding, out: &mut Vec<u8>) {
    match (binding.reg_id(), binding.instance()) {
        (Some(reg_id), Some(instance)) => {
            out.push(b'f');
            decimal(out, reg_id);
            out.push(b' ');
            let from = out.len();
            out.extend_from_slice(instance);
            let folded = binding::folded_len(instance);
            out[from..from + folded].make_ascii_lowercase();
        }
        (None, _) | (Some(_), None) => {
            out.push(b'c');
            out.extend_from_slice(binding.contact());
        }
    }
}

/// Appends what `write` appends, behind the length of it.
fn write_text(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend([0; 4]);
    write(out);
    let len = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

fn read_text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u32::from_be_bytes(read_array(rest)?);
    let (text, left) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    *rest = left;
    Some(text)
}

#[cfg(test)]
mod tests;
