//! Following the redirect of an edge that has not the flow (S-23 to S-25, B-10): the caller
//! never sees it, a second one is not followed, and it leads only to where edges live.

use super::state::Home;
use crate::bytes::Buf;
use crate::id::Transport;
use crate::limits;
use crate::proxy::{Context, Net, Response, Target};
use crate::scan::address::first_uri;
use crate::scan::{Message, Name, first_value, scan_again};
use crate::send::{End, Hop};
use crate::uri::{Uri, same_host};

impl Home {
    /// Fills in targets for the edges that a redirect names. False when it is an ordinary
    /// one, from beyond the edges: none of its Contacts has the token of the Route that the
    /// request took.
    ///
    /// A phone can answer as its edge would. What it gains is that a request to
    /// itself goes to another edge of its own.
    pub(super) fn redirect(
        &mut self,
        net: &mut Net,
        context: &Context,
        target: &Target,
        response: &Response<'_>,
        instead: &mut Vec<Target>,
    ) -> bool {
        if !self.is_edge(net, response.flow) {
            return false;
        }
        let taken = route_of(net, context, target, &mut self.rescanned);
        let Some(taken) = taken else { return false };
        let edges = self.edges_in_contacts(net, response, &taken);
        if edges.is_empty() {
            return false;
        }
        // S-23: whatever comes of the redirect, this flow does not lead to the phone.
        self.stick.unbind(&taken, response.flow);
        if target.is_redirected {
            // Two edges might redirect to one another for ever. The next edge that the first
            // redirect named is tried instead.
            return true;
        }
        for (value, hop) in edges {
            let route = target.route.as_deref().unwrap_or_default();
            let rest = route
                .get(first_value(route).range().end..)
                .unwrap_or_default();
            let route = net.pool.build(value.len() + rest.len(), |out| {
                out.extend_from_slice(value);
                out.extend_from_slice(rest);
            });
            instead.push(Target {
                uri: target.uri.clone(),
                rank: target.rank,
                replaces_route: target.route.is_none(),
                route: Some(route),
                is_redirected: true,
                learns: Some(taken.clone()),
                ..Target::at(hop)
            });
        }
        net.counters.redirects_followed += u64::from(!instead.is_empty());
        true
    }

    /// The Contacts that name an edge for the token in `taken`, and the hops to them.
    fn edges_in_contacts<'a>(
        &self,
        net: &mut Net,
        response: &Response<'a>,
        taken: &[u8],
    ) -> Vec<(&'a [u8], Hop)> {
        let bytes = response.bytes;
        let whole = Uri::of(taken);
        let Some(user) = whole.ok().and_then(|uri| uri.user) else {
            return Vec::new();
        };
        let contacts = response.message.values(bytes, Name::Contact);
        let edges = contacts.filter_map(|value| {
            let uri = Uri::in_value(bytes, value).ok()?;
            let is_same = uri.is_loose(bytes)
                && same_host(uri.host.of(bytes), &self.cluster)
                && uri.user.map(|user| user.of(bytes)) == Some(user.of(taken));
            let hop = is_same.then(|| Hop::literal(&mut net.flows.names, bytes, &uri))??;
            let Hop::To {
                transport, addr, ..
            } = hop
            else {
                return None;
            };
            // A phone may have written the Contact, to have us try any port. Over TLS the
            // certificate has to name the cluster, wherever the server is.
            let is_edge = transport == Transport::Tls
                || self.settings.may_be_edge(&End::new(transport, addr));
            let value = value.of(bytes);
            (is_edge && value.starts_with(b"<")).then_some((value, hop))
        });
        edges.take(limits::EDGE_SET_MAX).collect()
    }
}

/// The URI of the Route value by which a request went to `target`, as it was before any
/// redirect.
fn route_of(net: &Net, context: &Context, target: &Target, rescanned: &mut Message) -> Option<Buf> {
    // The Route of a redirected target names its edge besides; the URI that it is to learn is
    // the one before. A stand-by that is not redirected may learn such a URI, too, since
    // the redirect led to the same edge, but took a Route of its own.
    if let Some(learns) = target.learns.as_ref().filter(|_| target.is_redirected) {
        return Some(learns.clone());
    }
    let taken = if let Some(route) = &target.route {
        first_uri(route)?
    } else {
        let base = context.request()?;
        scan_again(base, rescanned).ok()?;
        first_uri(rescanned.routes().first()?.value.of(base))?
    };
    Some(net.pool.copy(taken))
}
