//! Revocation by the home: a user who is no subscriber any more, or has another
//! password, has no binding here from that moment on (I-14).
//!
//! The home sends a NOTIFY as that of RFC 3680, with the address of
//! record in its From; `home::revoking` has the other side. It is believed from a
//! home that is its first hop: what a home relays for somebody has a further Via. Every flow
//! binding of that address of record ends, with any instance and reg-id and on every shard.
//! Connections stay: they are a stranger's until the user registers again. Requests under way
//! go on, and so do calls, whose requests prove themselves by the marks in their routes.

use super::flow_bindings::{self, User};
use super::phone_holder;
use super::state::Edge;
use crate::limits::TOKEN_FIELD_MAX;
use crate::proxy::{Pass, Reply, Request, Step, Verdict};
use crate::scan::Method;
use crate::send::{EdgeHandoff, Handoff};
use crate::time::Instant;
use crate::trust::Principal;
use crate::uri::write_user;

impl Edge {
    /// Carries out a revocation; `None` for every other request.
    pub(super) fn answer_revocation(&mut self, pass: &mut Pass<'_, '_>) -> Option<Verdict> {
        let request = pass.request;
        let (bytes, message) = (request.bytes, request.message);
        let is_it = message.method() == Method::Notify
            && request.is_first_hop()
            && message.routes().is_empty()
            && has_value(request, "Event", b"reg")
            && has_value(
                request,
                "Subscription-State",
                b"terminated;reason=deactivated",
            )
            && request.ingress.principal == Principal::Home;
        if !is_it {
            return None;
        }
        let from = message.uri_of_from(bytes)?;
        let mut user = Vec::new();
        write_user(from.user?.of(bytes), &mut user);
        let mut room = [0; TOKEN_FIELD_MAX];
        let realm = flow_bindings::lowered(from.host.of(bytes), &mut room);
        let gone = User { name: &user, realm };
        self.forget_user(&mut pass.step(), gone);
        pass.net.tell_all(&Handoff::Edge(EdgeHandoff::Revoked {
            user: user.into(),
            realm: realm.into(),
        }));
        Some(Verdict::Answer(Reply::new(200, "OK")))
    }

    /// Ends all flow bindings of a user of a realm on this shard.
    pub(super) fn forget_user(&mut self, step: &mut Step<'_>, user: User<'_>) {
        let (own, directory) = (step.net.shard_set.own, &mut self.directory);
        let (refreshed, marks) = (&mut self.refreshed, &self.marks);
        let forgotten = self.flow_bindings.forget_user(user, |left, subscriber| {
            refreshed.end_all_of_subscriber(step.net, marks, subscriber);
            if let Some(phone) = phone_holder::release_phone(left, step, subscriber) {
                directory.set(step.now, phone, own, Instant::ZERO);
            }
        });
        step.net.counters.revoked += u64::try_from(forgotten).unwrap_or_default();
    }
}

/// Whether a header that `scan::Name` does not know has this value.
fn has_value(request: &Request<'_>, name: &str, value: &[u8]) -> bool {
    let mut lines = request.message.others(request.bytes, name);
    lines.any(|header| header.value.of(request.bytes).eq_ignore_ascii_case(value))
}
