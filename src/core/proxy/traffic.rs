//! Messages counted by what they are and where they pass, and how long calls and registrations
//! take. Arrays of fixed size, made with the shard; read as a copy.

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;
use crate::id::Transport;
use crate::scan::Method;
use crate::time::Instant;

/// Whom a message comes from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// A phone, or anybody else outside the cluster.
    Access,
    /// A home or an edge.
    Core,
}

/// A transport and a side of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Over what.
    pub transport: Transport,
    /// To or from whom.
    pub side: Side,
}

/// Counters by method at each place.
type ByMethod<T> = [[T; Method::COUNT]; Place::COUNT];
/// Counters of classes of status codes, 1xx to 6xx.
type ByClass<T> = [T; 6];

/// What passed a shard since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    requests_in: ByMethod<u64>,
    responses_in: ByMethod<ByClass<u64>>,
    responses_out: ByMethod<ByClass<u64>>,
    set_up: Histogram,
    registration: ByClass<Histogram>,
}

impl Side {
    /// The side that an element of the cluster is on, or anybody else.
    pub(super) const fn of(is_cluster_node: bool) -> Self {
        if is_cluster_node {
            Self::Core
        } else {
            Self::Access
        }
    }
}

impl Place {
    const COUNT: usize = Transport::ALL.len() * 2;

    const fn index(self) -> usize {
        let side = match self.side {
            Side::Access => 0,
            Side::Core => 1,
        };
        self.transport as usize * 2 + side
    }

    fn all() -> impl Iterator<Item = Self> {
        let of = |transport| [Side::Access, Side::Core].map(|side| Self { transport, side });
        Transport::ALL.into_iter().flat_map(of)
    }
}

impl Traffic {
    /// A request that parsed has come.
    pub(crate) const fn count_request(&mut self, method: Method, place: Place) {
        self.requests_in[place.index()][method as usize] += 1;
    }

    /// A response to a request of ours has come.
    pub(super) fn count_received(&mut self, method: Method, place: Place, status: u16) {
        count(&mut self.responses_in, method, place, status);
    }

    /// A request has its response; `place` is where it came in.
    pub(super) fn count_sent(&mut self, method: Method, place: Place, status: u16) {
        count(&mut self.responses_out, method, place, status);
    }

    /// A call that began at `began` has its first 2xx.
    pub(super) fn set_up_since(&mut self, began: Instant, now: Instant) {
        self.set_up.record(now.since(began));
    }

    /// A REGISTER that came at `began` has its final answer.
    pub(super) fn registered(&mut self, began: Instant, now: Instant, status: u16) {
        let class = class(status).and_then(|class| self.registration.get_mut(class));
        if let Some(class) = class.filter(|_| status >= 200) {
            class.record(now.since(began));
        }
    }

    /// Adds what another shard has counted.
    pub fn merge(&mut self, other: &Self) {
        let add = |to: &mut u64, more: &u64| *to += more;
        let pairs = |to: &mut ByMethod<ByClass<u64>>, more: &ByMethod<ByClass<u64>>| {
            let to = to.as_flattened_mut().as_flattened_mut().iter_mut();
            to.zip(more.as_flattened().as_flattened())
                .for_each(|(to, more)| add(to, more));
        };
        pairs(&mut self.responses_in, &other.responses_in);
        pairs(&mut self.responses_out, &other.responses_out);
        let requests = self.requests_in.as_flattened_mut().iter_mut();
        let more = other.requests_in.as_flattened();
        requests.zip(more).for_each(|(to, more)| add(to, more));
        self.set_up.merge(&other.set_up);
        for (to, more) in self.registration.iter_mut().zip(&other.registration) {
            to.merge(more);
        }
    }

    /// Requests received, those that came again included, where there were any.
    pub fn requests_in(&self) -> impl Iterator<Item = (Place, Method, u64)> {
        let at = Place::all().zip(&self.requests_in);
        let each = at.flat_map(|(place, counts)| {
            let counts = Method::ALL.into_iter().zip(counts);
            counts.map(move |(method, count)| (place, method, *count))
        });
        each.filter(|(.., count)| *count > 0)
    }

    /// Responses received to requests that went on, where there were any; the class is 1 for
    /// 1xx. What a transaction absorbs, since it came before, is not counted.
    pub fn responses_in(&self) -> impl Iterator<Item = (Place, Method, usize, u64)> {
        responses(&self.responses_in)
    }

    /// Responses sent, our own and those of others, by the place of their request. No 100 of our
    /// own is counted, and nothing that is sent again.
    pub fn responses_out(&self) -> impl Iterator<Item = (Place, Method, usize, u64)> {
        responses(&self.responses_out)
    }

    /// From an INVITE outside a dialog to its first 2xx, both as they passed here.
    #[must_use]
    pub const fn set_up(&self) -> &Histogram {
        &self.set_up
    }

    /// From a REGISTER to its final answer, by the class of it (2 for 2xx), where there were any.
    pub fn registration(&self) -> impl Iterator<Item = (usize, &Histogram)> {
        let classes = self.registration.iter().enumerate();
        let classes = classes.map(|(index, all)| (index + 1, all));
        classes.filter(|(_, all)| all.count() > 0)
    }
}

fn responses(counts: &ByMethod<ByClass<u64>>) -> impl Iterator<Item = (Place, Method, usize, u64)> {
    let at = Place::all().zip(counts);
    let each = at.flat_map(|(place, counts)| {
        let counts = Method::ALL.into_iter().zip(counts);
        counts.flat_map(move |(method, classes)| {
            let classes = classes.iter().enumerate();
            classes.map(move |(index, count)| (place, method, index + 1, *count))
        })
    });
    each.filter(|(.., count)| *count > 0)
}

/// The index of a status among the classes of codes; `None` for one that is none.
fn class(status: u16) -> Option<usize> {
    let class = usize::from(status / 100).checked_sub(1)?;
    (class < 6).then_some(class)
}

fn count(to: &mut ByMethod<ByClass<u64>>, method: Method, place: Place, status: u16) {
    if let Some(class) = class(status) {
        to[place.index()][method as usize][class] += 1;
    }
}
