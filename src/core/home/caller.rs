//! On whose behalf a request comes to the home, and what he may have (P-6,
//! RFC 3325; the table "Who may do what" of the README, row by row).
//!
//! An edge vouches for the way a request came and says in P-Asserted-Identity
//! which subscriber sent it; where it says nothing, nobody is known. A request whose
//! From is a subscriber's and that comes without that assertion is challenged, with three
//! exceptions: it shows the mark of its dialog, it is an emergency call, or it is an ACK,
//! which cannot be challenged (RFC 3261 §22.1).

use super::authenticate::Challenger;
use super::state::Home;
use crate::omit::Omit;
use crate::proxy::{Pass, Reply, Request, Verdict};
use crate::scan::Method;
use crate::span::Span;
use crate::trust::{Principal, identity};
use crate::uri::{Uri, same_host};

/// Who a request is from, whether it came through an edge or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A subscriber of this domain.
    Subscriber,
    /// A customer of another carrier, which vouches for him.
    Carrier,
    /// Nobody in particular.
    Stranger,
}

impl Home {
    /// Finds out who calls. Where he has to prove it the second part is the user that he has
    /// proven to be, or the error the challenge.
    pub(super) fn identify_caller(
        &mut self,
        pass: &mut Pass<'_, '_>,
    ) -> Result<(Caller, Option<Span>), Reply> {
        let (bytes, request) = (pass.request.bytes, pass.request);
        let domain = self.settings.domain.as_bytes();
        let is_ours = |uri: &Uri| same_host(uri.host.of(bytes), domain);
        let from = pass.uri_of_from();
        if from.is_none() && !request.is_emergency() {
            // What we cannot read the called phone may read as a name of our domain, which
            // nobody has proven.
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
            // Where calls are not challenged whatever an edge lets in is a subscriber's.
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
        // The From names no subscriber but the caller himself: whoever is called is shown it.
        let from_is_own = match caller {
            Caller::Subscriber => !asserted.as_ref().is_some_and(claims_another),
            // A carrier vouches for its own customers, and not for our subscribers.
            Caller::Carrier => from.is_none(),
            Caller::Stranger => from.is_none() && !self.lacks_assertion(request),
        };
        let is_ack = request.message.method() == Method::Ack;
        if is_ack && !from_is_own {
            // An ACK cannot be challenged (RFC 3261 §22.1): it gets no more than a stranger.
            caller = Caller::Stranger;
        }
        let is_challenged = self.settings.challenges_calls
            && !from_is_own
            && !is_ack
            && !request.is_emergency()
            && !pass.net.omit.leaves_out(Omit::Asking);
        if !is_challenged || request.in_dialog() && self.shows_mark(pass) {
            return Ok((caller, None));
        }
        let claim = from.map_or_else(|| self.credentials_user(request), user);
        self.authenticate(pass, claim, Challenger::Proxy)?;
        Ok((Caller::Subscriber, Some(claim)))
    }

    /// Whether a request may go on; of others than ACK always true. The ACK of a 2xx belongs
    /// to the dialog, and shows its mark; that of a refusal ends at whoever has refused.
    pub(super) fn is_permitted_ack(&self, pass: &mut Pass<'_, '_>, caller: Caller) -> bool {
        let is_ack = pass.request.message.method() == Method::Ack;
        let may = !is_ack || caller == Caller::Subscriber || self.shows_mark(pass);
        pass.net.counters.unmarked += u64::from(!may);
        may
    }

    /// Whether a request came through an edge which asserts nothing of whoever sent it, and
    /// has not let him in as a guest either.
    fn lacks_assertion(&self, request: &Request<'_>) -> bool {
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
        let credentials = self.credentials(request, Challenger::Proxy);
        credentials.map_or_else(Span::default, |credentials| credentials.username)
    }

    /// Adds a P-Asserted-Identity for a user who has proven here who he is (I-1), to a request
    /// that is forwarded; not where the request leaves the trust domain and asks for privacy
    /// (I-3).
    pub(super) fn assert_identity(&self, pass: &mut Pass<'_, '_>, proven: Option<Span>) {
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

    /// Whether the request shows the mark of its dialog in a Route value of ours, and goes
    /// on to where the mark was made for.
    pub(super) fn shows_mark(&self, pass: &mut Pass<'_, '_>) -> bool {
        pass.net.omit.leaves_out(Omit::HomeMark) || pass.shown(&self.marks).any
    }

    /// The refusal of a request that is to go to a URI which is not ours; `None` where its
    /// caller may reach that.
    pub(super) fn refusal(
        &self,
        pass: &mut Pass<'_, '_>,
        caller: Caller,
        bytes: &[u8],
        uri: &Uri,
    ) -> Option<Verdict> {
        if self.names_edge(bytes, uri) {
            // A token leads to a phone past the services of this home, so it is taken only
            // within a dialog that has gone through them. Without a user there is no token.
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
