//! What the home takes back: a subscriber who is none any more, or has another
//! password, is nobody's phone here from that moment on (I-14).
//!
//! The home says so by a NOTIFY in the manner of RFC 3680, with the address of
//! record in its From; `home::revoking` has the other side. It is believed from a
//! home that made it itself: what a home relays for somebody has his Via too. Every flow of that address is forgotten, whatever the
//! instance and the reg-id and whichever shard holds it, and so is who holds it. His
//! connections stay: they are a stranger's, until he registers again. What the
//! subscriber has under way goes on, and so does a call, whose requests prove
//! themselves by what we wrote into its routes.

use super::flow_bindings::{self, User};
use super::holding;
use super::state::Edge;
use crate::limits::TOKEN_FIELD_MAX;
use crate::proxy::{Pass, Reply, Request, Step, Verdict};
use crate::scan::Method;
use crate::send::Handoff;
use crate::time::Instant;
use crate::trust::Principal;
use crate::uri::write_user;

impl Edge {
    /// The answer to a home that revokes somebody; `None` for everything else.
    pub(super) fn revoked(&mut self, pass: &mut Pass<'_, '_>) -> Option<Verdict> {
        let request = pass.request;
        let (bytes, message) = (request.bytes, request.message);
        let is_it = message.method() == Method::Notify
            && request.is_first_hop()
            && message.routes().is_empty()
            && says(request, "Event", b"reg")
            && says(
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
        pass.net.tell_all(&Handoff::Revoked {
            user: user.into(),
            realm: realm.into(),
        });
        Some(Verdict::Answer(Reply::new(200, "OK")))
    }

    /// Nobody is registered as this user of this realm over a flow of this shard any more.
    pub(super) fn forget_user(&mut self, step: &mut Step<'_>, user: User<'_>) {
        let (own, directory) = (step.net.shard_set.own, &mut self.directory);
        let (refreshed, marks) = (&mut self.refreshed, &self.marks);
        let forgotten = self.registrations.forget_user(user, |left, subscriber| {
            refreshed.outdate(step.net, marks, subscriber);
            if let Some(phone) = holding::release_phone(left, step, subscriber) {
                directory.set(step.now, phone, own, Instant::ZERO);
            }
        });
        step.net.counters.revoked += u64::try_from(forgotten).unwrap_or_default();
    }
}

/// Whether a header that no room here has a name for says this.
fn says(request: &Request<'_>, name: &str, value: &[u8]) -> bool {
    let mut lines = request.message.others(request.bytes, name);
    lines.any(|header| header.value.of(request.bytes).eq_ignore_ascii_case(value))
}
