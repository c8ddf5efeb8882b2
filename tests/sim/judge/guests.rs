//! Promises to those who are no subscribers: calls for help, and calls from
//! other domains where the edges let them in.

use super::admission::Visit;
use super::promises::{LIFE, LONGEST, Tested};
use crate::world::{Harm, World};

impl Visit {
    /// A call of theirs arrives at a phone that is registered for certain.
    pub(super) fn judge(&self, world: &World, tested: &mut Tested) -> Result<(), String> {
        let end = self.sent + LIFE;
        let phones = world.cast.phones.iter();
        let devices = phones.filter(|phone| phone.user == self.user);
        let mut devices = devices.map(|phone| phone.addr.ip());
        let early = self.sent - LONGEST;
        // Where a phone was before, an edge may look for it first.
        let is_served = devices.any(|phone| {
            world.is_served(phone, self.sent, end)
                && !world.has_borne(Harm::Moved, phone, early, end)
        });
        if !is_served
            || !world.has_one_registrar()
            || !world.homes_are_clean(early, end)
            || !world.was_clean(self.edge, early, end)
        {
            return Ok(());
        }
        let count = if self.user == crate::cast::SOS {
            &mut tested.emergencies
        } else {
            &mut tested.guests
        };
        *count += 1;
        if self.reached.is_none_or(|reached| reached > end) {
            return Err("a caller who needs no account did not get through".to_owned());
        }
        Ok(())
    }
}
