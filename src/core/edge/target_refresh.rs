//! Dialogs whose phone sends over another flow than the one that their Record-Route
//! leads to. A re-INVITE or an UPDATE refreshes the target of its dialog (RFC 3261 §12.2):
//! from then on requests of the far side go to the flow that the refresh came over, though
//! the route set stays as it was. The table (`refreshed_dialogs`) has a row for each such dialog.
//!
//! Nobody but the phone itself can have a row made:
//!
//! - The refresh shows the mark that we gave to the phone's side of the dialog
//!   (`trust::mark`), in a Route value that names the phone. The far side has another mark,
//!   and a stranger has none.
//! - The far side has accepted the refresh. A copy that somebody else sends is out of order
//!   in the dialog by its CSeq, and refused (RFC 3261 §12.2.2).
//! - The phone receives at the flow. A connection proves that; over UDP the address must have
//!   answered something that was sent to it. A re-INVITE must be acknowledged over that flow.
//!
//! A registration is newer evidence of where the phone is than any row: each one that is
//! made or renewed ends the rows of its phone, on all shards. What is lost of the table, by
//! the death of the edge or at a bound, the next registration or refresh mends.

use super::flow_bindings::User;
use super::refreshed_dialogs;
use super::state::Edge;
use super::{Token, UserPartKind};
use crate::id::Flow;
use crate::proxy::{Context, Pass, Step};
use crate::scan::{Method, Name};
use crate::send::{EdgeHandoff, Far, Handoff, Refresh};
use crate::trust::Principal;
use crate::trust::mark::PhoneName;

impl Edge {
    /// Looks at a request that a phone sends within a dialog. A target refresh over another
    /// flow than the Route leads to is noted in the plan, for its 2xx; the ACK to the 2xx of
    /// a re-INVITE makes the flow that of the dialog.
    pub(super) fn note_refresh(&mut self, pass: &mut Pass<'_, '_>, token: &Token) {
        let request = pass.request;
        let (method, principal) = (request.message.method(), request.ingress.principal);
        let refreshes = method == Method::Update || method.forms_dialog();
        let ends = matches!(method, Method::Ack | Method::Bye) && !self.refreshed.is_empty();
        let is_phone = matches!(principal, Principal::Subscriber | Principal::Stranger);
        if !(ends || refreshes) || !is_phone || !request.in_dialog() {
            return;
        }
        let (now, flow) = (pass.now, request.ingress.flow);
        // Anybody can write the address of a registered phone into a datagram, so over UDP only
        // a Route that leads to this very flow shows that the phone itself sends.
        let is_doubtful = principal == Principal::Subscriber && matches!(flow, Flow::Udp { .. });
        let is_own = (refreshes || is_doubtful) && self.leads_to(pass, token, flow);
        // A refresh over the flow that the Route leads to changes something only where the
        // dialog has a row, which it then brings back to that flow.
        if is_doubtful && !is_own || is_own && self.refreshed.is_empty() {
            return;
        }
        let Some(refresh) = self.identify_refresh(pass, token, PhoneSide::Sender) else {
            return;
        };
        if method == Method::Ack {
            let row = self.refreshed.row(now, refresh.dialog);
            let is_awaited = row.is_some_and(|row| row.awaited == Some(flow));
            if is_awaited && self.shown(pass).leads_on {
                self.set_dialog_flow(&mut pass.step(), refresh, flow);
            }
            return;
        }
        let is_known = self.refreshed.row(now, refresh.dialog).is_some();
        let is_elsewhere = refreshes && !is_own;
        if (is_known || is_elsewhere) && self.shown(pass).leads_on {
            pass.plan.refresh = Some(refresh);
        }
    }

    /// Whether the Route leads to `flow` without a row of this table: its token is of a phone
    /// that is registered there, or its flow token is that of `flow`.
    fn leads_to(&self, pass: &Pass<'_, '_>, token: &Token, flow: Flow) -> bool {
        if token.is_empty() {
            return self.names_its_flow(pass.request, pass.plan.pop)
                || self.names_its_phone(pass, flow);
        }
        let subscriber = token.subscriber();
        self.flow_bindings.has_flow(pass.now, flow, &subscriber)
    }

    /// Whether the name of a phone in our Route values (`PhoneName`) is that of the phone which
    /// is registered over `flow` as the user in From.
    fn names_its_phone(&self, pass: &Pass<'_, '_>, flow: Flow) -> bool {
        let claim = User::of_uri(pass.request.bytes, pass.uri_of_from());
        let found = self.flow_bindings.on_flow(pass.now, flow, claim);
        let Some(found) = found else { return false };
        let fields = found.subscriber.fields();
        self.marks.places().any(|key| {
            let name = self.marks.phone_name_by(key, &fields);
            self.named_in_route(pass, key) == Some(name)
        })
    }

    /// Whether somebody receives at the far end of `flow`: always on a connection, over UDP
    /// where a phone is registered over it or its address has answered us.
    fn is_reachable_at(&self, step: &mut Step<'_>, flow: Flow) -> bool {
        match flow {
            Flow::Stream(_) => true,
            Flow::Udp { peer, .. } => {
                self.flow_bindings.is_used(step.now, flow)
                    || step.net.guard.is_proven(step.now, peer.ip())
            }
        }
    }

    /// A request of which `note_refresh` took note got its 2xx. An UPDATE moves its dialog to
    /// the flow it came over, a re-INVITE does so once it is acknowledged, a BYE ends the row.
    pub(super) fn on_refresh_accepted(&mut self, step: &mut Step<'_>, context: &Context) {
        let Some(refresh) = context.refresh else {
            return;
        };
        let flow = context.ingress.flow;
        if context.method == Method::Invite {
            self.refreshed.await_ack(step.now, refresh, flow);
        } else if context.method == Method::Bye {
            let dialog = refresh.dialog;
            self.refreshed.end(dialog);
            step.net
                .tell_all(&Handoff::Edge(EdgeHandoff::Over { dialog }));
        } else {
            self.set_dialog_flow(step, refresh, flow);
        }
    }

    /// Makes `flow` that of the dialog, on this shard and on all others. Over UDP each shard
    /// does so only where the address has answered one of them: each has met other phones.
    fn set_dialog_flow(&mut self, step: &mut Step<'_>, refresh: Refresh, flow: Flow) {
        let is_proven = self.is_reachable_at(step, flow);
        if is_proven {
            let is_set = self.refreshed.set(step.now, refresh, flow);
            step.net.counters.refreshed += u64::from(is_set);
        }
        if !step.net.shard_set.is_alone()
            && let Some(far) = step.net.flows.far(flow)
        {
            step.net.flows.share(flow);
            step.net.tell_all(&Handoff::Edge(EdgeHandoff::Refreshed {
                refresh,
                flow,
                far,
                is_proven,
            }));
        }
    }

    /// Another shard has taken a target refresh. `is_proven`: that shard knows that somebody
    /// receives at `flow`; otherwise this one must know.
    pub(super) fn on_refresh_elsewhere(
        &mut self,
        step: &mut Step<'_>,
        refresh: Refresh,
        flow: Flow,
        far: Far,
        is_proven: bool,
    ) {
        if !is_proven && !self.is_reachable_at(step, flow) {
            return;
        }
        step.net.flows.learn(flow, far);
        let is_set = self.refreshed.set(step.now, refresh, flow);
        step.net.counters.refreshed += u64::from(is_set && !is_proven);
    }

    /// The flow of a request for a phone by its dialog's row; `None` where the dialog has none, or
    /// the flow is gone or the one that the request itself came over. A BYE is noted in the plan:
    /// its 2xx ends the row.
    pub(super) fn refreshed_flow(&self, pass: &mut Pass<'_, '_>, token: &Token) -> Option<Flow> {
        if self.refreshed.is_empty() || !pass.request.in_dialog() {
            return None;
        }
        let refresh = self.identify_refresh(pass, token, PhoneSide::Receiver)?;
        let flow = self.refreshed.row(pass.now, refresh.dialog)?.flow?;
        if pass.request.message.method() == Method::Bye {
            pass.plan.refresh = Some(refresh);
        }
        let leads = flow != pass.request.ingress.flow && pass.net.flows.lives(flow);
        leads.then_some(flow)
    }

    /// The hashes by which the table knows the dialog of a request and the phone that its Route
    /// names; `None` where it names none. `end`: whether that phone is the sender or the receiver
    /// of the request. The hash of the dialog is over the phone too, not Call-ID and tags alone:
    /// of two phones that one call has forked to, one could answer with the other's tag.
    fn identify_refresh(
        &self,
        pass: &Pass<'_, '_>,
        token: &Token,
        end: PhoneSide,
    ) -> Option<Refresh> {
        let by = |key| self.refresh_by(key, pass, token, end);
        let now = by(0)?;
        let has_row = |it: &Refresh| self.refreshed.row(pass.now, it.dialog).is_some();
        if self.refreshed.is_empty() || has_row(&now) {
            return Some(now);
        }
        // A row that was made before the key has changed is that of the name of then.
        let mut before = self.marks.places().skip(1).filter_map(by);
        Some(before.find(has_row).unwrap_or(now))
    }

    /// The same where the phone has its name by the key at that place.
    fn refresh_by(
        &self,
        key: usize,
        pass: &Pass<'_, '_>,
        token: &Token,
        end: PhoneSide,
    ) -> Option<Refresh> {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let phone = self.phone_of(pass, token, key)?;
        let (from, to) = (message.from_tag()?.of(bytes), message.to_tag()?.of(bytes));
        let (own, other) = match end {
            PhoneSide::Sender => (from, to),
            PhoneSide::Receiver => (to, from),
        };
        let call_id = message.first(Name::CallId)?.value.of(bytes);
        let name = [b"refresh", call_id, own, other, &phone.to_be_bytes()];
        let dialog = pass.net.secrets.hash(name);
        Some(Refresh { dialog, phone })
    }

    /// The hash of the phone that our Route values of the request name.
    fn phone_of(&self, pass: &Pass<'_, '_>, token: &Token, key: usize) -> Option<u64> {
        let name = if token.is_empty() {
            self.named_in_route(pass, key)?
        } else if token.is_anonymous() {
            return None;
        } else {
            self.marks.phone_name_by(key, &token.subscriber().fields())
        };
        Some(refreshed_dialogs::phone(pass.net, &name))
    }

    /// The name of the phone in our Route values, where those hold no token of a registration:
    /// it follows from the flow token by the key at that place, or stands there itself.
    fn named_in_route(&self, pass: &Pass<'_, '_>, key: usize) -> Option<PhoneName> {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let routes = message.routes().iter().take(pass.plan.pop);
        let routes = routes.filter_map(|route| route.uri.as_ref());
        let target = message.target().filter(|_| pass.plan.restore_uri);
        // The last user part is the one we wrote: a phone may put its configured outbound proxy,
        // with any user part, before every route set.
        let mut users = routes.chain(target).filter_map(|uri| uri.user);
        let user = users.next_back()?.of(bytes);
        Some(match UserPartKind::of(user) {
            UserPartKind::Flow => self.marks.phone_name_by(key, &[user]),
            UserPartKind::Clear | UserPartKind::Sealed | UserPartKind::Foreign => {
                PhoneName::read(user)?
            }
        })
    }
}

/// Which end of a request the phone is at whose side of the dialog is meant.
#[derive(Clone, Copy)]
enum PhoneSide {
    Sender,
    Receiver,
}
