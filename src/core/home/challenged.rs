//! Phones that cannot answer the first challenge of several, and try no other: they
//! stop at the 401 and register anew a while later, again without credentials.
//! Such a phone is challenged with MD5 alone from then on, which every phone knows
//!
//!
//! That proves nothing, and need not: a phone that answers MD5 proves as much as before, and
//! whoever forges the repetition of another phone's REGISTER has it challenged with what
//! stood among its challenges anyway. A phone whose slot another one takes is forgotten, which
//! costs it one more REGISTER.

use serde::{Deserialize, Serialize};

use crate::carry::{Carried, Reader, Unreadable, Writer};
use crate::limits;

/// What one shard remembers of the phones it has challenged, a slot for each hash.
#[derive(Debug)]
pub(super) struct Challenged {
    slots: Box<[Slot]>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Slot {
    /// A hash of source, user and Call-ID, which a phone keeps while it registers
    /// (RFC 3261 §10.2.4).
    phone: u64,
    cseq: u32,
    md5_alone: bool,
}

impl Default for Challenged {
    fn default() -> Self {
        Self {
            slots: vec![Slot::default(); limits::CHALLENGED_MAX].into(),
        }
    }
}

impl Challenged {
    /// Notes a REGISTER without credentials that could be read. True when the phone is to be
    /// challenged with MD5 alone, since it was challenged before and comes again with a higher
    /// CSeq. The same CSeq is a retransmission, and a lower one begins a new series.
    pub(super) fn on_no_credentials(&mut self, phone: u64, cseq: u32) -> bool {
        let slot = self.slot(phone);
        let is_known = slot.phone == phone && cseq >= slot.cseq;
        let md5_alone = is_known && (slot.md5_alone || cseq > slot.cseq);
        *slot = Slot {
            phone,
            cseq,
            md5_alone,
        };
        md5_alone
    }

    /// Notes that a phone has answered a challenge, rightly or not, with MD5 or with another
    /// algorithm. True when it is still to be challenged with MD5 alone.
    pub(super) fn on_credentials(&mut self, phone: u64, is_md5: bool) -> bool {
        let slot = self.slot(phone);
        if slot.phone != phone {
            return false;
        }
        let md5_alone = is_md5 && slot.md5_alone;
        if !md5_alone {
            *slot = Slot::default();
        }
        md5_alone
    }

    fn slot(&mut self, phone: u64) -> &mut Slot {
        let count = self.slots.len() as u64;
        let index = usize::try_from(phone % count).unwrap_or_default();
        &mut self.slots[index]
    }
}

impl Carried for Challenged {
    fn write(&self, out: &mut Writer) {
        let used = || {
            self.slots
                .iter()
                .enumerate()
                .filter(|(_, slot)| slot.phone != 0)
        };
        out.value(&used().count());
        used().for_each(|slot| out.value(&slot));
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Result<(), Unreadable> {
        let used: usize = input.value()?;
        for _ in 0..used {
            let (index, slot): (usize, Slot) = input.value()?;
            *self.slots.get_mut(index).ok_or(Unreadable)? = slot;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_no_challenge_is_asked_for_md5() {
        let mut challenged = Challenged::default();
        assert!(!challenged.on_no_credentials(7, 1));
        assert!(!challenged.on_no_credentials(7, 1), "a retransmission");
        assert!(challenged.on_no_credentials(7, 2));
        assert!(challenged.on_no_credentials(7, 2), "a retransmission");
        assert!(challenged.on_no_credentials(7, 9) && challenged.on_credentials(7, true));
        assert!(!challenged.on_no_credentials(7, 3), "it has started anew");
        assert!(!challenged.on_credentials(8, true));
    }

    #[test]
    fn who_has_answered_is_challenged_with_all_again() {
        let mut challenged = Challenged::default();
        challenged.on_no_credentials(7, 1);
        challenged.on_credentials(7, true);
        // It begins every refresh like that.
        assert!(!challenged.on_no_credentials(7, 3));
        assert!(challenged.on_no_credentials(7, 4));
        challenged.on_credentials(7, true);
        assert!(challenged.on_no_credentials(7, 6), "it could not before");
        challenged.on_credentials(7, false);
        assert!(!challenged.on_no_credentials(7, 8));
    }

    #[test]
    fn a_slot_is_taken_by_whoever_comes_last() {
        let mut challenged = Challenged::default();
        challenged.on_no_credentials(7, 1);
        challenged.on_no_credentials(7 + limits::CHALLENGED_MAX as u64, 1);
        assert!(!challenged.on_no_credentials(7, 2));
        assert!(challenged.on_no_credentials(7, 3));
    }
}
