//! Dialogs whose phone has gone on over another flow than their Record-Route leads
//! to. A re-INVITE or an UPDATE refreshes the target of its dialog (RFC 3261 §12.2):
//! what the far side sends from then on is for where that came from, though the
//! route set stays as it was.
//!
//! A row is made by the phone alone, and by nothing that anybody else can do:
//!
//! - It shows the mark that we gave to its side of the dialog (`trust::mark`), in a
//!   value that names it. The far side has another one, and a stranger has none.
//! - The far side has accepted the request: one that is sent again by somebody who
//!   has seen it is older than the dialog, and refused (RFC 3261 §12.2.2).
//! - It is where it says. A connection proves that; of a datagram the address must
//!   be known to get what is sent to it. An INVITE is acknowledged from there, too.
//!
//! The registration of the phone is newer evidence than any row: each one that is
//! made or renewed ends the rows of its phone, on all shards. What is lost here, by
//! the death of the edge or at a bound, the next registration or refresh mends.

pub(super) mod rows;

use super::flow_bindings::User;
use super::state::Edge;
use super::{Kind, Subscriber, Token};
use crate::id::Flow;
use crate::proxy::{Context, Pass, Step, Verdict};
use crate::scan::{Method, Name};
use crate::send::{Far, Handoff, Refresh};
use crate::trust::Principal;
use crate::trust::mark::PhoneName;

use rows::{fields, phone};

impl Edge {
    /// A phone sends a request on: says in the plan whether it refreshes its dialog
    /// from another flow, and takes its ACK for the end of that.
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
        // A datagram that bears the address of another phone is no word of this one's.
        let is_doubtful = principal == Principal::Subscriber && matches!(flow, Flow::Udp { .. });
        let is_own = (refreshes || is_doubtful) && self.leads_to(pass, token, flow);
        if is_doubtful && !is_own || is_own && self.refreshed.is_empty() {
            return;
        }
        let Some(refresh) = self.refresh_of(pass, token, End::Sender) else {
            return;
        };
        if method == Method::Ack {
            let row = self.refreshed.row(now, refresh.dialog);
            let is_awaited = row.is_some_and(|row| row.awaited == Some(flow));
            if is_awaited && self.shown(pass).leads_on {
                self.refresh(&mut pass.step(), refresh, flow);
            }
            return;
        }
        let is_known = self.refreshed.row(now, refresh.dialog).is_some();
        let is_elsewhere = refreshes && !is_own;
        if (is_known || is_elsewhere) && self.shown(pass).leads_on {
            pass.plan.refresh = Some(refresh);
        }
    }

    /// Whether what the Route names is at the flow in any case.
    fn leads_to(&self, pass: &Pass<'_, '_>, token: &Token, flow: Flow) -> bool {
        if token.is_empty() {
            return self.names_its_flow(pass.request, pass.plan.pop)
                || self.names_its_phone(pass, flow);
        }
        let subscriber = token.subscriber();
        self.registrations.has_flow(pass.now, flow, &subscriber)
    }

    /// Whether the values that are ours name the phone of the flow that calls like this.
    fn names_its_phone(&self, pass: &Pass<'_, '_>, flow: Flow) -> bool {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let claim = User::of_uri(bytes, message.uri_of_from(bytes));
        let found = self.registrations.on_flow(pass.now, flow, claim);
        let name = found.map(|found| self.phone_name(&found.subscriber));
        name.is_some() && name == self.named_in_route(pass)
    }

    /// Whether somebody is at the far end of a flow, and nobody has only written it
    /// into a datagram.
    fn is_there(&self, step: &mut Step<'_>, flow: Flow) -> bool {
        match flow {
            Flow::Stream(_) => true,
            Flow::Udp { peer, .. } => {
                self.registrations.is_used(step.now, flow)
                    || step.net.guard.is_proven(step.now, peer.ip())
            }
        }
    }

    /// A request was accepted.
    pub(super) fn refreshed_with(&mut self, step: &mut Step<'_>, context: &Context) {
        let Some(refresh) = context.refresh else {
            return;
        };
        let flow = context.ingress.flow;
        if context.method == Method::Invite {
            self.refreshed.expect(step.now, refresh, flow);
        } else if context.method == Method::Bye {
            let dialog = refresh.dialog;
            self.refreshed.end(dialog);
            step.net.tell_all(&Handoff::Over { dialog });
        } else {
            self.refresh(step, refresh, flow);
        }
    }

    /// A dialog has another flow from now on, on every shard that knows the address
    /// to be true: each of them has met other phones.
    fn refresh(&mut self, step: &mut Step<'_>, refresh: Refresh, flow: Flow) {
        let is_proven = self.is_there(step, flow);
        if is_proven {
            let is_set = self.refreshed.set(step.now, refresh, flow);
            step.net.counters.refreshed += u64::from(is_set);
        }
        if !step.net.shard_set.is_alone()
            && let Some(far) = step.net.flows.far(flow)
        {
            step.net.flows.share(flow);
            step.net.tell_all(&Handoff::Refreshed {
                refresh,
                flow,
                far,
                is_proven,
            });
        }
    }

    /// Another shard says so.
    pub(super) fn told_of_refresh(
        &mut self,
        step: &mut Step<'_>,
        refresh: Refresh,
        flow: Flow,
        far: Far,
        is_proven: bool,
    ) {
        if !is_proven && !self.is_there(step, flow) {
            return;
        }
        step.net.flows.learn(flow, far);
        let is_set = self.refreshed.set(step.now, refresh, flow);
        step.net.counters.refreshed += u64::from(is_set && !is_proven);
    }

    /// The way of a request for a phone whose dialog has another flow than the Route
    /// leads to.
    pub(super) fn follow(&self, pass: &mut Pass<'_, '_>, token: &Token) -> Option<Verdict> {
        if self.refreshed.is_empty() || !pass.request.in_dialog() {
            return None;
        }
        let refresh = self.refresh_of(pass, token, End::Receiver)?;
        let flow = self.refreshed.row(pass.now, refresh.dialog)?.flow?;
        if pass.request.message.method() == Method::Bye {
            pass.plan.refresh = Some(refresh);
        }
        let leads = flow != pass.request.ingress.flow && pass.net.flows.lives(flow);
        leads.then(|| self.incoming(pass, flow, token))
    }

    /// Which side of which dialog the phone has that the Route names, and which phone
    /// it is; `None` where it names none. The phone is part of the dialog's name:
    /// several that one call has forked to share the rest, and whoever is called can
    /// give himself any tag.
    fn refresh_of(&self, pass: &Pass<'_, '_>, token: &Token, end: End) -> Option<Refresh> {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let phone = self.phone_of(pass, token)?;
        let (from, to) = (message.from_tag()?.of(bytes), message.to_tag()?.of(bytes));
        let (own, other) = match end {
            End::Sender => (from, to),
            End::Receiver => (to, from),
        };
        let call_id = message.first(Name::CallId)?.value.of(bytes);
        let name = [b"refresh", call_id, own, other, &phone.to_be_bytes()];
        let dialog = pass.net.secrets.hash(name);
        Some(Refresh { dialog, phone })
    }

    /// The hash of the phone that the request names by its values that are ours.
    fn phone_of(&self, pass: &Pass<'_, '_>, token: &Token) -> Option<u64> {
        let name = if token.is_empty() {
            self.named_in_route(pass)?
        } else if token.is_anonymous() {
            return None;
        } else {
            self.phone_name(&token.subscriber())
        };
        Some(phone(pass.net, &name))
    }

    /// Who the values that are ours and have no token say it is: a flow token, or the
    /// name that we gave to a phone.
    fn named_in_route(&self, pass: &Pass<'_, '_>) -> Option<PhoneName> {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let routes = message.routes().iter().take(pass.plan.pop);
        let routes = routes.filter_map(|route| route.uri.as_ref());
        let target = message.target().filter(|_| pass.plan.restore_uri);
        // Behind the one that a phone puts before every route set.
        let mut users = routes.chain(target).filter_map(|uri| uri.user);
        let user = users.next_back()?.of(bytes);
        Some(match Kind::of(user) {
            Kind::Flow => self.marks.phone_name(&[user]),
            Kind::Clear | Kind::Sealed | Kind::Foreign => PhoneName::read(user)?,
        })
    }

    /// What a phone is called in the value of its own side.
    pub(super) fn phone_name(&self, phone: &Subscriber<'_>) -> PhoneName {
        self.marks.phone_name(&fields(phone))
    }
}

/// Whose side of a dialog.
#[derive(Clone, Copy)]
enum End {
    Sender,
    Receiver,
}
