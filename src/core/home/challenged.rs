//! Phones that cannot answer the first challenge of several, and try no other: they
//! stop at the 401 and register anew a while later, again without credentials.
//! Whoever does so is asked for MD5 alone from then on, which every phone knows
//!
//!
//! Not proof of anything: who is asked for MD5 proves as much as before, and
//! whoever forges the repetition of another phone's REGISTER has it asked for what
//! stood among its challenges anyway. What finds its place taken is forgotten,
//! and costs that phone one more REGISTER.

use crate::limits;

/// What one shard remembers of whom it has challenged, place by place of a hash.
#[derive(Debug)]
pub(super) struct Challenged {
    places: Box<[Place]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// A hash of source, user and Call-ID, which a phone keeps while it registers
    /// (RFC 3261 §10.2.4).
    phone: u64,
    cseq: u32,
    wants_md5: bool,
}

impl Default for Challenged {
    fn default() -> Self {
        Self {
            places: vec![Place::default(); limits::CHALLENGED_MAX].into(),
        }
    }
}

impl Challenged {
    /// A phone has sent no credentials that could be read. True: it did so before,
    /// was challenged, and is asked for MD5 alone. The same CSeq is a
    /// retransmission, and a lower one a series of its own.
    pub(super) fn asks_again(&mut self, phone: u64, cseq: u32) -> bool {
        let place = self.place(phone);
        let is_known = place.phone == phone && cseq >= place.cseq;
        let wants_md5 = is_known && (place.wants_md5 || cseq > place.cseq);
        *place = Place {
            phone,
            cseq,
            wants_md5,
        };
        wants_md5
    }

    /// A phone has answered a challenge, rightly or not, with this algorithm. True: it
    /// is asked for MD5 alone still.
    pub(super) fn answered(&mut self, phone: u64, is_md5: bool) -> bool {
        let place = self.place(phone);
        if place.phone != phone {
            return false;
        }
        let wants_md5 = is_md5 && place.wants_md5;
        if !wants_md5 {
            *place = Place::default();
        }
        wants_md5
    }

    fn place(&mut self, phone: u64) -> &mut Place {
        let count = self.places.len() as u64;
        let index = usize::try_from(phone % count).unwrap_or_default();
        &mut self.places[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_again_without_credentials_is_asked_for_md5() {
        let mut all = Challenged::default();
        assert!(!all.asks_again(7, 1));
        assert!(!all.asks_again(7, 1), "a retransmission");
        assert!(all.asks_again(7, 2));
        assert!(all.asks_again(7, 2), "a retransmission");
        assert!(all.asks_again(7, 9) && all.answered(7, true));
        assert!(!all.asks_again(7, 3), "it has started anew");
        assert!(!all.answered(8, true));
    }

    #[test]
    fn who_answers_is_believed_to_read_what_it_answered() {
        let mut all = Challenged::default();
        all.asks_again(7, 1);
        all.answered(7, true);
        // It begins every refresh like that.
        assert!(!all.asks_again(7, 3));
        assert!(all.asks_again(7, 4));
        all.answered(7, true);
        assert!(all.asks_again(7, 6), "it could not before");
        all.answered(7, false);
        assert!(!all.asks_again(7, 8));
    }

    #[test]
    fn a_place_is_taken_by_whoever_comes_last() {
        let mut all = Challenged::default();
        all.asks_again(7, 1);
        all.asks_again(7 + limits::CHALLENGED_MAX as u64, 1);
        assert!(!all.asks_again(7, 2));
        assert!(all.asks_again(7, 3));
    }
}
