//! Who may do what: principals, the marks of dialogs, the headers that assert
//! an identity, and the addresses that may be sent to.
//!
//! Who sends a request is decided once, where it comes in. The result is a [`Principal`]. It
//! travels with the request, to another shard too, and neither the address nor the To tag nor a
//! header is consulted again.
//!
//! - What proves a home or an edge is for the roles to say, which know their
//!   configuration ([`Trust::principal`](crate::proxy::Trust::principal)).
//! - `ingress`: where a request came in and what is known of its sender, which goes
//!   with it.
//! - `mark`: evidence that a request belongs to a dialog that we let in, and
//!   goes the way that it was recorded.
//! - `identity`: what is removed at the border of the trust domain (RFC 3325; [`IdentityHeaders`]).
//! - `destinations`: the networks that may be sent to ([`Destinations`]).
//!
//! A token in a Route says where a phone is. The far end of every call reads it, so it is no
//! credential of its sender.

pub mod destinations;
pub mod identity;
pub mod ingress;
pub mod mark;

use serde::{Deserialize, Serialize};

use crate::span::Span;
use crate::uri::{Uri, same_host};

pub use destinations::Destinations;
pub use identity::IdentityHeaders;
pub use ingress::{Ingress, Keep};
pub use mark::{Mark, MarkKey};

/// Who sent a request, as far as the flow that it came on proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Principal {
    /// A home of the domain.
    Home,
    /// An edge of the cluster.
    Edge,
    /// Another carrier, which the configuration names.
    Carrier,
    /// A phone that a 2xx to a REGISTER has bound to that flow.
    Subscriber,
    /// Anybody else.
    Stranger,
}

impl Principal {
    /// A home or an edge of ours: what it sends is vouched for.
    #[must_use]
    pub(crate) const fn is_cluster_node(self) -> bool {
        matches!(self, Self::Home | Self::Edge)
    }

    /// Whether identities that it asserts are believed (RFC 3325 §2.2).
    #[must_use]
    pub(crate) const fn is_trusted(self) -> bool {
        match self {
            Self::Home | Self::Edge | Self::Carrier => true,
            Self::Subscriber | Self::Stranger => false,
        }
    }
}

/// What becomes of requests of strangers other than REGISTER, at an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strangers {
    /// They reach the homes, whose answer is a challenge.
    #[default]
    Challenge,
    /// They reach the subscribers, through the home; never as one of its users.
    Answer,
    /// They get 403.
    Refuse,
}

/// The domains that subscribers may call besides their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallsOut {
    /// Every one.
    pub anywhere: bool,
    /// These.
    pub domains: Vec<String>,
}

impl CallsOut {
    /// Every domain.
    #[must_use]
    pub const fn anywhere() -> Self {
        Self {
            anywhere: true,
            domains: Vec::new(),
        }
    }

    /// Whether a URI is of a domain that may be called, and leads nowhere else:
    /// its `maddr` stands in for the host (RFC 3261 §19.1.1).
    #[must_use]
    pub(crate) fn permit(&self, bytes: &[u8], uri: &Uri) -> bool {
        let is_listed = |host: &[u8]| {
            let mut domains = self.domains.iter();
            domains.any(|domain| same_host(domain.as_bytes(), host))
        };
        let maddr = uri.param(bytes, "maddr");
        let leads = |maddr: Option<Span>| maddr.is_some_and(|maddr| is_listed(maddr.of(bytes)));
        self.anywhere || is_listed(uri.host.of(bytes)) && maddr.is_none_or(leads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_that_may_be_called_is_no_way_elsewhere() {
        // I-12
        let some = CallsOut {
            anywhere: false,
            domains: vec!["example.org".to_owned(), "198.51.100.7".to_owned()],
        };
        for (uri, want) in [
            ("sip:a@Example.ORG:5070;transport=tcp", true),
            ("sip:198.51.100.7", true),
            ("sip:a@x.example.org", false),
            ("sip:a@198.51.100.70", false),
            ("sip:a@example.org;maddr=198.51.100.7", true),
            ("sip:a@example.org;maddr=198.51.100.8", false),
            ("sip:a@example.org;maddr", false),
            ("tel:+4930", false),
        ] {
            let parsed = Uri::of(uri.as_bytes()).unwrap();
            assert_eq!(some.permit(uri.as_bytes(), &parsed), want, "{uri}");
            assert!(CallsOut::anywhere().permit(uri.as_bytes(), &parsed));
            assert!(!CallsOut::default().permit(uri.as_bytes(), &parsed));
        }
    }
}
