//! Our own ends of the flows: the sockets of this node, what stands for them in
//! a Via, and how they are told again there (RFC 3261 §18.1.1, §18.1.2).

use std::net::{IpAddr, SocketAddr};

use super::Flows;
use serde::{Deserialize, Serialize};

use crate::edit::{decimal, host, host_port};
use crate::id::{Flow, ShardSet, SocketId, Transport};
use crate::locate::Transports;
use crate::uri::same_host;

/// A bound local endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// What it speaks.
    pub transport: Transport,
    /// The bound address, with its real port.
    pub addr: SocketAddr,
    /// One shard's own socket towards the home, not a listener.
    pub upstream: bool,
}

/// What a node is called besides the addresses of its sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownAs {
    /// The domains that its certificates name. Over TLS the first one stands in
    /// its Vias, since whoever opens a connection for an answer checks the
    /// certificate against that (RFC 3261 §18.2.2, RFC 5922 §7.3; M-3). Which of
    /// the nodes of that name it is, `received` tells him, which he must add
    /// where a name stands (§18.2.1).
    pub names: Vec<String>,
    /// Addresses of its listeners behind a 1:1 address translation, each with the
    /// one that it has for those outside.
    pub advertised: Vec<(IpAddr, IpAddr)>,
    /// Its core side: sockets that nobody but peers is met at. Empty: it has none,
    /// and meets them where it meets everybody.
    pub core: Vec<(Transport, SocketAddr)>,
    /// Listeners of its other side for connections of peers alone, over TCP. Homes that
    /// connect from a port of their own choice are known there and nowhere else.
    pub core_listen: Vec<SocketAddr>,
    /// Where the other edges are met.
    pub edges: Vec<IpAddr>,
}

impl KnownAs {
    /// Upstream sockets of a core side share its address.
    fn has_core(&self, local: &Local) -> bool {
        let mut core = self.core.iter();
        core.any(|(transport, addr)| {
            *transport == local.transport
                && addr.ip() == local.addr.ip()
                && (local.upstream || addr.port() == local.addr.port())
        })
    }
}

/// What a Via of ours says: an address where the answer reaches us even after
/// the flow is lost, or the name that stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentBy<'a> {
    /// What is spoken.
    pub transport: Transport,
    /// Where we listen.
    pub addr: SocketAddr,
    /// What is written instead of the address.
    pub name: Option<&'a str>,
}

impl SentBy<'_> {
    /// Appends it. A name always has its port: without one SRV records would lead
    /// to any node of that name (RFC 3263 §5).
    pub fn write(&self, out: &mut Vec<u8>) {
        let Some(name) = self.name else {
            // RFC 3261 §18.2.2: what UDP and TCP mean without one.
            return match (self.transport, self.addr.port()) {
                (Transport::Udp | Transport::Tcp, 5060) => host(out, self.addr.ip()),
                _ => host_port(out, self.addr),
            };
        };
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        decimal(out, self.addr.port());
    }
}

impl Flows {
    /// What the node is called besides the addresses of its sockets.
    pub(crate) fn set_known_as(&mut self, known_as: KnownAs) {
        self.known_as = known_as;
        let locals = self.locals.iter();
        self.are_core = locals.map(|local| self.known_as.has_core(local)).collect();
    }

    /// Where the homes are from now on.
    pub(crate) fn set_homes(&mut self, ips: impl Iterator<Item = IpAddr>) {
        self.homes.clear();
        self.homes.extend(ips.map(|ip| ip.to_canonical()));
    }

    /// True for an address that requests to leave from the core side: that of a
    /// home or of another edge, where this node has such a side.
    #[must_use]
    pub(crate) fn is_beyond_core(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        !self.known_as.core.is_empty()
            && (self.homes.contains(&ip) || self.known_as.edges.contains(&ip))
    }

    /// The endpoints.
    #[must_use]
    pub fn locals(&self) -> &[Local] {
        &self.locals
    }

    /// True when `ip` and `port` are one of our own endpoints, as it is bound or
    /// as it is known outside.
    #[must_use]
    pub(crate) fn is_local(&self, ip: IpAddr, port: u16) -> bool {
        let mut locals = self.locals.iter();
        locals.any(|local| {
            local.addr.port() == port
                && (local.addr.ip() == ip || self.outside(local).addr.ip() == ip)
        })
    }

    /// True for an address of this node, whatever the port.
    #[must_use]
    pub fn is_host(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let mut advertised = self.known_as.advertised.iter();
        let mut locals = self.locals.iter();
        locals.any(|local| local.addr.ip().to_canonical() == ip)
            || advertised.any(|(_, known)| *known == ip)
    }

    /// A listener as it is known outside; anything else as it is.
    fn outside(&self, local: &Local) -> Local {
        let mut advertised = self.known_as.advertised.iter();
        let known = advertised.find(|(own, _)| !local.upstream && *own == local.addr.ip());
        let ip = known.map_or_else(|| local.addr.ip(), |(_, known)| *known);
        Local {
            addr: SocketAddr::new(ip, local.addr.port()),
            ..*local
        }
    }

    /// Whether something can be sent there.
    #[must_use]
    pub fn speaks(&self, transport: Transport, addr: SocketAddr) -> bool {
        let mut locals = self.locals.iter();
        locals.any(|local| local.transport == transport && local.addr.is_ipv6() == addr.is_ipv6())
    }

    /// True for a name of ours with the port of a TLS listener, as it stands in
    /// our Vias.
    #[must_use]
    pub fn is_named(&self, host: &[u8], port: Option<u16>) -> bool {
        let port = port.unwrap_or(Transport::Tls.default_port());
        let mut names = self.known_as.names.iter();
        let mut locals = self.locals.iter();
        names.any(|name| same_host(name.as_bytes(), host))
            && locals.any(|local| local.transport == Transport::Tls && local.addr.port() == port)
    }

    /// What can be spoken from here: over TCP only where a listener can be
    /// named in a Via.
    #[must_use]
    pub fn spoken(&self) -> Transports {
        let locals = self.locals.iter();
        let usable = locals.filter(|local| !local.upstream || local.transport == Transport::Udp);
        Transports::over(usable.map(|local| (local.transport, local.addr)))
    }

    /// The first listener of that transport and family, as it is known outside:
    /// where others reach us.
    #[must_use]
    pub fn listener(&self, transport: Transport, v6: bool) -> Option<SocketAddr> {
        self.listening((transport, v6), false)
            .map(|local| self.outside(local).addr)
    }

    /// The first listener of a kind, on the core side or on the other.
    fn listening(&self, (transport, v6): (Transport, bool), is_core: bool) -> Option<&Local> {
        let fits = |(local, core): &(&Local, &bool)| {
            **core == is_core
                && !local.upstream
                && local.transport == transport
                && local.addr.is_ipv6() == v6
        };
        let mut locals = self.locals.iter().zip(&self.are_core);
        locals.find(fits).map(|(local, _)| local)
    }

    /// True for a socket beside the core side, where one of its kind is on that side.
    #[must_use]
    pub(crate) fn is_beside_core(&self, SocketId(at): SocketId) -> bool {
        let at = usize::from(at);
        let (Some(here), Some(false)) = (self.locals.get(at), self.are_core.get(at)) else {
            return false;
        };
        let mut all = self.locals.iter().zip(&self.are_core);
        all.any(|(one, is_core)| {
            *is_core && one.transport == here.transport && one.addr.is_ipv6() == here.addr.is_ipv6()
        })
    }

    /// The listener on the core side by which whoever is beyond it knows us.
    fn core_towards(&self, transport: Transport, addr: SocketAddr) -> Option<&Local> {
        let is_beyond = self.is_beyond_core(addr.ip());
        is_beyond.then(|| self.listening((transport, addr.is_ipv6()), true))?
    }

    /// The listener by which a home knows us that connects from any port.
    fn listener_of_homes(&self, transport: Transport, addr: SocketAddr) -> Option<SocketAddr> {
        let mut ours = self.known_as.core_listen.iter().copied();
        let is_home = self.homes.contains(&addr.ip().to_canonical());
        (transport == Transport::Tcp && is_home)
            .then(|| ours.find(|own| own.is_ipv6() == addr.is_ipv6()))?
    }

    /// Where what we open a connection to reaches us.
    pub(super) fn listener_towards(
        &self,
        transport: Transport,
        addr: SocketAddr,
    ) -> Option<SocketAddr> {
        self.core_towards(transport, addr)
            .map(|local| local.addr)
            .or_else(|| self.listener_of_homes(transport, addr))
            .or_else(|| self.listener(transport, addr.is_ipv6()))
    }

    /// The address that a connection is opened from; `None`: the node's usual.
    #[must_use]
    pub fn connects_from(&self, transport: Transport, addr: SocketAddr) -> Option<IpAddr> {
        self.core_towards(transport, addr)
            .map(|local| local.addr.ip())
    }

    /// Where requests over a flow reach us: our own end of it over UDP, else the
    /// listener of its kind.
    #[must_use]
    pub(crate) fn reached_at(&self, flow: Flow) -> Option<(Transport, SocketAddr)> {
        match flow {
            Flow::Udp { socket, .. } => self
                .locals
                .get(usize::from(socket.0))
                .map(|local| (Transport::Udp, self.outside(local).addr)),
            Flow::Stream(_) => {
                let (transport, peer) = (self.transport(flow), self.peer(flow)?);
                self.listener_towards(transport, peer)
                    .map(|addr| (transport, addr))
            }
        }
    }

    /// Our end of a flow that was, as it is bound: of a connection the listener of its kind.
    #[must_use]
    pub(crate) fn local_end(
        &self,
        transport: Transport,
        peer: SocketAddr,
        socket: Option<SocketId>,
    ) -> Option<SocketAddr> {
        match socket {
            Some(socket) => self
                .locals
                .get(usize::from(socket.0))
                .map(|local| local.addr),
            None => {
                let core = self.core_towards(transport, peer);
                let local = core.or_else(|| self.listening((transport, peer.is_ipv6()), false));
                local.map(|local| local.addr)
            }
        }
    }

    /// What to write as sent-by into the Via of a request over `flow`.
    #[must_use]
    pub fn sent_by(&self, flow: Flow) -> Option<SentBy<'_>> {
        let (transport, addr) = self.reached_at(flow)?;
        let name = self.known_as.names.first();
        let name = name.filter(|_| transport == Transport::Tls);
        Some(SentBy {
            transport,
            addr,
            name: name.map(String::as_str),
        })
    }

    /// Our upstream socket where there is one, else the first listener. From a
    /// core side nothing goes to anybody but peers.
    pub(super) fn socket_towards(&self, addr: SocketAddr) -> Option<SocketId> {
        let may_leave = self.is_beyond_core(addr.ip());
        let fits = |local: &Local, is_core: bool| {
            local.transport == Transport::Udp
                && local.addr.is_ipv6() == addr.is_ipv6()
                && (may_leave || !is_core)
        };
        let socket_of = |owner: Option<u8>| {
            let locals = self.locals.iter().zip(&self.are_core);
            let mut locals = locals.zip(&self.owners);
            locals.position(|((local, is_core), whose)| fits(local, *is_core) && *whose == owner)
        };
        let socket_of = socket_of(Some(self.shard_set.own)).or_else(|| socket_of(None))?;
        u16::try_from(socket_of).ok().map(SocketId)
    }

    /// Whether keep-alives on the flow are ours to send: on a connection that we
    /// opened, and over UDP by a socket that leads to the homes (RFC 5626 §4.4).
    #[must_use]
    pub(crate) fn supports_overload_control(&self, flow: Flow) -> bool {
        match flow {
            Flow::Stream(id) => self.stream(id).is_some_and(|stream| stream.opened),
            Flow::Udp { socket, .. } => {
                let local = self.locals.get(usize::from(socket.0));
                local.is_some_and(|local| local.upstream)
            }
        }
    }
}

/// Upstream sockets stand behind the listeners, shard by shard.
pub(super) fn owners(locals: &[Local], shard_set: ShardSet) -> Vec<Option<u8>> {
    let total = locals.iter().filter(|local| local.upstream).count();
    let each = (total / usize::from(shard_set.count.max(1))).max(1);
    let mut seen = 0;
    let owner = |local: &Local| {
        let rank = local.upstream.then_some(seen / each)?;
        seen += 1;
        u8::try_from(rank).ok()
    };
    locals.iter().map(owner).collect()
}
