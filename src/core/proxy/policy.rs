//! What the edge and the home decide, each in its own way: whom they trust, where a
//! request goes, what becomes of the answers to it, with whom connections are kept, and
//! what they do meanwhile.
//!
//! The proxy and the shard ask; a role answers from what it knows, and sends nothing that
//! it was not asked for. What changes nothing takes the machinery to read; what may learn
//! something or send takes the whole [`Step`], and a request on its way its [`Pass`].

use std::net::SocketAddr;

use super::{Context, Net, Pass, Request, Response, Step, Target, Verdict};
use crate::edit::Edits;
use crate::id::{Flow, Transport};
use crate::send::{End, Hop};
use crate::stick::Reopen;
use crate::time::{Duration, Instant};
use crate::trust::{IdentityHeaders, MarkKey, Principal};

/// A role of the proxy: all of the following together.
pub trait Policy: Trust + Routing + Answers + Connections + Upkeep {}

impl<Role: Trust + Routing + Answers + Connections + Upkeep> Policy for Role {}

/// Who somebody is, and what may be sent to him.
pub trait Trust {
    /// Who sends on a flow, by what the flow itself proves (D-H2). Called once for
    /// each request, where it comes in.
    fn principal(&self, net: &Net, now: Instant, flow: Flow) -> Principal;
    /// The key of the marks in our Record-Routes. Called for each 2xx whose
    /// Record-Route is ours to change.
    fn marks(&self) -> &MarkKey;
    /// The headers that are taken off where a message enters the trust domain.
    /// Called for each request, response and CANCEL that comes from outside of it.
    fn identities(&self) -> &IdentityHeaders;
    /// Whether a request that nothing is planned for yet shows the mark of its
    /// dialog in a Route of ours. Called where a shard with too much to do decides
    /// whether it takes a request within a dialog.
    fn is_marked(&self, pass: &mut Pass<'_, '_>) -> bool;
    /// Whether a REGISTER renews a registration, as far as can be told at once.
    /// Called where a shard with too much to do decides whether it takes one.
    fn renews(&self, request: &Request<'_>) -> bool;
    /// Whether a home or an edge of ours is where a hop leads: nothing is
    /// counted against it, another one may stand in for it, and keep-alives
    /// pass between us. Of a flow it is whoever is proven to be at its end; of an
    /// address whoever lives there, which says nothing of what comes from it.
    /// Called wherever something is sent or comes in.
    fn is_cluster_node(&self, net: &Net, hop: Hop) -> bool;
    /// Whether nobody but an element of ours has such a URI for its own. Called for
    /// the Record-Route of a 2xx, in which somebody may claim one.
    fn names_cluster_node(&self, _uri: &[u8]) -> bool {
        false
    }
    /// Whether a connection may be such an element's, as far as its address and port
    /// tell: it is not counted as a stranger's. Called when one is accepted.
    fn may_be_cluster_node(&self, end: &End) -> bool;
    /// The domain that a home or an edge of ours at this address proves over TLS.
    /// Called when a connection is opened there to bring an answer back.
    fn domain_at(&self, net: &Net, now: Instant, addr: SocketAddr) -> Option<&str>;
    /// Whether nothing but what came on a flow says who is at its end: a request is
    /// then sent there again only as an answer would be. Called before a timer sends a
    /// request over a flow again.
    fn is_known_by_address_alone(&self, _net: &Net, _now: Instant, _flow: Flow) -> bool {
        false
    }
    /// Whether something may go to this server, which the DNS gave for `domain`,
    /// or which a Via names. Called before it is sent there.
    fn may_reach(&self, transport: Transport, addr: SocketAddr, domain: Option<&str>) -> bool;
    /// Whether the answer to what a peer sent may go there, where nothing else may.
    /// Called for an answer whose connection is gone.
    fn may_return(&self, _to: SocketAddr) -> bool {
        false
    }
}

/// Where a request goes.
pub trait Routing {
    /// Where a request goes, filled into the plan of the pass. Called once per new
    /// request, and for each ACK to a 2xx.
    fn route(&mut self, pass: &mut Pass<'_, '_>) -> Verdict;
    /// How long contacts ring before those of a lower preference are tried;
    /// `None`: until Timer C. Called when an INVITE is sent to one of them.
    fn ring_time(&self) -> Option<Duration> {
        None
    }
    /// Whether a request that nobody has taken at this hop waits until somebody does, where no
    /// other way is left (V-8). Called then.
    fn waits_for(&self, _net: &Net, _hop: Hop) -> bool {
        false
    }
    /// Where a request goes again that was sent over a connection, by whoever
    /// opened it, to an element of the cluster which is lost (S-28). `None` when
    /// nobody listens there for us, as with phones. Called when the connection goes
    /// before its answer has come.
    fn hop_to_reopen(&self, _: &mut Net, _: Reopen) -> Option<Hop> {
        None
    }
}

/// What becomes of the answers to a request that was forwarded.
pub trait Answers {
    /// Learns from a 2xx and changes it. Called for each one that passes upstream,
    /// before it is written.
    fn on_accepted(
        &mut self,
        step: &mut Step<'_>,
        context: &Context,
        response: &Response<'_>,
        edits: &mut Edits,
    );
    /// Whether our Vias say that a loose redirect is followed here. Called when a
    /// request is sent.
    fn follows_redirects(&self) -> bool {
        false
    }
    /// Fills in where to go instead of `target`, best first. False when the redirect is
    /// not for us but for the caller. Called when a 3xx comes.
    fn on_redirect(
        &mut self,
        _net: &mut Net,
        _context: &Context,
        _target: &Target,
        _response: &Response<'_>,
        _instead: &mut Vec<Target>,
    ) -> bool {
        false
    }
    /// Learns that `uri`, which a redirect led away from, is at this flow (S-24).
    /// Called after `on_accepted`, where a redirect led to whoever accepted.
    fn on_redirect_accepted(&mut self, _step: &mut Step<'_>, _flow: Flow, _uri: &[u8]) {}
    /// The final status to send upstream instead of `status`, when the role
    /// must not let that one through to such a sender (O-21). Called for the best answer
    /// of all branches, and for a 430 of our own.
    fn map_final_status(&self, _status: u16, _sender: Principal) -> Option<(u16, &'static str)> {
        None
    }
}

/// With whom connections are kept, and what their coming and going means.
pub trait Connections {
    /// Learns whose a connection is by the domains in its certificate (S-2). Called when
    /// its handshake is done, and when another shard shares it.
    fn on_peer_certificate(&mut self, step: &mut Step<'_>, flow: Flow);
    /// Learns that an element of the cluster lives. Called when a keep-alive of it
    /// comes, or our connection to it is up.
    fn on_peer_seen(&mut self, step: &mut Step<'_>, flow: Flow);
    /// Forgets a flow that is gone for good; `back` says where a connection in its
    /// place would be opened (S-28), for one that was up. Called once for each.
    fn flow_lost(&mut self, step: &mut Step<'_>, flow: Flow, back: Option<Reopen>);
    /// Whether a silent connection is worth keeping. Called when nothing has come on one
    /// for `limits::FLOW_SILENCE_MAX`.
    fn keeps_idle_connection(&self, net: &Net, now: Instant, flow: Flow) -> bool;
    /// Whether keep-alives with the peer that a hop leads to are agreed on in
    /// Vias (K-1), and not by the configuration of both. Called when one of us offers
    /// them or has a connection opened.
    fn negotiates_keepalives(&self, net: &Net, hop: Hop) -> bool;
    /// Whether it is an edge, at whose flows phones are: one that drains sends them to its
    /// siblings, and waits for their calls.
    fn holds_phones(&self) -> bool {
        false
    }
    /// Whether such a peer does all the asking: an edge asks its home. Called with
    /// the above.
    fn is_probed(&self) -> bool {
        false
    }
}

/// What a role does besides, when it is told to.
pub trait Upkeep {
    /// Watches whom the configuration names. Called once, when the shard begins.
    fn on_start(&mut self, _step: &mut Step<'_>) {}
    /// Takes over where names lead by now. Called when the DNS has answered.
    fn on_dns_answer(&mut self, _step: &mut Step<'_>) {}
    /// Does the next piece of what was put off. Called when `Timer::Later` fires, which
    /// the role has set.
    fn run_deferred(&mut self, _step: &mut Step<'_>) {}
    /// Counts what it has changed up to this `Output::Store` as done. Called when that is on
    /// disk, before the answers leave that wait for it.
    fn on_stored(&mut self, _step: &mut Step<'_>, _up_to: u64) {}
    /// Forgets what it had before this `Output::Store`, which a store that several homes share
    /// has refused: what is there instead was told before. Called before its answer is a
    /// failure.
    fn on_refused(&mut self, _step: &mut Step<'_>, _number: u64) {}
    /// Takes back what it has changed since the last `on_stored`. Called when that does not
    /// get to the disk, before the answers are failures.
    fn on_not_stored(&mut self, _step: &mut Step<'_>) {}
    /// Bounded house-keeping. Called about once a second.
    fn sweep(&mut self, step: &mut Step<'_>);
}
