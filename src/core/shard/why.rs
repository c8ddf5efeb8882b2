//! What an operator asks of a running shard.

use super::{RoleState, Shard};
use crate::home::BindingReport;
use crate::limits;
use crate::proxy::{Facts, Reason, Reject, Step};
use crate::time::{Instant, date};
use crate::uri::Uri;

impl Shard {
    /// Why a request for `uri` goes where it goes: every fact that decides it, and
    /// what was refused of late to or from whom it names. Changes nothing but the
    /// order in which old bindings give way.
    #[must_use]
    pub fn why(&mut self, now: Instant, uri: &[u8]) -> Facts {
        // No message is the reason for what is decided here.
        self.net.recorder.begin();
        let step = &mut Step::new(&mut self.net, now);
        let mut facts = match &mut self.role {
            RoleState::Edge(edge) => edge.why(step, uri),
            RoleState::Home(home) => home.why(step, uri),
            RoleState::Agent(_) => Facts::default(),
        };
        if let Ok(parsed) = Uri::of(uri) {
            let all = self
                .proxy
                .rejected()
                .concerning(self.net.wall, uri, &parsed);
            let all: Vec<_> = all.collect();
            let first = all.len().saturating_sub(limits::REJECTS_IN_WHY);
            for reject in all.iter().skip(first) {
                let when = date(reject.unix_micros / 1_000_000);
                facts.say("rejected", format!("{when} {}", reject.sentence()));
            }
        }
        facts
    }

    /// What was refused here: how often for which reason, and the last of it.
    #[must_use]
    pub fn rejected(&self) -> (Vec<Reason>, Vec<Reject>) {
        let rejected = self.proxy.rejected();
        let last = rejected.last(self.net.wall).collect();
        (rejected.reasons().to_vec(), last)
    }

    /// The counts alone.
    #[must_use]
    pub fn reasons(&self) -> Vec<Reason> {
        self.proxy.rejected().reasons().to_vec()
    }

    /// The bindings of an address of record.
    ///
    /// # Errors
    /// A sentence that says why there can be none.
    pub fn bindings(&self, now: Instant, uri: &[u8]) -> Result<BindingReport, String> {
        match &self.role {
            RoleState::Home(home) => home.bindings(&self.net, now, uri),
            RoleState::Edge(_) | RoleState::Agent(_) => Err(NO_HOME.to_owned()),
        }
    }

    /// Takes them away, here and at the edges. Every shard of a home is to be told.
    ///
    /// # Errors
    /// A sentence that says why there can be none.
    pub fn remove_bindings(&mut self, now: Instant, uri: &[u8]) -> Result<BindingReport, String> {
        match &mut self.role {
            RoleState::Home(home) => home.remove(&mut Step::new(&mut self.net, now), uri),
            RoleState::Edge(_) | RoleState::Agent(_) => Err(NO_HOME.to_owned()),
        }
    }
}

/// What a node says that has no bindings.
const NO_HOME: &str = "this node is no home, and bindings are kept by homes alone";
