//! Every call is ended, however far it has come (RFC 3261 §15).

use super::Agent;
use super::answering::respond;
use super::call::{CallStage, fail};
use crate::proxy::Step;

impl Agent {
    /// Ends every call.
    pub(super) fn hang_up(&mut self, step: &mut Step<'_>) {
        for index in (0..self.calls.len()).rev() {
            let number = self.calls[index].number;
            match &mut self.calls[index].stage {
                CallStage::Calling {
                    provisional,
                    hangup,
                    ..
                } => {
                    *hangup = true;
                    if *provisional {
                        self.cancel(step, number);
                    }
                }
                CallStage::Ringing(_) => self.decline(step, index),
                // RFC 3261 §15: a BYE before the ACK would meet a caller who
                // does not know of the call.
                CallStage::Answered { hangup } => *hangup = true,
                CallStage::Up => self.leave(step, index),
                CallStage::Leaving => {}
            }
        }
    }

    /// Refuses a call that rings.
    fn decline(&mut self, step: &mut Step<'_>, index: usize) {
        let call = self.calls.remove(index);
        if let CallStage::Ringing(incoming) = call.stage {
            respond(step, incoming.server, 486, incoming.busy);
        }
        fail(step.net, call.number, 486, "it was declined".to_owned());
    }
}
