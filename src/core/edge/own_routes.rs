//! How an edge tells its own Route values from all others (RFC 3261 §16.4;
//! D-E1 to D-E4, R-6).
//!
//! Ours are the cluster's names, the names of its members (`names`) and their
//! literal addresses. A name says nothing by itself: the user part (a token) and
//! `maddr` do. Ports are looked at where two members share an address, and behind
//! the name of a member. Transports are not.
//!
//! One passage through an edge has put in one value, or a pair where its request had
//! no mark (`record_route`), and one pass takes that off: the side of the phone (an
//! address) and the side of the home (a token), in either order. It may have been another
//! edge that put it in, since any edge of a token stands in for any other. A pair is
//! also what a phone sends whose configuration puts its outbound proxy, an address or
//! the bare name of the cluster, before every route set. The value of a phone's side with
//! a mark is never the first of a pair: behind it, where the home does not record-route,
//! comes that of the other phone.

use super::state::Edge;
use super::{BadToken, Token, UserPartKind, flow_token};
use crate::id::Flow;
use crate::proxy::{Net, Pass, Request};
use crate::span::Span;
use crate::trust::mark::PhoneName;
use crate::uri::own_params::{FLOW_PARAM, MARK_PARAM};
use crate::uri::{Scheme, Uri, host_ip};

/// What a Route value (or a Request-URI) names, as this edge sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteKind {
    /// The cluster, by one of its names and without a token.
    Cluster,
    /// A token of this cluster. `classify` writes it to its argument `token`.
    Token,
    /// An RFC 5626 flow token, and the shard whose flow it is.
    Flow { flow: Flow, shard: u8 },
    /// One of our own addresses, or the name of any edge, without a token.
    Address,
    /// The address of another edge without a token: what that edge writes for the side of a
    /// phone. (Over TLS it writes the cluster's name with `maddr`, which is `Elsewhere`.)
    Sibling,
    /// The cluster's name or a token, with `maddr` of another edge: its index among the members
    /// (D-E4). `classify` writes the token, if any, to its argument `token`.
    Elsewhere(usize),
    /// A token that does not verify.
    Bad(BadToken),
    /// Somebody else's.
    Foreign,
}

/// The Route values at the front that are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnRoutes {
    /// Number of Route values to take off.
    pub(super) count: usize,
    /// What the value that decides names: the token's of a pair.
    pub(super) kind: RouteKind,
}

impl Edge {
    /// What `uri` names. `token` becomes the token in it, or empty where there is none.
    pub(super) fn classify(
        &self,
        net: &Net,
        bytes: &[u8],
        uri: &Uri,
        token: &mut Token,
    ) -> RouteKind {
        token.clear();
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return RouteKind::Foreign;
        }
        let host = uri.host.of(bytes);
        if self.settings.is_cluster(host) {
            return self.classify_named(net, bytes, uri, RouteKind::Cluster, token);
        }
        if self.is_our_name(net, bytes, uri) {
            return self.classify_named(net, bytes, uri, RouteKind::Address, token);
        }
        let Some(ip) = host_ip(host) else {
            return RouteKind::Foreign;
        };
        let port = uri.port.unwrap_or(5060);
        match (self.is_own_address(net, ip, port), uri.user) {
            (true, Some(user)) if UserPartKind::of(user.of(bytes)) == UserPartKind::Flow => {
                self.flow_token(user.of(bytes))
            }
            // Phones put a user into their outbound proxy, which says nothing.
            (true, _) => RouteKind::Address,
            (false, _) if !self.is_member(ip, port) => RouteKind::Foreign,
            (false, None) => RouteKind::Sibling,
            // A phone of that edge may have come here: its flow is not ours, but the mark in
            // the value is good at every edge.
            (false, Some(user)) => match UserPartKind::of(user.of(bytes)) {
                UserPartKind::Flow => self.flow_token(user.of(bytes)),
                UserPartKind::Foreign => RouteKind::Sibling,
                UserPartKind::Clear | UserPartKind::Sealed => RouteKind::Foreign,
            },
        }
    }

    /// What a URI names whose host is the cluster's name or that of an edge; `bare` is what it
    /// names without a token.
    fn classify_named(
        &self,
        net: &Net,
        bytes: &[u8],
        uri: &Uri,
        bare: RouteKind,
        token: &mut Token,
    ) -> RouteKind {
        // `maddr` decides whose it is (D-U12).
        let maddr = uri.param(bytes, "maddr").flatten();
        let index = match maddr {
            Some(maddr) => {
                let ip = host_ip(maddr.of(bytes));
                match ip.and_then(|ip| self.member_at(net, ip, uri.port)) {
                    Some(index) => index,
                    // No edge has that address.
                    None => return RouteKind::Bad(BadToken::Malformed),
                }
            }
            None => self.own,
        };
        let kind = match uri.user.map(|user| user.of(bytes)) {
            None => bare,
            // Phones put a user into their outbound proxy, which says nothing.
            Some(user) if bare == RouteKind::Address && !self.looks_like_own_token(user) => bare,
            Some(user) => match UserPartKind::of(user) {
                UserPartKind::Flow => self.flow_token(user),
                UserPartKind::Clear | UserPartKind::Sealed => self
                    .codec
                    .read(user, token)
                    .map_or_else(RouteKind::Bad, |()| RouteKind::Token),
                // With `maddr` the user part is a phone's own, or the name of one (`PhoneName`).
                UserPartKind::Foreign if maddr.is_some() => bare,
                UserPartKind::Foreign => RouteKind::Bad(BadToken::Malformed),
            },
        };
        if index != self.own && (kind == bare || kind == RouteKind::Token) {
            return RouteKind::Elsewhere(index);
        }
        kind
    }

    fn flow_token(&self, user: &[u8]) -> RouteKind {
        flow_token::read(&self.flow_key, user, self.boot).map_or_else(
            RouteKind::Bad,
            |(flow, shard)| RouteKind::Flow { flow, shard },
        )
    }

    /// The Route value with the token, among the first `count`, which are ours.
    pub(super) fn token_uri(&self, request: &Request<'_>, count: usize) -> Option<Uri> {
        let bytes = request.bytes;
        let mut routes = request.message.routes().iter().take(count);
        routes.find_map(|route| {
            let uri = route.uri?;
            let is_token = |user: Span| UserPartKind::of(user.of(bytes)) == self.codec.kind();
            uri.user.is_some_and(is_token).then_some(uri)
        })
    }

    /// The flow, and its shard, of the flow token that stands as a parameter beside a token
    /// in the first `count` Route values; `None` where there is none of this run.
    pub(super) fn flow_beside_token(
        &self,
        request: &Request<'_>,
        count: usize,
    ) -> Option<(Flow, u8)> {
        let bytes = request.bytes;
        let own = request.message.routes().iter().take(count);
        // The mark is over the last value with a user part: a flow token in an earlier one is
        // vouched for by nothing.
        let mut named = own.filter_map(|route| route.uri);
        let named = named.rfind(|uri| uri.user.is_some())?;
        let token = named.param(bytes, FLOW_PARAM)??;
        flow_token::read(&self.flow_key, token.of(bytes), self.boot).ok()
    }

    /// Whether the flow tokens in the first `count` Route values are all of the flow that the
    /// request came over, and there is one at least: a mark in any of these values is then over
    /// that flow. A value without a user part, the phone's side of a pair, has no mark.
    pub(super) fn names_its_flow(&self, request: &Request<'_>, count: usize) -> bool {
        let bytes = request.bytes;
        let own = request.message.routes().iter().take(count);
        let mut named = own.filter_map(|route| {
            let uri = route.uri.as_ref()?;
            let token = uri.param(bytes, FLOW_PARAM).flatten().or(uri.user);
            token.map(|token| token.of(bytes))
        });
        let is_ingress = |token: &[u8]| {
            let flow = self.flow_token(token);
            matches!(flow, RouteKind::Flow { flow, .. } if flow == request.ingress.flow)
        };
        // Mostly both values of a pair have the same flow token: it is decrypted once.
        named.next().is_some_and(|first| {
            is_ingress(first) && named.all(|token| token == first || is_ingress(token))
        })
    }

    /// Enters in the plan how many Route values are ours and returns what they name; `token`
    /// becomes the token in them, or empty.
    pub(super) fn find_own(&self, pass: &mut Pass<'_, '_>, token: &mut Token) -> RouteKind {
        let own = self.own_routes(pass.net, pass.request, token);
        pass.plan.pop = own.count;
        let strict = self.strict(pass.net, pass.request, own, token);
        // P-7: a strict router upstream left our own value in the Request-URI.
        pass.plan.restore_uri = strict.is_some();
        strict.unwrap_or(own.kind)
    }

    /// What our own Record-Route value names that a strict router has put into the Request-URI
    /// of a request which still has routes; `None` where that is no value of ours. Where it is
    /// the first of a pair, the second, which stands in the Route, decides.
    fn strict(
        &self,
        net: &Net,
        request: &Request<'_>,
        own: OwnRoutes,
        token: &mut Token,
    ) -> Option<RouteKind> {
        let uri = request.message.target()?;
        if request.message.routes().len() <= own.count || !uri.is_loose(request.bytes) {
            return None;
        }
        if own.kind != RouteKind::Foreign {
            let has_token = matches!(own.kind, RouteKind::Token | RouteKind::Flow { .. });
            let is_pair =
                own.count == 1 && has_token && self.is_phone_side(net, request.bytes, uri);
            return is_pair.then_some(own.kind);
        }
        let mine = self.classify(net, request.bytes, uri, token);
        // Over TLS the address is `maddr` of our name (C-6).
        let is_ours = mine == RouteKind::Cluster && uri.param(request.bytes, "maddr").is_some();
        if is_ours
            || matches!(
                mine,
                RouteKind::Token | RouteKind::Flow { .. } | RouteKind::Address
            )
        {
            return Some(mine);
        }
        token.clear();
        None
    }

    /// Counts our values at the front of the Route set: one, or the two of a pair. `token`
    /// becomes the token in them, or empty where there is none.
    pub(super) fn own_routes(
        &self,
        net: &Net,
        request: &Request<'_>,
        token: &mut Token,
    ) -> OwnRoutes {
        let bytes = request.bytes;
        let routes = request.message.routes();
        let route = |index: usize| routes.get(index)?.uri.as_ref();
        token.clear();
        let kind = route(0).map_or(RouteKind::Foreign, |uri| {
            self.classify(net, bytes, uri, token)
        });
        let one = OwnRoutes {
            count: usize::from(kind != RouteKind::Foreign),
            kind,
        };
        let Some(second) = route(1).filter(|_| !is_marked_phone_side(route(0), bytes)) else {
            return one;
        };
        let pair = |kind| OwnRoutes { count: 2, kind };
        match kind {
            RouteKind::Cluster | RouteKind::Address | RouteKind::Sibling => {
                match self.token_at(net, bytes, second, token) {
                    Some(kind) => pair(kind),
                    // The first is the outbound proxy that a phone puts before every route set.
                    None if self.leads_to_edge(net, bytes, second) => pair(kind),
                    None => one,
                }
            }
            RouteKind::Elsewhere(_) if token.is_empty() => {
                self.token_at(net, bytes, second, token).map_or(one, pair)
            }
            // The first value decides here, and `token` is what it says: the second is looked at
            // without `token_at`, which would overwrite it.
            RouteKind::Flow { .. } | RouteKind::Bad(BadToken::Stale)
                if self.is_phone_side(net, bytes, second) =>
            {
                pair(kind)
            }
            // A pair with one flow token, at the addresses of the two sides.
            RouteKind::Flow { .. } => {
                let again = self.classify(net, bytes, second, token) == kind;
                token.clear();
                if again { pair(kind) } else { one }
            }
            RouteKind::Token | RouteKind::Elsewhere(_)
                if self.is_phone_side(net, bytes, second)
                    || self.is_token_by_both_names(request) =>
            {
                pair(kind)
            }
            // The two flow tokens of one phone of an earlier run of this edge: both are void, but
            // both are taken off.
            RouteKind::Bad(BadToken::Stale) => {
                let text = |uri: &Uri| uri.user.map(|user| user.of(bytes));
                let again = route(0).and_then(text) == text(second)
                    && self.classify(net, bytes, second, token) == RouteKind::Bad(BadToken::Stale);
                token.clear();
                if again { pair(kind) } else { one }
            }
            RouteKind::Token | RouteKind::Elsewhere(_) | RouteKind::Bad(_) | RouteKind::Foreign => {
                one
            }
        }
    }

    /// Whether the first two Route values are one token under the two names of the cluster, the
    /// one that phones are given and the one of the core sides.
    fn is_token_by_both_names(&self, request: &Request<'_>) -> bool {
        let bytes = request.bytes;
        let routes = request.message.routes();
        let uri = |index: usize| routes.get(index)?.uri.as_ref();
        let (Some(one), Some(other)) = (uri(0), uri(1)) else {
            return false;
        };
        let is_core = |uri: &Uri| self.settings.is_core_name(uri.host.of(bytes));
        let text = |uri: &Uri| uri.user.map(|user| user.of(bytes));
        is_core(one) != is_core(other)
            && self.settings.is_cluster(other.host.of(bytes))
            && text(one).is_some()
            && text(one) == text(other)
    }

    /// What `uri` names, the second value of a possible pair whose first has no token; `None`
    /// where it has none either.
    fn token_at(&self, net: &Net, bytes: &[u8], uri: &Uri, token: &mut Token) -> Option<RouteKind> {
        let kind = self.classify(net, bytes, uri, token);
        let names_nobody = matches!(kind, RouteKind::Elsewhere(_)) && token.is_empty();
        let is_token = matches!(
            kind,
            RouteKind::Token | RouteKind::Flow { .. } | RouteKind::Elsewhere(_) | RouteKind::Bad(_)
        );
        if is_token && !names_nobody {
            return Some(kind);
        }
        token.clear();
        None
    }

    /// Whether a value is one that an edge writes for the side of a phone: the address or the
    /// name of an edge, or its address as `maddr` of the cluster's name (C-6), and no user part.
    pub(super) fn is_phone_side(&self, net: &Net, bytes: &[u8], uri: &Uri) -> bool {
        uri.user.is_none() && self.leads_to_edge(net, bytes, uri)
    }

    /// Whether a URI is that of an edge (by address, name or `maddr`) without a token; a user
    /// part of another kind, as the name of a phone, may stand in it.
    fn leads_to_edge(&self, net: &Net, bytes: &[u8], uri: &Uri) -> bool {
        let user = uri.user.map(|user| UserPartKind::of(user.of(bytes)));
        if !matches!(user, None | Some(UserPartKind::Foreign)) {
            return false;
        }
        if self.settings.is_cluster(uri.host.of(bytes)) {
            let maddr = uri.param(bytes, "maddr").flatten();
            let ip = maddr.and_then(|maddr| host_ip(maddr.of(bytes)));
            return ip.is_some_and(|ip| self.member_at(net, ip, uri.port).is_some());
        }
        let port = uri.port.unwrap_or(5060);
        let ip = host_ip(uri.host.of(bytes));
        ip.is_some_and(|ip| self.is_own_address(net, ip, port) || self.is_member(ip, port))
            || ip.is_none() && self.is_our_name(net, bytes, uri)
    }
}

/// Whether a value is one for the side of a phone that has the mark of its dialog. Such a value
/// stands alone: one of ours behind it was written by another edge of the same call, where the
/// home between them does not record-route.
fn is_marked_phone_side(uri: Option<&Uri>, bytes: &[u8]) -> bool {
    let marked = uri.filter(|uri| uri.param(bytes, MARK_PARAM).is_some());
    let user = marked.and_then(|uri| uri.user);
    user.is_some_and(|user| PhoneName::read(user.of(bytes)).is_some())
}
