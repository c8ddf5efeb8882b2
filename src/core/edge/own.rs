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

use std::net::{IpAddr, SocketAddr};

use super::state::Edge;
use super::{BadToken, Kind, Token, flow_token};
use crate::id::Flow;
use crate::proxy::{Net, Request};
use crate::trust::mark::PhoneName;
use crate::uri::own::{FLOW_PARAM, MARK_PARAM};
use crate::uri::{Scheme, Uri, host_ip};

/// What a Route value (or a Request-URI) is to this edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteKind {
    /// The cluster, nobody in particular.
    Cluster,
    /// A token of this cluster. `classify` writes it to its argument `token`.
    Token,
    /// An RFC 5626 flow token, and the shard whose flow it is.
    Flow { flow: Flow, shard: u8 },
    /// One of our own addresses, or the name of any edge, without a user that says
    /// anything.
    Address,
    /// The address of another edge: the value of its phone's side, but over TLS, where
    /// that is `Elsewhere` without a token.
    Sibling,
    /// The cluster or a token at another edge, of that index among the members (D-E4).
    /// `classify` writes the token, if any, to its argument `token`.
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
    /// What the deciding one of them names.
    pub(super) what: RouteKind,
}

impl Edge {
    /// What `uri` is to us. `token` becomes the token in it, or says nothing.
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
            (true, Some(user)) if Kind::of(user.of(bytes)) == Kind::Flow => {
                self.flow_token(user.of(bytes))
            }
            // Phones put a user into their outbound proxy, which says nothing.
            (true, _) => RouteKind::Address,
            (false, _) if !self.is_member(ip, port) => RouteKind::Foreign,
            (false, None) => RouteKind::Sibling,
            // Of a phone that has come here from there: its flow is not here, and the
            // mark in the value is as good as at its own edge.
            (false, Some(user)) => match Kind::of(user.of(bytes)) {
                Kind::Flow => self.flow_token(user.of(bytes)),
                Kind::Foreign => RouteKind::Sibling,
                Kind::Clear | Kind::Sealed => RouteKind::Foreign,
            },
        }
    }

    /// What a URI is whose host is the cluster's name or that of an edge; without
    /// a user it is `nobody`.
    fn classify_named(
        &self,
        net: &Net,
        bytes: &[u8],
        uri: &Uri,
        nobody: RouteKind,
        token: &mut Token,
    ) -> RouteKind {
        // `maddr` decides whose it is (D-U12).
        let maddr = uri.param(bytes, "maddr").flatten();
        let index = match maddr {
            Some(maddr) => {
                let ip = host_ip(maddr.of(bytes));
                match ip.and_then(|ip| self.member_at(net, ip, uri.port)) {
                    Some(index) => index,
                    // Nobody of the cluster lives there.
                    None => return RouteKind::Bad(BadToken::Malformed),
                }
            }
            None => self.own,
        };
        let what = match uri.user.map(|user| user.of(bytes)) {
            None => nobody,
            // Phones put a user into their outbound proxy, which says nothing.
            Some(user) if nobody == RouteKind::Address && !self.looks_minted(user) => nobody,
            Some(user) => match Kind::of(user) {
                Kind::Flow => self.flow_token(user),
                Kind::Clear | Kind::Sealed => self
                    .codec
                    .read(user, token)
                    .map_or_else(RouteKind::Bad, |()| RouteKind::Token),
                // At the address of an edge it says nothing to whoever routes.
                Kind::Foreign if maddr.is_some() => nobody,
                Kind::Foreign => RouteKind::Bad(BadToken::Malformed),
            },
        };
        if index != self.own && (what == nobody || what == RouteKind::Token) {
            return RouteKind::Elsewhere(index);
        }
        what
    }

    fn flow_token(&self, user: &[u8]) -> RouteKind {
        flow_token::read(&self.flow_key, user, self.boot).map_or_else(
            RouteKind::Bad,
            |(flow, shard)| RouteKind::Flow { flow, shard },
        )
    }

    /// The flow of this run that a token of ours names beside its phone, and
    /// its shard.
    pub(super) fn bare_flow(&self, request: &Request<'_>, count: usize) -> Option<(Flow, u8)> {
        let bytes = request.bytes;
        let own = request.message.routes().iter().take(count);
        // Beside the token that the mark is over, and not in a value before it.
        let mut named = own.filter_map(|route| route.uri);
        let named = named.rfind(|uri| uri.user.is_some())?;
        let token = named.param(bytes, FLOW_PARAM)??;
        flow_token::read(&self.flow_key, token.of(bytes), self.boot).ok()
    }

    /// Whether our values at the front name the flow that the request came by, and no
    /// other: a mark in any of them is then over that flow. The phone's side of a pair
    /// may name nobody, and has no mark.
    pub(super) fn names_its_flow(&self, request: &Request<'_>, count: usize) -> bool {
        let bytes = request.bytes;
        let own = request.message.routes().iter().take(count);
        let mut named = own.filter_map(|route| {
            let uri = route.uri.as_ref()?;
            let token = uri.param(bytes, FLOW_PARAM).flatten().or(uri.user);
            token.map(|token| token.of(bytes))
        });
        let is_its = |token: &[u8]| {
            let flow = self.flow_token(token);
            matches!(flow, RouteKind::Flow { flow, .. } if flow == request.ingress.flow)
        };
        // Both values of a pair have the same one, mostly.
        named.next().is_some_and(|first| {
            is_its(first) && named.all(|token| token == first || is_its(token))
        })
    }

    fn is_own_address(&self, net: &Net, ip: IpAddr, port: u16) -> bool {
        let own = self.settings.members.get(self.own);
        own.is_some_and(|own| own.listens_at(ip, port)) || net.flows.is_local(ip, port)
    }

    /// True when a member is reached at that address and port.
    pub(super) fn is_member(&self, ip: IpAddr, port: u16) -> bool {
        let mut members = self.settings.members.iter();
        members.any(|member| member.listens_at(ip, port))
    }

    /// False for what nobody outside has us send to: another edge, since what an
    /// edge sends counts as vouched for, and any port of a node of ours that is
    /// none of its listeners.
    pub(super) fn may_name(&self, addr: SocketAddr) -> bool {
        let (ip, port) = (addr.ip().to_canonical(), addr.port());
        if self.homes.has(ip) && !self.is_member(ip, port) {
            return self.homes.listens(ip, port);
        }
        let mut members = self.settings.members.iter();
        !members.any(|member| member.has(ip))
    }

    /// The member that an address means; the port decides between those that
    /// share it, and this edge takes what no other one claims.
    fn member_at(&self, net: &Net, ip: IpAddr, port: Option<u16>) -> Option<usize> {
        let members = &self.settings.members;
        let claims = |index: &usize| {
            members.get(*index).is_some_and(|member| {
                port.map_or_else(|| member.has(ip), |port| member.listens_at(ip, port))
            })
        };
        let places = || std::iter::once(self.own).chain(0..members.len());
        let local = || net.flows.is_host(ip);
        places()
            .find(claims)
            .or_else(|| local().then_some(self.own))
            .or_else(|| places().find(|index| members.get(*index).is_some_and(|m| m.has(ip))))
    }

    /// Our values at the front of the Route set. `token` becomes the token in them,
    /// or says nothing.
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
        let what = route(0).map_or(RouteKind::Foreign, |uri| {
            self.classify(net, bytes, uri, token)
        });
        let one = OwnRoutes {
            count: usize::from(what != RouteKind::Foreign),
            what,
        };
        let Some(second) = route(1).filter(|_| !is_marked_phone_side(route(0), bytes)) else {
            return one;
        };
        let pair = |what| OwnRoutes { count: 2, what };
        match what {
            RouteKind::Cluster | RouteKind::Address | RouteKind::Sibling => {
                match self.token_at(net, bytes, second, token) {
                    Some(what) => pair(what),
                    // What a phone puts before its route set.
                    None if self.leads_to_edge(net, bytes, second) => pair(what),
                    None => one,
                }
            }
            RouteKind::Elsewhere(_) if token.is_empty() => {
                self.token_at(net, bytes, second, token).map_or(one, pair)
            }
            // The token at hand must stay the first one's.
            RouteKind::Flow { .. } | RouteKind::Bad(BadToken::Stale)
                if self.is_phone_side(net, bytes, second) =>
            {
                pair(what)
            }
            RouteKind::Flow { .. } => {
                let again = self.classify(net, bytes, second, token) == what;
                token.clear();
                if again { pair(what) } else { one }
            }
            RouteKind::Token | RouteKind::Elsewhere(_)
                if self.is_phone_side(net, bytes, second) || self.are_both_names(request) =>
            {
                pair(what)
            }
            // The same phone's, of another run of this edge.
            RouteKind::Bad(BadToken::Stale) => {
                let text = |uri: &Uri| uri.user.map(|user| user.of(bytes));
                let again = route(0).and_then(text) == text(second)
                    && self.classify(net, bytes, second, token) == RouteKind::Bad(BadToken::Stale);
                token.clear();
                if again { pair(what) } else { one }
            }
            RouteKind::Token | RouteKind::Elsewhere(_) | RouteKind::Bad(_) | RouteKind::Foreign => {
                one
            }
        }
    }

    /// One token by both names, that of the phones and that of the homes.
    fn are_both_names(&self, request: &Request<'_>) -> bool {
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

    /// What a value behind one that names nobody says, if it names somebody.
    fn token_at(&self, net: &Net, bytes: &[u8], uri: &Uri, token: &mut Token) -> Option<RouteKind> {
        let what = self.classify(net, bytes, uri, token);
        let names_nobody = matches!(what, RouteKind::Elsewhere(_)) && token.is_empty();
        let is_token = matches!(
            what,
            RouteKind::Token | RouteKind::Flow { .. } | RouteKind::Elsewhere(_) | RouteKind::Bad(_)
        );
        if is_token && !names_nobody {
            return Some(what);
        }
        token.clear();
        None
    }

    /// The address or the name of an edge without a user, or its address as `maddr`
    /// of the cluster's name (C-6).
    pub(super) fn is_phone_side(&self, net: &Net, bytes: &[u8], uri: &Uri) -> bool {
        uri.user.is_none() && self.leads_to_edge(net, bytes, uri)
    }

    /// The same with any user that is no token: the name of a phone.
    fn leads_to_edge(&self, net: &Net, bytes: &[u8], uri: &Uri) -> bool {
        let user = uri.user.map(|user| Kind::of(user.of(bytes)));
        if !matches!(user, None | Some(Kind::Foreign)) {
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

/// Whether a value is that of a phone's own side with the mark of its dialog: what is
/// behind it is of another passage, also where no home stands between.
fn is_marked_phone_side(uri: Option<&Uri>, bytes: &[u8]) -> bool {
    let marked = uri.filter(|uri| uri.param(bytes, MARK_PARAM).is_some());
    let user = marked.and_then(|uri| uri.user);
    user.is_some_and(|user| PhoneName::read(user.of(bytes)).is_some())
}
