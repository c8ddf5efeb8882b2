//! What the phones themselves saw of their registrations and calls.

use std::collections::BTreeMap;
use std::net::IpAddr;

use steadfast::time::{Duration, Instant};

use super::Passage;
use crate::cast::Cast;
use crate::dice::fnv;
use crate::phone::calls::CLAIM;
use crate::text::{Text, Via, param};

/// The calls of a run by Call-ID, and the registrations.
#[derive(Default)]
pub(crate) struct CallRecords {
    pub(crate) calls: BTreeMap<String, Call>,
    /// Phone, edge and time of every 200 to a REGISTER.
    pub(crate) granted: Vec<(IpAddr, IpAddr, Instant)>,
    residues: BTreeMap<String, Vec<u64>>,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) caller: IpAddr,
    pub(crate) user: String,
    /// The edge that the INVITE went to last.
    pub(crate) edge: IpAddr,
    pub(crate) invited: Instant,
    /// When it went to that edge first.
    pub(crate) invited_at: Instant,
    pub(crate) cseq: u32,
    /// A device of the callee got the INVITE.
    pub(crate) reached: Option<Instant>,
    /// The caller got a final answer.
    pub(crate) settled: Option<Instant>,
    pub(crate) cancelled: Option<Instant>,
    pub(crate) forks: BTreeMap<String, Fork>,
    pub(crate) byes: Vec<Bye>,
    /// Refusals by branch at their sender: who, to whom, when, and the ACK.
    pub(crate) refusals: BTreeMap<(IpAddr, String), Refusal>,
    /// INVITEs that came to a phone, by branch.
    pub(crate) rings: BTreeMap<(IpAddr, String), Ring>,
}

#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) came: Instant,
    /// The phone gave a final answer, or heard that nobody waits for it.
    pub(crate) over: Option<Instant>,
}

/// The answer of one device.
#[derive(Debug)]
pub(crate) struct Fork {
    pub(crate) callee: IpAddr,
    pub(crate) answered: Instant,
    /// The proxies that the INVITE came through.
    pub(crate) path: Vec<IpAddr>,
    pub(crate) heard: Option<Instant>,
    /// It came to the caller over a connection that the proxy had opened.
    pub(crate) called_back: bool,
    pub(crate) acked: Option<Instant>,
}

#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) to: IpAddr,
    pub(crate) at: Instant,
    pub(crate) acked: bool,
}

#[derive(Debug)]
pub(crate) struct Bye {
    pub(crate) from: IpAddr,
    from_tag: String,
    pub(crate) to_tag: String,
    pub(crate) sent: Instant,
    pub(crate) came: Option<Instant>,
    pub(crate) answered: Option<(Instant, u16)>,
}

fn answer_key(text: &Text) -> String {
    let tag = text.to_tag().unwrap_or_default();
    let from = text.sender_tag().unwrap_or_default();
    let (call, cseq) = (text.call_id(), text.first("cseq").unwrap_or_default());
    let last = text.values("via").last().copied().unwrap_or_default();
    let branch = param(last, "branch").unwrap_or_default();
    format!("{call} {from} {tag} {cseq} {} {branch}", text.status())
}

impl CallRecords {
    /// The edge of the call that this phone is in, or has just begun to end, and that of
    /// the other side.
    pub(crate) fn edges_of(&self, phone: IpAddr, now: Instant) -> Option<(IpAddr, IpAddr)> {
        let is_up = |call: &&Call| {
            let mut byes = call.byes.iter();
            byes.all(|bye| bye.sent + Duration::from_secs(1) > now)
        };
        let calls = self.calls.values().filter(is_up);
        let edges = calls.filter_map(|call| {
            let mut forks = call.forks.values().filter(|fork| fork.acked.is_some());
            let fork = forks.find(|fork| call.caller == phone || fork.callee == phone)?;
            let (callers, callees) = (call.edge, *fork.path.first()?);
            let edges = if call.caller == phone {
                (callers, callees)
            } else {
                (callees, callers)
            };
            Some((call.invited, edges))
        });
        edges.max().map(|(_, edges)| edges)
    }

    /// What phones answered there, as hashes: a request that came by two ways
    /// has two answers.
    pub(super) fn residues(&self, text: &Text) -> &[u64] {
        self.residues.get(&answer_key(text)).map_or(&[], |all| all)
    }

    /// A phone sends something.
    pub(super) fn sent(&mut self, passage: &Passage<'_>, text: &Text) {
        let (now, me) = (passage.now, passage.from.ip());
        if !text.is_request() {
            return self.answers(passage, text);
        }
        let id = text.call_id().to_owned();
        match (text.method(), text.to_tag()) {
            ("INVITE", None) if !id.starts_with(CLAIM) => {
                let user = text.uri().trim_start_matches("sip:");
                let call = self.calls.entry(id).or_insert_with(|| Call {
                    caller: me,
                    user: user.split('@').next().unwrap_or_default().to_owned(),
                    edge: passage.to.ip(),
                    invited: now,
                    invited_at: now,
                    cseq: text.cseq(),
                    reached: None,
                    settled: None,
                    cancelled: None,
                    forks: BTreeMap::new(),
                    byes: Vec::new(),
                    refusals: BTreeMap::new(),
                    rings: BTreeMap::new(),
                });
                if call.edge != passage.to.ip() {
                    // The one before was not there: the DNS has led on.
                    (call.edge, call.invited_at) = (passage.to.ip(), now);
                }
                call.cseq = call.cseq.max(text.cseq());
            }
            ("CANCEL", _) => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.cancelled.get_or_insert(now);
                }
            }
            ("BYE", Some(to_tag)) => {
                let Some(call) = self.calls.get_mut(&id) else {
                    return;
                };
                let from_tag = text.sender_tag().unwrap_or_default();
                let known = call
                    .byes
                    .iter()
                    .any(|bye| bye.from_tag == from_tag && bye.to_tag == to_tag);
                if !known {
                    call.byes.push(Bye {
                        from: me,
                        from_tag: from_tag.to_owned(),
                        to_tag: to_tag.to_owned(),
                        sent: now,
                        came: None,
                        answered: None,
                    });
                }
            }
            _ => {}
        }
    }

    /// Somebody who is no node has answered so.
    pub(super) fn answered(&mut self, text: &Text) {
        let residues = self.residues.entry(answer_key(text)).or_default();
        residues.push(fnv(0, &text.residue()));
    }

    fn answers(&mut self, passage: &Passage<'_>, text: &Text) {
        let (status, now) = (text.status(), passage.now);
        self.answered(text);
        let Some(call) = self.calls.get_mut(text.call_id()) else {
            return;
        };
        if text.method() != "INVITE" {
            return;
        }
        let branch = text.via().map(|via| via.branch.to_owned());
        let key = (passage.from.ip(), branch.unwrap_or_default());
        if status >= 200
            && let Some(ring) = call.rings.get_mut(&key)
        {
            ring.over.get_or_insert(now);
        }
        let tag = text.to_tag().unwrap_or_default().to_owned();
        if (200..300).contains(&status)
            && text.cseq() == call.cseq
            && passage.from.ip() != call.caller
        {
            let vias = text.values("via");
            // The last one is the caller's.
            let proxies = vias.split_last().map_or(&[][..], |(_, proxies)| proxies);
            let sent_by = proxies.iter().filter_map(|via| Via::read(via)?.addr());
            let path = sent_by.map(|addr| addr.ip()).collect();
            call.forks.entry(tag).or_insert_with(|| Fork {
                callee: passage.from.ip(),
                answered: now,
                path,
                heard: None,
                called_back: false,
                acked: None,
            });
        } else if status >= 300 {
            call.refusals.entry(key).or_insert_with(|| Refusal {
                to: passage.to.ip(),
                at: now,
                acked: false,
            });
        }
    }

    /// A phone receives something.
    pub(super) fn came(
        &mut self,
        cast: &Cast,
        passage: &Passage<'_>,
        text: &Text,
    ) -> Result<(), String> {
        let (now, me, status) = (passage.now, passage.to.ip(), text.status());
        let listens = cast.phone(me).addr;
        if text.method() == "REGISTER" && (200..300).contains(&status) {
            self.granted.push((me, passage.from.ip(), now));
        }
        let Some(call) = self.calls.get_mut(text.call_id()) else {
            return Ok(());
        };
        let tag = text.to_tag().unwrap_or_default();
        let branch = text.via().map(|via| via.branch.to_owned());
        let key = (me, branch.unwrap_or_default());
        match (text.method(), status) {
            ("INVITE", 0) if tag.is_empty() => {
                call.reached.get_or_insert(now);
                let ring = Ring {
                    came: now,
                    over: None,
                };
                call.rings.entry(key).or_insert(ring);
            }
            ("CANCEL", 0) => {
                if let Some(ring) = call.rings.get_mut(&key) {
                    ring.over.get_or_insert(now);
                }
            }
            ("ACK", 0) => {
                if let Some(refusal) = call.refusals.get_mut(&key) {
                    refusal.acked = true;
                } else if text.cseq() == call.cseq
                    && let Some(fork) = call.forks.get_mut(tag)
                {
                    fork.acked.get_or_insert(now);
                }
            }
            ("BYE", 0) => {
                let from = text.sender_tag().unwrap_or_default();
                let mut byes = call.byes.iter_mut();
                if let Some(bye) = byes.find(|b| b.from_tag == from && b.to_tag == tag) {
                    bye.came.get_or_insert(now);
                }
            }
            // Whoever is asked who he is calls again.
            ("INVITE", 407) if text.cseq() == 1 => {}
            ("INVITE", 200..) if text.cseq() <= call.cseq && me == call.caller => {
                call.settled.get_or_insert(now);
                if let Some(fork) = call.forks.get_mut(tag)
                    && fork.heard.is_none()
                {
                    fork.heard = Some(now);
                    fork.called_back = passage.conn.is_some() && passage.to == listens;
                }
            }
            ("BYE", 200..) => {
                let from = text.sender_tag().unwrap_or_default();
                let mut byes = call.byes.iter_mut();
                if let Some(bye) = byes.find(|b| b.from_tag == from && b.to_tag == tag) {
                    bye.answered.get_or_insert((now, status));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
