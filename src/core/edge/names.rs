//! The host names of the edges (RFC 3263 §4.3; M-1 to M-3).
//!
//! A phone that resolves its routes goes where they lead. An address leads to one
//! edge and dies with it; a name leads on: that of an edge is `e1.edge.example.com`,
//! below the cluster's, and the DNS lists the edge itself first and its siblings
//! after it. So any edge serves any edge's name as if it were its own, and what
//! follows it (a token, the mark of a dialog) says whose the request is and what it
//! may do. A name is therefore never a reason to send a request to another edge.
//!
//! Which phone is given what:
//!
//! - A registered phone that keeps to its flows gets the token under the cluster's
//!   name, as ever.
//! - A registered phone that resolves names gets this edge's name, where the operator says that
//!   the DNS has the names (`member_names`). A phone that came by an address literal, or by
//!   `maddr`, has not shown that it resolves anything, and gets literals: a name that
//!   it cannot resolve would end its calls at the first ACK.
//! - A phone that never registered gets its flow token under an address literal
//!   on the side of the home, since that token is good at one edge, and any other
//!   would answer 430. What the phone itself sends needs no flow but the mark
//!   of its dialog, which is good at every edge: so its own side gets the name, if
//!   its Route had one. A phone without a Route may be a trunk that is configured
//!   with an address.
//! - The Path stays the same from every edge, so the cluster's name stands there.

use super::state::Edge;
use super::{Follows, UserPartKind};
use crate::proxy::Net;
use crate::scan::Message;
use crate::uri::{Uri, host_ip, same_host, without_dot};

impl Edge {
    /// How a phone is to resolve a route: as it can, but by a name only where the operator says
    /// that the DNS has the names (`member_names`).
    pub(super) const fn effective_follows(&self, follows: Follows) -> Follows {
        match follows {
            Follows::Name if !self.settings.member_names => Follows::Address,
            Follows::Flow | Follows::Name | Follows::Address => follows,
        }
    }

    /// Whether the first Route of a request is a name, so that its sender has shown that it
    /// resolves names.
    pub(super) fn came_by_name(&self, bytes: &[u8], message: &Message) -> bool {
        let top = message.routes().first();
        let uri = top.and_then(|route| route.uri);
        self.settings.member_names && uri.is_some_and(|uri| is_named(bytes, &uri))
    }

    /// The index of the edge whose name a host is, in any case and with or without
    /// a last dot; `None` too for a name that the homes are known by.
    fn member_named(&self, host: &[u8]) -> Option<usize> {
        let cluster = self.settings.cluster.as_bytes();
        let host = without_dot(host);
        let (label, rest) = host.split_at_checked(host.len().checked_sub(cluster.len() + 1)?)?;
        let (dot, rest) = rest.split_first()?;
        if *dot != b'.' || !rest.eq_ignore_ascii_case(cluster) {
            return None;
        }
        let mut members = self.settings.members.iter();
        let index =
            members.position(|member| member.name.as_bytes().eq_ignore_ascii_case(label))?;
        (!self.is_name_of_home(host)).then_some(index)
    }

    /// Whether the host of a URI is the name of an edge, or one that the operator lists, and its
    /// port, if it has one, a port of that edge.
    pub(super) fn is_our_name(&self, net: &Net, bytes: &[u8], uri: &Uri) -> bool {
        let host = uri.host.of(bytes);
        let index = self.member_named(host).or_else(|| {
            let mut names = self.settings.names.iter();
            names
                .any(|name| same_host(host, name.as_bytes()))
                .then_some(self.own)
        });
        let (Some(index), Some(port)) = (index, uri.port) else {
            return index.is_some();
        };
        let members = &self.settings.members;
        let mut locals = net.flows.locals().iter();
        members
            .get(index)
            .is_some_and(|member| member.listens(port))
            || index == self.own && locals.any(|local| !local.upstream && local.addr.port() == port)
    }

    /// Whether the user part of a URI has the form of a token as this cluster writes them; it
    /// is not verified.
    pub(super) fn looks_like_own_token(&self, user: &[u8]) -> bool {
        let kind = UserPartKind::of(user);
        kind == UserPartKind::Flow || kind == self.codec.kind()
    }
}

/// Whether a URI leads to its host by a name.
pub(super) fn is_named(bytes: &[u8], uri: &Uri) -> bool {
    host_ip(uri.host.of(bytes)).is_none() && uri.param(bytes, "maddr").is_none()
}
