//! The calls and registrations that failed of late, as the flight recorders have them, and the
//! ladder of each for a browser.
//!
//! The list goes on where it was left each time that somebody looks. A ladder has to look through
//! everything that is recorded: it is drawn of a failure that is listed and of nothing else, one
//! after the other, with a pause (`limits::PAGE_LADDER_EVERY`).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::Node;
use super::policy::HEADERS;
use crate::control::recording::Reader;
use crate::io::Orders;
use crate::limits;
use crate::recorder::Filter;
use crate::trace::{Row, Sip, ladder};
use crate::view::Failure;

/// What failed of late, and who wants to see how.
pub(super) struct Failures {
    seen: Mutex<SeenFailures>,
    /// Places for those who wait for a ladder.
    places: Semaphore,
    /// When the next one may be drawn.
    next: Mutex<Instant>,
}

struct SeenFailures {
    reader: Reader,
    shards: usize,
    last: VecDeque<Failure>,
}

impl Failures {
    pub(super) fn new(shards: &Arc<[Orders]>) -> Self {
        Self {
            seen: Mutex::new(SeenFailures {
                reader: Reader::new(Arc::clone(shards), &[]),
                shards: shards.len(),
                last: VecDeque::new(),
            }),
            places: Semaphore::new(limits::PAGE_LADDERS_WAITING),
            next: Mutex::new(Instant::now()),
        }
    }

    /// The last failures, the oldest first.
    pub(super) async fn last(&self) -> Vec<Failure> {
        let mut seen = self.seen.lock().await;
        seen.go_on().await;
        seen.last.iter().cloned().collect()
    }

    async fn is_listed(&self, call_id: &str) -> bool {
        let seen = self.seen.lock().await;
        seen.last.iter().any(|failure| failure.call_id == call_id)
    }
}

impl SeenFailures {
    /// Reads what was recorded since the last time, as far as that can be done in
    /// `limits::TRACE_ANSWER_MAX`.
    async fn go_on(&mut self) {
        let until = Instant::now() + limits::TRACE_ANSWER_MAX;
        let mut found = Vec::new();
        for shard in 0..self.shards {
            loop {
                let (rows, is_last) = self.reader.piece(shard, &Filter::Refusals).await;
                found.extend(rows.iter().filter_map(failure));
                if is_last || Instant::now() >= until {
                    break;
                }
            }
        }
        found.sort_by(|one, other| one.unix.total_cmp(&other.unix));
        self.take(found);
    }

    /// What is sent again, or goes to the next hop of the same node, is one failure.
    fn take(&mut self, found: Vec<Failure>) {
        for failure in found {
            let is_it =
                |one: &Failure| (&one.call_id, &one.method) == (&failure.call_id, &failure.method);
            self.last.retain(|one| !is_it(one));
            self.last.push_back(failure);
        }
        let older = self.last.len().saturating_sub(limits::PAGE_REJECTS);
        self.last.drain(..older);
    }
}

fn failure(row: &Row) -> Option<Failure> {
    let sip = Sip::read(&row.bytes)?;
    Some(Failure {
        unix: row.unix_us as f64 / 1e6,
        call_id: sip.call_id,
        method: sip.method,
        from: sip.from,
        to: sip.to,
        status: sip.status,
        phrase: sip.phrase,
    })
}

/// The ladder of a failure that is listed.
pub(super) async fn drawn(
    State(node): State<Arc<Node>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let failures = &node.page.failures;
    let call_id = query.get("call_id").map_or("", String::as_str);
    if !failures.is_listed(call_id).await {
        let text = "nothing with this Call-ID is among what failed of late: `steadfast trace` asks \
                    for anything else\n";
        return (StatusCode::NOT_FOUND, HEADERS, text).into_response();
    }
    let Ok(_place) = failures.places.try_acquire() else {
        let text = "others wait for ladders: come again in some seconds\n";
        return (StatusCode::SERVICE_UNAVAILABLE, HEADERS, text).into_response();
    };
    let mut next = failures.next.lock().await;
    sleep_until(*next).await;
    *next = Instant::now() + limits::PAGE_LADDER_EVERY;
    let texts: [Box<[u8]>; 1] = [call_id.as_bytes().into()];
    let reader = Reader::new(Arc::clone(&node.shards), &[]);
    let view = reader.view(&node.name, &Filter::Texts(texts.into())).await;
    let is_whole = view.is_last;
    let Some(ladder) = ladder(view, call_id) else {
        let text = "it is written over in the recorder: give that more memory (`recorder`)\n";
        return (StatusCode::NOT_FOUND, HEADERS, text).into_response();
    };
    let more = match is_whole {
        true => "",
        false => "There is more of it than this page shows: ask as below. ",
    };
    let file = node.status.read().file;
    let command = format!(
        "steadfast trace --call-id {call_id} --node {}",
        file.display()
    );
    let values = [
        ("node", &*node.name),
        ("ladder", &ladder),
        ("more", more),
        ("command", &command),
    ];
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (HEADERS, kind, filled(LADDER, &values)).into_response()
}

const LADDER: &str = include_str!("page/ladder.html");

/// A page with the values of its places, `{name}` each, as text: nothing of a value is markup.
fn filled(page: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        let value = values.iter().find(|(one, _)| *one == name);
        let value = value.map_or("", |(_, value)| value);
        value.chars().for_each(|one| push_escaped(&mut out, one));
        rest = after;
    }
    out + rest
}

fn push_escaped(out: &mut String, one: char) {
    match one {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        one => out.push(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_text_whatever_stands_in_it() {
        let values = [("a", "<b> & {c} \"'"), ("c", "never")];
        assert_eq!(
            filled("x {a} y {a}{b}", &values),
            "x &lt;b&gt; &amp; {c} &quot;&#39; y &lt;b&gt; &amp; {c} &quot;&#39;"
        );
        assert!(LADDER.matches('{').count() >= 4 && !filled(LADDER, &values).contains('{'));
    }

    #[test]
    fn a_failure_is_listed_once_and_the_last_ones_are_kept() {
        let shards: Arc<[Orders]> = Vec::new().into();
        let mut seen = SeenFailures {
            reader: Reader::new(shards, &[]),
            shards: 0,
            last: VecDeque::new(),
        };
        let failed = |unix: usize, call_id: usize| Failure {
            unix: unix as f64,
            call_id: call_id.to_string(),
            method: "INVITE".to_owned(),
            ..Failure::default()
        };
        seen.take(vec![failed(1, 1), failed(2, 2), failed(3, 1)]);
        let ids: Vec<_> = seen.last.iter().map(|one| &*one.call_id).collect();
        assert_eq!(ids, ["2", "1"]);
        let all = 10..10 + limits::PAGE_REJECTS;
        seen.take(all.map(|id| failed(id, id)).collect());
        assert_eq!(seen.last.len(), limits::PAGE_REJECTS);
        assert_eq!(seen.last[0].call_id, "10");
    }
}
