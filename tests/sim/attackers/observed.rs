//! What the attackers have observed: every message that ever came to one of them.

use std::net::SocketAddr;

use super::Draft;
use crate::dice::Dice;
use crate::text::{Text, uri_of};

/// So many of each are kept.
const KEPT: usize = 60;

#[derive(Default)]
pub(super) struct Observed {
    /// Route values, as nodes wrote them.
    pub(super) values: Vec<String>,
    /// Where phones are.
    pub(super) contacts: Vec<String>,
    /// Dialogs that one of them is in.
    pub(super) dialogs: Vec<Dialog>,
    /// Requests that came, with all their Vias.
    pub(super) stacks: Vec<Stack>,
    /// Requests of their own that were kept, by their branch.
    pub(super) sent: Vec<(String, Draft)>,
}

/// A dialog as the side of an attacker has it.
#[derive(Clone, Debug)]
pub(super) struct Dialog {
    pub(super) attacker: usize,
    pub(super) call_id: String,
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) routes: Vec<String>,
    pub(super) target: String,
    pub(super) cseq: u32,
    /// The node that it came from.
    pub(super) at: SocketAddr,
}

impl Dialog {
    /// A request inside the dialog, but for its method.
    pub(super) fn draft(&self) -> Draft {
        Draft {
            uri: self.target.clone(),
            routes: self.routes.clone(),
            from: self.local.clone(),
            to: self.remote.clone(),
            call_id: self.call_id.clone(),
            cseq: self.cseq + 1,
            ..Draft::default()
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Stack {
    pub(super) attacker: usize,
    pub(super) from: SocketAddr,
    pub(super) tcp: bool,
    pub(super) text: Text,
}

impl Observed {
    pub(super) fn learn(&mut self, text: &Text) {
        for header in [
            "record-route",
            "route",
            "path",
            "service-route",
            "outbound-proxy",
        ] {
            for value in text.values(header) {
                keep(&mut self.values, value);
            }
        }
        let contact = text.first("contact").map(uri_of).unwrap_or_default();
        if contact.contains("10.0.2.") {
            keep(&mut self.contacts, contact);
        }
        if self.stacks.len() > KEPT {
            self.stacks.remove(0);
        }
        if self.sent.len() > KEPT {
            self.sent.remove(0);
        }
    }

    pub(super) fn enter(&mut self, dialog: Dialog) {
        let known = |one: &Dialog| {
            (&one.call_id, &one.local, &one.remote)
                == (&dialog.call_id, &dialog.local, &dialog.remote)
        };
        if self.dialogs.iter().any(known) {
            return;
        }
        if self.dialogs.len() == KEPT {
            self.dialogs.remove(0);
        }
        self.dialogs.push(dialog);
    }

    pub(super) fn sent_under(&self, branch: &str) -> Option<&Draft> {
        let mut sent = self.sent.iter();
        sent.find(|(own, _)| own == branch).map(|(_, draft)| draft)
    }
}

fn keep(list: &mut Vec<String>, value: &str) {
    if list.iter().any(|known| known == value) {
        return;
    }
    if list.len() == KEPT {
        list.remove(0);
    }
    list.push(value.to_owned());
}

/// One of them by chance.
pub(super) fn any<'a, T>(list: &'a [T], dice: &mut Dice) -> Option<&'a T> {
    (!list.is_empty()).then(|| &list[dice.index(list.len())])
}
