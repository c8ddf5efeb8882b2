//! The connections of a `World`: which two ends each has.

use std::net::SocketAddr;

use steadfast::id::StreamId;

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A node's.
    Node {
        index: usize,
        stream: StreamId,
        addr: SocketAddr,
    },
    /// The test's.
    Test { addr: SocketAddr },
}

/// An end and the other end.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    near: End,
    far: End,
}

/// All open connections, and who takes new ones.
#[derive(Default)]
pub(crate) struct Cables {
    pairs: Vec<(End, End)>,
    listeners: Vec<SocketAddr>,
}

impl End {
    pub(crate) const fn node(index: usize, stream: StreamId, addr: SocketAddr) -> Self {
        Self::Node {
            index,
            stream,
            addr,
        }
    }

    pub(crate) const fn test(addr: SocketAddr) -> Self {
        Self::Test { addr }
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        match self {
            Self::Node { addr, .. } | Self::Test { addr } => *addr,
        }
    }
}

impl Joined {
    pub(crate) fn across(&self) -> End {
        self.far.clone()
    }

    pub(crate) fn here(&self) -> End {
        self.near.clone()
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.near.addr()
    }
}

impl Cables {
    pub(crate) fn listen(&mut self, addr: SocketAddr) {
        self.listeners.push(addr);
    }

    pub(crate) fn refuse(&mut self, addr: SocketAddr) {
        self.listeners.retain(|listener| *listener != addr);
    }

    pub(crate) fn listens(&self, addr: SocketAddr) -> bool {
        self.listeners.contains(&addr)
    }

    pub(crate) fn join(&mut self, one: End, other: End) {
        self.pairs.push((one, other));
    }

    /// The connection that a node knows by this name, seen from there.
    pub(crate) fn of(&self, index: usize, stream: StreamId) -> Option<Joined> {
        self.find(|end| {
            matches!(end, End::Node { index: at, stream: name, .. } if *at == index && *name == stream)
        })
    }

    /// Every connection of a node, seen from there.
    pub(crate) fn all_of(&self, index: usize) -> Vec<Joined> {
        let both = self.both();
        let its =
            both.filter(|joined| matches!(joined.near, End::Node { index: at, .. } if at == index));
        its.collect()
    }

    /// The connection of the test between these addresses, seen from its end.
    pub(crate) fn between(&self, test: SocketAddr, node: SocketAddr) -> Option<Joined> {
        let both = self.both();
        let mut both = both.filter(|joined| joined.near == End::test(test));
        both.find(|joined| joined.far.addr() == node)
    }

    pub(crate) fn part(&mut self, joined: &Joined) {
        self.pairs
            .retain(|(one, other)| *one != joined.near && *other != joined.near);
    }

    fn find(&self, wanted: impl Fn(&End) -> bool) -> Option<Joined> {
        self.both().find(|joined| wanted(&joined.near))
    }

    fn both(&self) -> impl Iterator<Item = Joined> {
        self.pairs.iter().flat_map(|(one, other)| {
            let joined = |near: &End, far: &End| Joined {
                near: near.clone(),
                far: far.clone(),
            };
            [joined(one, other), joined(other, one)]
        })
    }
}
