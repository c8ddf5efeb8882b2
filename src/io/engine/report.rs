//! What a shard says of itself when it is asked.

use super::Engine;
use crate::io::counters::Counters;
use crate::io::{Answer, HOMES_IN_REACH, Number, Numbers, Question, Recorded};
use crate::recorder::Filter;

impl Engine {
    /// Logs every counter in one line.
    pub(in crate::io) fn report(&self) {
        let shard = self.shard.counters().rows();
        let rows = shard.chain(self.counters.rows());
        let text: Vec<_> = rows
            .map(|(name, count)| format!("{name}={count}"))
            .collect();
        for reason in self.shard.reasons() {
            let (status, why, count) = (reason.status, reason.reason, reason.count);
            tracing::info!(shard = self.mesh.own(), status, count, "refused: {why}");
        }
        tracing::info!(
            shard = self.mesh.own(),
            streams = self.streams.len(),
            "counters: {}",
            text.join(" ")
        );
    }

    /// The last words of a shard that was told to end: what it has not seen the end of.
    pub(in crate::io) fn say_what_is_left(&self) {
        let gauges = self.shard.gauges();
        let held = |name| {
            let found = gauges.iter().find(|(gauge, _)| *gauge == name);
            found.map_or(0, |(_, held)| *held)
        };
        tracing::info!(
            shard = self.mesh.own(),
            calls = held("dialogs"),
            connections = held("streams"),
            phones = held("registered"),
            requests = held("contexts"),
            "ended; left to others"
        );
    }

    pub(super) fn respond(&mut self, question: &Question) -> Answer {
        match question {
            Question::Numbers => Answer::Numbers(self.numbers()),
            Question::Peers => {
                let peers = Box::new(self.shard.peers(self.now));
                Answer::Peers(peers, self.notices.last())
            }
            Question::Why(uri) => Answer::Why(self.shard.why(self.now, uri)),
            Question::Reasons => Answer::Rejected(self.shard.reasons(), Vec::new()),
            Question::Rejected => {
                let (reasons, last) = self.shard.rejected();
                Answer::Rejected(reasons, last)
            }
            Question::Bindings(uri) => Answer::Bindings(self.shard.bindings(self.now, uri)),
            Question::Recorded(from, filter) => {
                Answer::Recorded(Box::new(self.recorded(*from, filter)))
            }
            Question::Remove(uri) => Answer::Bindings(self.shard.remove_bindings(self.now, uri)),
        }
    }

    fn recorded(&self, from: u64, filter: &Filter) -> Recorded {
        let piece = self.shard.recorded(from, filter);
        let stamps = piece.records.iter().map(|record| {
            let local = record.link.and_then(|link| self.shard.local_end(&link));
            (self.clock.unix_micros(record.at), local)
        });
        Recorded {
            stamps: stamps.collect(),
            piece,
        }
    }

    fn numbers(&self) -> Box<Numbers> {
        Box::new(Numbers {
            rows: self.rows(),
            traffic: self.shard.traffic().clone(),
            turns: self.turns,
            phones: self.shard.phones(),
        })
    }

    fn rows(&self) -> Vec<Number> {
        let shard = self.shard.counters().rows();
        let shard = shard.zip(crate::proxy::Counters::meanings());
        let shell = self.counters.rows().zip(Counters::meanings());
        let counted = shard.chain(shell).map(|((name, value), meaning)| Number {
            name,
            meaning,
            value,
        });
        let homes = self.shard.homes_in_reach();
        let homes = homes.map(|homes| (HOMES_IN_REACH, homes));
        let peers = self.shard.peer_gauges().into_iter();
        let held = self.shard.gauges().into_iter().chain(peers).chain(homes);
        let held = held.map(|(name, held)| Number {
            name,
            meaning: "",
            value: u64::try_from(held).unwrap_or(u64::MAX),
        });
        counted.chain(held).collect()
    }
}
