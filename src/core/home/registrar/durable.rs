//! A registrar whose 200 says that the registration is on disk (R-9; RFC 3261 §10.3).

use crate::home::state::Home;
use crate::proxy::{Pass, Reply, Step};

impl Home {
    /// Refuses a REGISTER before anything is changed where its answer could not wait for the
    /// store: another home may do better.
    pub(super) fn check_store(&self, pass: &mut Pass<'_, '_>) -> Result<(), Reply> {
        let is_full = self.tentative.is_full() || pass.net.held_answers.is_full();
        let is_able = !is_full && !self.tentative.is_failing(pass.now);
        if !self.settings.is_durable || is_able {
            return Ok(());
        }
        pass.plan.add_retry_after(0, &mut pass.net.secrets);
        Err(Reply::new(503, "Registrations Cannot Be Stored"))
    }

    /// Takes back every change that is not on disk, the last one first, and has the store and
    /// the other shards know.
    pub(in crate::home) fn take_back(&mut self, step: &mut Step<'_>) {
        self.tentative.note_not_stored(step.now);
        let mut aors = Vec::new();
        while let Some((aor, before)) = self.tentative.pop() {
            // There was room for it before.
            let put_back = self.location.put_back(step.now, &aor, before);
            debug_assert!(put_back.is_ok(), "an address of record finds no room");
            aors.push(aor);
        }
        aors.sort_unstable();
        aors.dedup();
        for aor in &aors {
            self.store(step, aor);
        }
    }
}
