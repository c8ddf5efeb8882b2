//! On whose behalf a request comes to the home, and what he may have (P-6,
//! RFC 3325; the table "Who may do what" of the README, row by row).
//!
//! An edge vouches for the way a request came and says in P-Asserted-Identity
//! which subscriber sent it; where it says nothing, nobody is known. A request whose
//! From is a subscriber's and that comes without that assertion is challenged, with two
//! exceptions: it shows the mark of its dialog, or it is an emergency call.

use super::authenticate::As;
use super::state::Home;
use crate::omit::Omit;
use crate::proxy::{Pass, Reply, Request, Verdict};
use crate::scan::Method;
use crate::scan::Name;
use crate::scan::auth::Digest;
use crate::span::Span;
use crate::trust::{Principal, identity};
use crate::uri::{Uri, same_host};

/// Who a request is from, whichever way it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A subscriber of this domain.
    Subscriber,
    /// Somebody of another carrier, which vouches for him.
    Carrier,
    /// Nobody in particular.
    Stranger,
}

impl Home {
    /// Finds out who calls, and asks him where he has to prove it; and the user
    /// that has proven here who he is.
    pub(super) fn identify(
        &mut self,
        pass: &mut Pass<'_, '_>,
    ) -> Result<(Caller, Option<Span>), Reply> {
        let (bytes, request) = (pass.request.bytes, pass.request);
        let domain = self.settings.domain.as_bytes();
        let is_ours = |uri: &Uri| same_host(uri.host.of(bytes), domain);
        let from = request.message.uri_of_from(bytes);
        if from.is_none() && !request.is_emergency() {
            // Whoever is called may read a host of ours in it.
            return Err(Reply::new(400, "Malformed From"));
        }
        // An address of ours in the host means the domain.
        let from = from.filter(|uri| self.is_own_host(pass.net, bytes, uri));
        let asserted = self.asserted(request);
        let mut caller = match (request.ingress.principal, asserted.as_ref()) {
            (Principal::Home | Principal::Edge, Some(uri)) if is_ours(uri) => Caller::Subscriber,
            (Principal::Home | Principal::Edge, Some(_)) | (Principal::Carrier, _) => {
                Caller::Carrier
            }
            // An edge has challenged him already.
            (Principal::Home | Principal::Edge, None) if !self.settings.challenges_calls => {
                Caller::Subscriber
            }
            (
                Principal::Home | Principal::Edge | Principal::Subscriber | Principal::Stranger,
                _,
            ) => Caller::Stranger,
        };
        if request.ingress.principal == Principal::Carrier {
            let is_ours = |uri: &Uri| self.is_own_host(pass.net, bytes, uri);
            let disowned = identity::disowned(bytes, request.message, is_ours);
            pass.plan.consumed.extend(disowned);
        }
        let user = |uri: Uri| uri.user.unwrap_or_default();
        let claims_another =
            |uri: &Uri| from.is_some_and(|from| user(from).of(bytes) != user(*uri).of(bytes));
        let is_known = match caller {
            Caller::Subscriber => !asserted.as_ref().is_some_and(claims_another),
            // It vouches for its own.
            Caller::Carrier => from.is_none(),
            Caller::Stranger => from.is_none() && !self.comes_unasked(request),
        };
        let is_ack = request.message.method() == Method::Ack;
        if is_ack && !is_known {
            // It cannot be asked, and calls in another name than its own.
            caller = Caller::Stranger;
        }
        let is_asked = self.settings.challenges_calls
            && !is_known
            && !is_ack
            && !request.is_emergency()
            && !pass.net.omit.leaves_out(Omit::Asking);
        if !is_asked || request.in_dialog() && self.shows_mark(pass) {
            return Ok((caller, None));
        }
        let claim = from.map_or_else(|| self.credentials_user(request), user);
        self.authenticate(pass, claim, As::Proxy)?;
        Ok((Caller::Subscriber, Some(claim)))
    }

    /// Whether an ACK may go on, as every other request may: that of a 2xx belongs
    /// to the dialog, and shows its mark; that of a refusal ends with who refused.
    pub(super) fn may_acknowledge(&self, pass: &mut Pass<'_, '_>, caller: Caller) -> bool {
        let is_ack = pass.request.message.method() == Method::Ack;
        let may = !is_ack || caller == Caller::Subscriber || self.shows_mark(pass);
        pass.net.counters.unmarked += u64::from(!may);
        may
    }

    /// Whether a request came through an edge from somebody that the edge knows
    /// nothing of, and that it does not let in as a guest either.
    fn comes_unasked(&self, request: &Request<'_>) -> bool {
        request.ingress.principal.is_cluster_node() && !request.shows_guest()
    }

    /// The identity that an element of the trust domain asserts.
    fn asserted(&self, request: &Request<'_>) -> Option<Uri> {
        let is_believed = request.ingress.principal.is_trusted();
        let value = identity::asserted(request.bytes, request.message).filter(|_| is_believed)?;
        Uri::in_value(request.bytes, value).ok()
    }

    /// The user of the credentials for our realm.
    fn credentials_user(&self, request: &Request<'_>) -> Span {
        let bytes = request.bytes;
        let lines = request.message.all(Name::ProxyAuthorization);
        let mut ours = lines.filter_map(|header| Digest::parse(bytes, header.value).ok().flatten());
        let realm = self.settings.domain.as_bytes();
        ours.find(|digest| digest.realm.of(bytes) == realm)
            .map_or_else(Span::default, |digest| digest.username)
    }

    /// Writes down who has proven himself, for whoever is told further on: not
    /// for himself in a refusal, and not for another domain where he asks for
    /// privacy (I-1, I-3).
    pub(super) fn assert(&self, pass: &mut Pass<'_, '_>, proven: Option<Span>) {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let Some(user) = proven else { return };
        if pass.request.ingress.principal.is_trusted() {
            let lines = message.others(bytes, identity::ASSERTED);
            pass.plan.consumed.extend(lines.map(|header| header.line));
        }
        if pass.plan.is_leaving && identity::wants_privacy(bytes, message) {
            return;
        }
        let aor = [user.of(bytes), b"@", self.settings.domain.as_bytes()];
        identity::assert(&aor, &mut pass.plan.lines);
    }

    /// Whether the request shows the mark of its dialog in a Route value of ours
    /// and goes on as that says.
    pub(super) fn shows_mark(&self, pass: &mut Pass<'_, '_>) -> bool {
        pass.net.omit.leaves_out(Omit::HomeMark) || pass.shown(&self.marks).any
    }

    /// The refusal of a request that is to go to a URI which is not ours;
    /// `None`: its caller may go there.
    pub(super) fn refusal(
        &self,
        pass: &mut Pass<'_, '_>,
        caller: Caller,
        bytes: &[u8],
        uri: &Uri,
    ) -> Option<Verdict> {
        if self.names_edge(bytes, uri) {
            // Through a token one gets past the services of this home: only within
            // a dialog that has gone through them.
            let names_phone = uri.user.is_some();
            if names_phone && self.shows_mark(pass) {
                return None;
            }
            pass.net.counters.unmarked += 1;
            return Some(pass.not_allowed("Not In A Dialog Of Ours"));
        }
        let may_call = caller == Caller::Subscriber && self.settings.calls_out.permit(bytes, uri);
        if may_call || self.shows_mark(pass) {
            return None;
        }
        Some(pass.not_allowed(match caller {
            Caller::Subscriber => "Domain Not Allowed",
            Caller::Carrier | Caller::Stranger => "No Relaying For Strangers",
        }))
    }
}
