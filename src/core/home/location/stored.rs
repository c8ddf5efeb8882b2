//! The bindings of one address of record as bytes, for the store.
//!
//! A version, a count, then each binding from the least to the most recently
//! updated: expiry in seconds since 1970 (8), CSeq (4), reg-id (4), q (2),
//! the offsets in its text (12), length of the text (2), the text. All
//! numbers big-endian. The flow is not stored: it does not outlive the process.

use crate::id::Flow;
use crate::limits;
use crate::time::{Duration, Instant, Wall};

use super::binding::Offsets;
use super::{Aor, Binding, Location};

pub(super) const VERSION: u8 = 1;
/// Bytes of a binding beside its text.
pub(super) const FIXED: usize = 32;

/// What was read back from the store could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotRestored {
    /// The bytes are not what `encode` writes.
    #[error("the stored bindings are damaged")]
    Corrupt,
    /// `limits::AORS_MAX` addresses of record are there already.
    #[error("too many addresses of record")]
    Full,
}

impl Location {
    /// How many bytes `encode` appends.
    #[must_use]
    pub(crate) fn encoded_len(&self, now: Instant, aor: &[u8]) -> usize {
        let bindings = self.bindings(now, aor);
        bindings
            .map(|binding| FIXED + binding.text.len())
            .sum::<usize>()
            + 2
    }

    /// Appends the live bindings of an address of record to `out`. False, with
    /// nothing appended, when there are none: the store then forgets it.
    pub(crate) fn encode(&self, now: Instant, aor: &[u8], wall: Wall, out: &mut Vec<u8>) -> bool {
        let count = self.bindings(now, aor).count();
        let Some(count) = u8::try_from(count).ok().filter(|count| *count > 0) else {
            return false;
        };
        out.extend([VERSION, count]);
        for binding in self.bindings(now, aor) {
            write(binding, wall, out);
        }
        true
    }

    /// Takes back what `encode` wrote, in place of the bindings the address of
    /// row has. Expired ones are left out, and none gets more than
    /// `limits::EXPIRES_MAX_S`, whatever the calendar did in between.
    ///
    /// # Errors
    /// Bytes that `encode` does not write, or no room; nothing changes then.
    pub(crate) fn restore(
        &mut self,
        now: Instant,
        wall: Wall,
        aor: &[u8],
        bytes: &[u8],
    ) -> Result<(), NotRestored> {
        let bindings = decode(now, wall, bytes).ok_or(NotRestored::Corrupt)?;
        self.replace(now, aor, bindings)
    }

    /// Takes over the row of another shard, with the flows of its bindings in
    /// their order; no value where no binding is left.
    ///
    /// # Errors
    /// As for `restore`.
    pub(crate) fn copy_in(
        &mut self,
        now: Instant,
        wall: Wall,
        aor: &[u8],
        value: Option<&[u8]>,
        flows: impl Iterator<Item = Option<Flow>>,
    ) -> Result<(), NotRestored> {
        let mut bindings = match value {
            Some(value) => decode(now, wall, value).ok_or(NotRestored::Corrupt)?,
            None => Vec::new(),
        };
        for (binding, flow) in bindings.iter_mut().zip(flows) {
            binding.flow = flow;
        }
        self.replace(now, aor, bindings)
    }

    /// Takes over a row of a store that several homes share, as this version of it. What has
    /// not changed keeps the flow that it has here.
    ///
    /// # Errors
    /// As for `restore`.
    pub(crate) fn take_in(
        &mut self,
        now: Instant,
        wall: Wall,
        aor: &[u8],
        value: Option<&[u8]>,
        version: u64,
    ) -> Result<(), NotRestored> {
        let mut bindings = match value {
            Some(value) => decode(now, wall, value).ok_or(NotRestored::Corrupt)?,
            None => Vec::new(),
        };
        for binding in &mut bindings {
            let mut known = self.bindings(now, aor);
            let same = known.find(|known| known.is_update(binding));
            binding.flow = same.and_then(|known| known.flow);
        }
        self.replace(now, aor, bindings)?;
        self.set_version(aor, version);
        Ok(())
    }

    /// Puts back the bindings that an address of record has had, but for what has expired
    /// meanwhile.
    ///
    /// # Errors
    /// No room; nothing changes then.
    pub(crate) fn put_back(
        &mut self,
        now: Instant,
        aor: &[u8],
        bindings: Vec<Binding>,
    ) -> Result<(), NotRestored> {
        self.replace(now, aor, bindings)
    }

    /// Puts live bindings in place of what the address of record has.
    fn replace(
        &mut self,
        now: Instant,
        aor: &[u8],
        mut bindings: Vec<Binding>,
    ) -> Result<(), NotRestored> {
        bindings.retain(|binding| binding.is_live(now));
        bindings.shrink_to_fit();
        match self.find(aor) {
            Some(index) => {
                self.aors[index].bindings = bindings;
                self.remove_if_empty(index);
            }
            None if bindings.is_empty() => {}
            None if self.is_full() => return Err(NotRestored::Full),
            None => self.insert(Aor {
                name: aor.into(),
                bindings,
                version: 0,
            }),
        }
        Ok(())
    }
}

/// Appends one binding.
pub(super) fn write(binding: &Binding, wall: Wall, out: &mut Vec<u8>) {
    // Rounded up, so that a store and a load do not take a second off.
    let expires_unix = wall.unix(binding.expires + Duration::from_micros(999_999));
    out.extend(expires_unix.to_be_bytes());
    out.extend(binding.cseq.to_be_bytes());
    out.extend(binding.reg_id.to_be_bytes());
    out.extend(binding.q.to_be_bytes());
    let offsets = &binding.offsets;
    let (start, end) = offsets.instance;
    let text_len = u16::try_from(binding.text.len()).unwrap_or(u16::MAX);
    for offset in [
        offsets.contact_end,
        offsets.params_end,
        offsets.path_end,
        offsets.call_id_end,
        start,
        end,
        text_len,
    ] {
        out.extend(offset.to_be_bytes());
    }
    out.extend(&binding.text);
}

/// Reads what `encode` wrote; `None` for anything else.
fn decode(now: Instant, wall: Wall, bytes: &[u8]) -> Option<Vec<Binding>> {
    let (&[version, count], mut rest) = bytes.split_first_chunk()?;
    if version != VERSION || usize::from(count) > limits::CONTACTS_MAX {
        return None;
    }
    let mut bindings = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        bindings.push(read(now, wall, &mut rest)?);
    }
    rest.is_empty().then_some(bindings)
}

/// Reads what `write` wrote off the front of `rest`.
pub(super) fn read(now: Instant, wall: Wall, rest: &mut &[u8]) -> Option<Binding> {
    let expires = wall.instant(u64::from_be_bytes(read_array(rest)?));
    // The calendar may have been set back since.
    let longest = now + Duration::from_secs(limits::EXPIRES_MAX_S.into());
    let cseq = u32::from_be_bytes(read_array(rest)?);
    let reg_id = u32::from_be_bytes(read_array(rest)?);
    let q = u16::from_be_bytes(read_array(rest)?);
    let mut offsets = [0_u16; 7];
    for offset in &mut offsets {
        *offset = u16::from_be_bytes(read_array(rest)?);
    }
    let [
        contact_end,
        params_end,
        path_end,
        call_id_end,
        start,
        end,
        text_len,
    ] = offsets;
    let is_in_order = [0, contact_end, params_end, path_end, call_id_end, text_len].is_sorted()
        && [start, end, text_len].is_sorted();
    let is_keyed = contact_end > 0 && (reg_id == 0 || start < end);
    if !is_in_order || !is_keyed || q > 1000 {
        return None;
    }
    let (text, remaining) = rest.split_at_checked(text_len.into())?;
    *rest = remaining;
    let offsets = Offsets {
        contact_end,
        params_end,
        path_end,
        call_id_end,
        instance: (start, end),
    };
    Some(Binding {
        text: text.into(),
        offsets,
        q,
        cseq,
        reg_id,
        expires: expires.min(longest),
        flow: None,
    })
}

/// Takes the first `N` bytes off.
pub(super) fn read_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (array, remaining) = rest.split_first_chunk()?;
    *rest = remaining;
    Some(*array)
}

#[cfg(test)]
mod tests;
