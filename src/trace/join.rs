//! The views of several nodes as one story: what one has sent and another one received is the
//! same bytes, and so one step.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use super::Subject;
use super::message::Sip;
use super::view::{Kind, Row, View};
use crate::limits;

/// Everything with one Call-ID, in the order of time.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) call_id: String,
    pub(super) steps: Vec<Step>,
}

/// A message on its way, or a decision.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) unix_us: u64,
    /// The node, the shard and the number of its entry, which say what came first where the time
    /// does not.
    order: (usize, usize, u64),
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Message(Box<Arrow>),
    Decision {
        node: String,
        /// One word.
        name: String,
        says: String,
    },
}

/// A message from one place to another.
#[derive(Clone, Debug)]
pub(super) struct Arrow {
    pub(super) from: Place,
    pub(super) to: Place,
    pub(super) transport: String,
    pub(super) sip: Sip,
    pub(super) bytes: Vec<u8>,
    /// Microseconds that it was under way, where both ends have seen it.
    pub(super) took_us: Option<u64>,
}

/// One end of an arrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The name of a node that was asked.
    pub(super) node: Option<String>,
    pub(super) addr: Option<SocketAddr>,
}

impl Place {
    /// What stands above its column.
    pub(super) fn label(&self) -> String {
        match (&self.node, self.addr) {
            (Some(node), _) => node.clone(),
            (None, Some(addr)) => addr.to_string(),
            (None, None) => "?".to_owned(),
        }
    }
}

/// A row of a node, with what it says.
struct Seen {
    node: usize,
    row: Row,
    sip: Sip,
}

/// The stories in the views that are of the subject, in the order in which they last went on.
pub(super) fn stories(views: Vec<View>, subject: &Subject) -> Vec<Story> {
    let names: Vec<_> = views.iter().map(|view| view.node.clone()).collect();
    let skews = clocks::skews(&views);
    let mut calls: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    let mut decisions = Vec::new();
    // By node, shard and number: to which call a message belongs.
    let mut causes: HashMap<(usize, usize, u64), String> = HashMap::new();
    for (node, view) in views.into_iter().enumerate() {
        for mut row in view.rows {
            row.unix_us = row.unix_us.saturating_add_signed(skews[node]);
            if row.kind == Kind::Decision {
                decisions.push((node, row));
                continue;
            }
            let Some(sip) = Sip::read(&row.bytes) else {
                continue;
            };
            causes.insert((node, row.shard, row.number), sip.call_id.clone());
            let call = calls.entry(sip.call_id.clone()).or_default();
            call.push(Seen { node, row, sip });
        }
    }
    calls.retain(|call_id, seen| is_of(subject, call_id, seen));
    let mut all: BTreeMap<String, Vec<Step>> = calls
        .into_iter()
        .map(|(call_id, seen)| (call_id, steps(seen, &names)))
        .collect();
    for (node, row) in decisions {
        let call = row
            .cause
            .and_then(|cause| causes.get(&(node, row.shard, cause)));
        if let Some(steps) = call.and_then(|call| all.get_mut(call)) {
            steps.push(Step {
                unix_us: row.unix_us,
                order: (node, row.shard, row.number),
                what: What::Decision {
                    node: names[node].clone(),
                    name: row.name,
                    says: row.says,
                },
            });
        }
    }
    let stories = all.into_iter().map(|(call_id, mut steps)| {
        steps.sort_by_key(|step| (step.unix_us, step.order));
        Story { call_id, steps }
    });
    let mut stories: Vec<_> = stories.collect();
    stories.sort_by_key(|story| story.steps.last().map(|step| step.unix_us));
    stories
}

fn is_of(subject: &Subject, call_id: &str, seen: &[Seen]) -> bool {
    match subject {
        Subject::CallId(wanted) => wanted == call_id,
        Subject::Aor(aor) => seen
            .iter()
            .any(|seen| seen.sip.from == *aor || seen.sip.to == *aor),
        Subject::Failures => seen
            .iter()
            .any(|seen| seen.row.kind == Kind::Out && seen.sip.status >= 400),
    }
}

/// The messages of a call: each that was received by one node is paired with the one that another
/// node sent, the same bytes shortly before.
fn steps(mut seen: Vec<Seen>, names: &[String]) -> Vec<Step> {
    seen.sort_by_key(|seen| seen.row.unix_us);
    let under_way = u64::try_from(limits::TRACE_UNDER_WAY.as_micros()).unwrap_or(u64::MAX);
    let mut taken = vec![false; seen.len()];
    let mut receivers = vec![None; seen.len()];
    for (index, sent) in seen.iter().enumerate() {
        if sent.row.kind != Kind::Out {
            continue;
        }
        let received = seen.iter().enumerate().find(|(other, received)| {
            received.row.kind == Kind::In
                && received.node != sent.node
                && !taken[*other]
                && received.row.bytes == sent.row.bytes
                && received.row.unix_us.abs_diff(sent.row.unix_us) <= under_way
        });
        if let Some((other, _)) = received {
            taken[other] = true;
            receivers[index] = Some(other);
        }
    }
    let mut steps = Vec::new();
    for (index, one) in seen.iter().enumerate() {
        if taken[index] || one.row.kind == Kind::Handed {
            continue;
        }
        let own = Place {
            node: Some(names[one.node].clone()),
            addr: one.row.local,
        };
        let other = receivers[index].map(|other| &seen[other]);
        let far = Place {
            node: other.map(|other| names[other.node].clone()),
            addr: one.row.peer,
        };
        let (from, to) = match one.row.kind {
            Kind::Out => (own, far),
            Kind::In | Kind::Handed | Kind::Decision => (far, own),
        };
        steps.push(Step {
            unix_us: one.row.unix_us,
            order: (one.node, one.row.shard, one.row.number),
            what: What::Message(Box::new(Arrow {
                from,
                to,
                transport: one.row.transport.clone().unwrap_or_default(),
                sip: one.sip.clone(),
                bytes: one.row.bytes.clone(),
                took_us: other.map(|other| other.row.unix_us.saturating_sub(one.row.unix_us)),
            })),
        });
    }
    name_known_peers(&mut steps);
    steps
}

/// What only one node has seen is at a node all the same where its address is that of one.
fn name_known_peers(steps: &mut [Step]) {
    let mut known: HashMap<SocketAddr, String> = HashMap::new();
    for step in &*steps {
        if let What::Message(arrow) = &step.what {
            for place in [&arrow.from, &arrow.to] {
                if let (Some(node), Some(addr)) = (&place.node, place.addr) {
                    known.insert(addr, node.clone());
                }
            }
        }
    }
    for step in steps {
        if let What::Message(arrow) = &mut step.what {
            for place in [&mut arrow.from, &mut arrow.to] {
                if place.node.is_none() {
                    place.node = place.addr.and_then(|addr| known.get(&addr)).cloned();
                }
            }
        }
    }
}

/// Clocks of nodes, as far as what they have seen of the same messages tells.
mod clocks {
    use std::collections::HashMap;

    use super::{Kind, View};

    /// What is to be added to the times of each view, in microseconds, so that no message arrives
    /// before it was sent: the way there and the way back are taken to be as long (RFC 5905 §8).
    /// What has exchanged nothing with the first view, by others or itself, stays as it is.
    pub(super) fn skews(views: &[View]) -> Vec<i64> {
        let mut skews = vec![0; views.len()];
        let mut is_known = vec![false; views.len()];
        if let Some(first) = is_known.first_mut() {
            *first = true;
        }
        for _ in 1..views.len() {
            let next = (0..views.len())
                .filter(|one| !is_known[*one])
                .find_map(|one| {
                    let by = (0..views.len()).filter(|by| is_known[*by]);
                    let mut ahead = by.filter_map(|by| Some((by, ahead(&views[by], &views[one])?)));
                    let (by, ahead) = ahead.next()?;
                    Some((one, skews[by] - ahead))
                });
            let Some((one, skew)) = next else {
                break;
            };
            (skews[one], is_known[one]) = (skew, true);
        }
        skews
    }

    /// How far the clock of `other` is ahead of that of `one`; nothing where all messages between
    /// them arrive after they were sent, which both clocks then agree about.
    fn ahead(one: &View, other: &View) -> Option<i64> {
        let there = shortest(one, other);
        let back = shortest(other, one);
        match (there?, back) {
            (there, Some(back)) if there < 0 || back < 0 => Some((there - back) / 2),
            (there, None) if there < 0 => Some(there),
            (_, _) => Some(0),
        }
    }

    /// The shortest time that a message took from one to the other, by their clocks.
    fn shortest(from: &View, to: &View) -> Option<i64> {
        let mut sent: HashMap<&[u8], u64> = HashMap::new();
        for row in from.rows.iter().filter(|row| row.kind == Kind::Out) {
            sent.entry(&row.bytes).or_insert(row.unix_us);
        }
        let received = to.rows.iter().filter(|row| row.kind == Kind::In);
        let took = received.filter_map(|row| {
            let sent = sent.get(&row.bytes[..])?;
            i64::try_from(row.unix_us)
                .ok()?
                .checked_sub(i64::try_from(*sent).ok()?)
        });
        took.min()
    }
}

#[cfg(test)]
mod tests;
