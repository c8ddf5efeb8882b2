//! What Prometheus reads of a node: OpenMetrics 1.0, or for who does not ask for it the older
//! text format 0.0.4, both written by `prometheus-client`. Names are the same in both.
//!
//! A scrape asks every shard for a copy of its numbers and writes them down. Counters and gauges
//! have a line for each shard; what is counted by method or measured in classes is added up.

mod process;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::{Registry, Unit};

use crate::control::reload::Status;
use crate::io::tls::Validity;
use crate::io::{Answer, Number, Numbers, StoreState, Turns};
use crate::proxy::{Place, Reason, Side, Traffic};
use crate::scan::Method;
use crate::version::COMMIT;

pub(super) use process::ProcessNumbers;

use writer::{Counters, Label, Writer};

/// What both formats are called in HTTP.
const OPEN_METRICS: &str = "application/openmetrics-text";
const OPEN_METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that one scrape shows.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) node: String,
    pub(super) shards: usize,
    pub(super) numbers: Vec<(usize, Box<Numbers>)>,
    pub(super) status: Status,
    /// How often each shard refused something, by reason.
    pub(super) reasons: Vec<(usize, Vec<Reason>)>,
    /// Of a home that keeps its registrations.
    pub(super) store: Option<Arc<StoreState>>,
    pub(super) certificates: Vec<(PathBuf, Validity)>,
    /// What the control thread counts, by name and meaning.
    pub(super) counts: Vec<(&'static str, &'static str, u64)>,
    pub(super) process: Option<ProcessNumbers>,
}

/// The answers to `Question::Numbers`.
pub(super) fn numbers(answers: Vec<(usize, Answer)>) -> Vec<(usize, Box<Numbers>)> {
    let all = answers.into_iter();
    all.filter_map(|(shard, answer)| match answer {
        Answer::Numbers(numbers) => Some((shard, numbers)),
        Answer::Bindings(_)
        | Answer::Peers(..)
        | Answer::Recorded(_)
        | Answer::Rejected(..)
        | Answer::Why(_) => None,
    })
    .collect()
}

/// The answers to `Question::Reasons`.
pub(super) fn reasons(answers: Vec<(usize, Answer)>) -> Vec<(usize, Vec<Reason>)> {
    let all = answers.into_iter();
    all.filter_map(|(shard, answer)| match answer {
        Answer::Rejected(reasons, _) => Some((shard, reasons)),
        Answer::Bindings(_)
        | Answer::Numbers(_)
        | Answer::Peers(..)
        | Answer::Recorded(_)
        | Answer::Why(_) => None,
    })
    .collect()
}

impl Scrape {
    /// In the format that the request wants.
    pub(super) fn respond(mut self, headers: &HeaderMap) -> Response {
        // A name and a file are the operator's, and a label is one line.
        self.node = label(&self.node);
        let wanted = headers.get_all(header::ACCEPT);
        let mut wanted = wanted.iter().filter_map(|value| value.to_str().ok());
        let is_open = wanted.any(|value| value.contains(OPEN_METRICS));
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut page = String::new();
        let (kind, written) = if is_open {
            (OPEN_METRICS_TYPE, text::encode(&mut page, &registry))
        } else {
            let written = prometheus_text::encode(&mut page, &registry);
            (TEXT_TYPE, written)
        };
        debug_assert!(written.is_ok(), "a String takes every character");
        ([(header::CONTENT_TYPE, kind)], page).into_response()
    }

    fn labels<'a, const N: usize>(&'a self, more: [Label<'a>; N]) -> Vec<Label<'a>> {
        [("node", &*self.node)].into_iter().chain(more).collect()
    }

    fn write_node(&self, out: &mut Writer<'_>) -> std::fmt::Result {
        let node = self.labels([]);
        let build = [
            ("node", &*self.node),
            ("version", env!("CARGO_PKG_VERSION")),
            ("commit", COMMIT),
        ];
        let help = "Which build the node runs.";
        out.info("steadfast_build", help, &build)?;
        let gauges: [(&str, &str, u64); 4] = [
            ("shards", "Shards of the node.", count(self.shards)),
            (
                "shards_answering",
                "Shards that answered this question.",
                count(self.numbers.len()),
            ),
            (
                "config_generation",
                "Configurations that the node has gone by, the first included.",
                self.status.generation,
            ),
            (
                "config_pending",
                "Keys of the configuration that wait for a restart.",
                count(self.status.pending.len()),
            ),
        ];
        for (name, help, value) in gauges {
            out.gauge(&format!("steadfast_{name}"), help, None)?
                .add(&node, value)?;
        }
        Ok(())
    }

    /// Every number of every shard that answered, one family after the other.
    fn write_shards(&self, out: &mut Writer<'_>) -> std::fmt::Result {
        let Some((_, first)) = self.numbers.first() else {
            return Ok(());
        };
        // Every shard has the same numbers in the same order.
        for (index, number) in first.rows.iter().enumerate() {
            let name = format!("steadfast_{}", number.name);
            let values = self.numbers.iter().map(|(shard, numbers)| {
                let value = numbers.rows.get(index).map_or(0, |number| number.value);
                (shard.to_string(), value)
            });
            if is_gauge(number) {
                let held = number.name.replace('_', " ");
                let help = format!("Held at this moment: {held}.");
                let mut family = out.gauge(&name, &help, None)?;
                for (shard, value) in values {
                    family.add(&self.labels([("shard", &shard)]), value)?;
                }
            } else {
                let mut family = out.counter(&name, number.meaning, None)?;
                for (shard, value) in values {
                    family.add(&self.labels([("shard", &shard)]), value)?;
                }
            }
        }
        Ok(())
    }

    fn write_reasons(&self, out: &mut Writer<'_>) -> std::fmt::Result {
        let help = "Requests refused by an answer of our own.";
        let mut family = out.counter("steadfast_rejected_by_reason", help, None)?;
        for (shard, reasons) in &self.reasons {
            let shard = shard.to_string();
            for reason in reasons {
                let status = reason.status.to_string();
                let more = [
                    ("shard", &*shard),
                    ("status", &*status),
                    ("reason", reason.reason),
                ];
                family.add(&self.labels(more), reason.count)?;
            }
        }
        Ok(())
    }

    fn write_traffic(&self, out: &mut Writer<'_>, traffic: &Traffic) -> std::fmt::Result {
        let help = "Requests that parsed, by method, and by where they came from: `core` is a \
                    home or an edge, `access` everybody else.";
        let mut family = out.counter("steadfast_requests_received", help, None)?;
        for (place, method, count) in traffic.requests_in() {
            let (transport, side) = words(place);
            let more = [
                ("method", method.token()),
                ("transport", transport),
                ("side", side),
            ];
            family.add(&self.labels(more), count)?;
        }
        let help = "Responses to requests that were sent on, without those that had come before.";
        let family = out.counter("steadfast_responses_received", help, None)?;
        self.write_responses(family, traffic.responses_in())?;
        let help = "Responses sent, by where their requests came from; no 100 of our own, and \
                    none that is sent again.";
        let family = out.counter("steadfast_responses_sent", help, None)?;
        self.write_responses(family, traffic.responses_out())?;
        let help = "From an INVITE outside a dialog to its first 2xx, as both pass this node.";
        out.histogram("steadfast_call_setup", help)?
            .add(&self.labels([]), traffic.set_up())?;
        let help = "From a REGISTER to its final answer, by the class of that; 0 where it is \
                    answered in the same turn.";
        let mut family = out.histogram("steadfast_registration", help)?;
        for (class, all) in traffic.registration() {
            family.add(&self.labels([("code", &code(class))]), all)?;
        }
        Ok(())
    }

    fn write_responses(
        &self,
        mut family: Counters<'_>,
        responses: impl Iterator<Item = (Place, Method, usize, u64)>,
    ) -> std::fmt::Result {
        for (place, method, class, count) in responses {
            let (code, (transport, side)) = (code(class), words(place));
            let more = [
                ("method", method.token()),
                ("code", &*code),
                ("transport", transport),
                ("side", side),
            ];
            family.add(&self.labels(more), count)?;
        }
        Ok(())
    }

    fn write_turns(&self, out: &mut Writer<'_>, turns: &Turns) -> std::fmt::Result {
        let node = self.labels([]);
        let help = "How long a turn of a shard takes that has something to do: so long everything \
                    else has to wait.";
        out.histogram("steadfast_loop_delay", help)?
            .add(&node, &turns.delay)?;
        let help = "How long the oldest message of a turn may have waited by the end of it, in \
                    the sockets and in the turn; shedding goes by it.";
        out.histogram("steadfast_queue_time", help)?
            .add(&node, &turns.queue)
    }

    fn write_phones(&self, out: &mut Writer<'_>) -> std::fmt::Result {
        let known = self.numbers.iter().filter_map(|(_, it)| it.phones);
        let Some(phones) = known.reduce(|all, more| {
            let mut all = all;
            for ((_, count), (_, more)) in all.iter_mut().zip(more) {
                *count += more;
            }
            all
        }) else {
            return Ok(());
        };
        let help = "Phones bound to flows of this edge.";
        let mut family = out.gauge("steadfast_phones", help, None)?;
        for (transport, count) in phones {
            let more = [("transport", transport.uri_token())];
            family.add(&self.labels(more), u64::from(count))?;
        }
        Ok(())
    }

    /// How the store of a home is.
    fn write_store(&self, out: &mut Writer<'_>, state: &StoreState) -> std::fmt::Result {
        let node = self.labels([]);
        let help = "1 while the store cannot be written, else 0.";
        out.gauge("steadfast_store_failing", help, None)?
            .add(&node, u64::from(state.is_failing()))?;
        let help = "Records that are on their way to the disk and not there yet.";
        out.gauge("steadfast_store_unsaved", help, None)?
            .add(&node, state.unsaved())?;
        let help = "How long a record took to the disk the last time that one was watched, or \
                    takes already.";
        out.gauge("steadfast_store_lag", help, Some(&Unit::Seconds))?
            .add(&node, state.lag_us() as f64 / 1e6)?;
        let help = "Batches that could not be written, each try counted.";
        out.counter("steadfast_store_failed_batches", help, None)?
            .add(&node, state.failed_batches())?;
        let help = "Damaged stores that were set aside.";
        out.counter("steadfast_store_set_aside", help, None)?
            .add(&node, state.set_aside())
    }

    /// From when to when the certificates of the node are valid.
    fn write_certificates(&self, out: &mut Writer<'_>) -> std::fmt::Result {
        if self.certificates.is_empty() {
            return Ok(());
        }
        type Second = fn(&Validity) -> u64;
        let families: [(&str, &str, Second); 2] = [
            (
                "steadfast_certificate_not_before",
                "When a certificate is valid from, with all above it, in seconds since 1970.",
                |validity| validity.from,
            ),
            (
                "steadfast_certificate_not_after",
                "When a certificate ends, or one above it, in seconds since 1970.",
                |validity| validity.until,
            ),
        ];
        for (name, help, second) in families {
            let mut family = out.gauge(name, help, Some(&Unit::Seconds))?;
            for (file, validity) in &self.certificates {
                let file = label(&file.to_string_lossy());
                family.add(&self.labels([("file", &file)]), second(validity))?;
            }
        }
        Ok(())
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let out = &mut Writer(encoder);
        let (mut traffic, mut turns) = (Traffic::default(), Turns::default());
        for (_, numbers) in &self.numbers {
            traffic.merge(&numbers.traffic);
            turns.merge(&numbers.turns);
        }
        self.write_node(out)?;
        self.write_shards(out)?;
        self.write_reasons(out)?;
        self.write_traffic(out, &traffic)?;
        self.write_turns(out, &turns)?;
        self.write_phones(out)?;
        if let Some(store) = &self.store {
            self.write_store(out, store)?;
        }
        for (name, help, value) in &self.counts {
            let name = format!("steadfast_{name}");
            out.counter(&name, help, None)?
                .add(&self.labels([]), *value)?;
        }
        self.write_certificates(out)?;
        self.process.map_or(Ok(()), |process| process.write(out))
    }
}

fn is_gauge(number: &Number) -> bool {
    number.meaning.is_empty()
}

fn label(text: &str) -> String {
    text.replace(['\\', '"', '\n'], "_")
}

fn code(class: usize) -> String {
    format!("{class}xx")
}

const fn words(place: Place) -> (&'static str, &'static str) {
    let side = match place.side {
        Side::Access => "access",
        Side::Core => "core",
    };
    (place.transport.uri_token(), side)
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
