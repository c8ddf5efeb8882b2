//! What an operator may ask a running node, over HTTP: on a Unix socket that
//! only its owner may open, and on a TCP port as well what metrics and balancers ask for (`port`).
//!
//! - `/metrics`: every number of every shard, as Prometheus reads it.
//! - `/why?uri=URI`: why a request for it goes where it goes; `&json` as JSON.
//! - `/rejected`: what was refused, counted by reason, and the last of it; `?json`.
//! - `/bindings?aor=URI`: the bindings of an address of record, at a home; with DELETE
//!   they are taken away, there and at the edges. `&json` as above.
//! - `/trace?texts=TEXTS`: what the recorders hold of messages with one of these texts, a line
//!   each, as JSON (`trace::View`); with `&refusals` the refusals that were sent; `&from=N,N` goes on
//!   where an earlier answer ended.
//! - `/status`: which configuration the node goes by, and what waits for a restart; `?json`.
//! - `/reload`: with POST, has the configuration taken over; 422 and a sentence if it cannot be.
//! - `/`: a page for a browser, with `/events` as what it is told each second, and `/view`,
//!   which is the same once (`page`, `view`); `/ladder?call_id=ID`: the story of a failure that
//!   the page lists (`failures`).
//! - `/upgrade`: with POST, has a new process go on in the place of this one; `?binary=FILE`;
//!   422 and a sentence if it cannot.
//! - `/livez`, `/readyz`, `/healthz`: whether it lives, takes traffic, is well: 200 or 503
//!   (`health`).
//!
//! The shards are asked through their inboxes and answer through a bounded
//! channel; one that does not answer in `limits::ANSWER_MAX` is left out.

mod bindings;
mod failures;
mod health;
mod json;
mod metrics;
mod page;
mod policy;
mod port;
mod rejected;
mod sockets;
mod status;
mod trace;
mod view;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;

pub(super) use self::page::Page;
pub use self::sockets::{AdminFault, AdminSockets, check};

use self::bindings::BindingsChange;
use self::json::quoted;
use self::metrics::{ProcessNumbers, Scrape};
use self::port::Port;
use super::ShownCertificates;
use super::cluster::Cluster;
use super::recording::TapCounts;
use super::reload::{Request, Shown};
use super::upgrading;
use crate::io::{Answer, Order, Orders, Question, StoreState};
use crate::limits;
use crate::proxy::Facts;

/// The node that questions are about.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) shards: Arc<[Orders]>,
    pub(super) status: Shown,
    pub(super) reload: mpsc::Sender<Request>,
    pub(super) upgrade: mpsc::Sender<upgrading::Request>,
    /// Of a home that keeps its registrations.
    pub(super) store: Option<Arc<StoreState>>,
    /// What became of what passed.
    pub(super) taps: Arc<TapCounts>,
    /// The certificates that it shows.
    pub(super) certificates: Arc<ShownCertificates>,
    /// It was told to end, and drains.
    pub(super) drains: Arc<AtomicBool>,
    /// What its configuration says of the cluster.
    pub(super) cluster: watch::Receiver<Cluster>,
    /// Its page, and who looks at it.
    pub(super) page: Page,
    pub(super) started: Instant,
    /// Told when another process goes on: whoever asks from then on is that one's.
    pub(super) handed_on: Arc<Notify>,
}

/// Answers until the thread ends.
pub(super) async fn serve(admin_sockets: AdminSockets, node: Node) -> io::Result<()> {
    let admin = Arc::new(node);
    let [on, off] = [Arc::clone(&admin.handed_on), Arc::clone(&admin.handed_on)];
    let public = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .merge(page::routes());
    let all = public
        .clone()
        .route("/why", get(why))
        .route("/rejected", get(rejected))
        .route("/bindings", get(list_bindings).delete(remove_bindings))
        .route("/trace", get(trace::trace))
        .route("/status", get(status))
        .route("/reload", post(reload))
        .route("/upgrade", post(upgrade))
        .route("/healthz", get(health::health))
        .with_state(Arc::clone(&admin));
    let counts = Arc::clone(&admin.page.port);
    let public = public.with_state(admin);
    let on_socket = async {
        match &admin_sockets.control {
            Some((socket, _)) => {
                let socket = tokio::net::UnixListener::from_std(socket.try_clone()?)?;
                let served = axum::serve(socket, all);
                served
                    .with_graceful_shutdown(async move { on.notified().await })
                    .await?;
                std::future::pending().await
            }
            None => std::future::pending().await,
        }
    };
    let on_port = async {
        match &admin_sockets.metrics {
            Some(port) => {
                let port = tokio::net::TcpListener::from_std(port.try_clone()?)?;
                let served = axum::serve(Port::new(port, counts), public);
                served
                    .with_graceful_shutdown(async move { off.notified().await })
                    .await?;
                std::future::pending().await
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        result = on_socket => result,
        result = on_port => result,
    }
}

impl Node {
    /// The answers there are, by shard.
    async fn ask_shards(&self, question: &Question) -> Vec<(usize, Answer)> {
        let (answer, mut answers) = mpsc::channel(self.shards.len().max(1));
        for (shard, orders) in self.shards.iter().enumerate() {
            orders.give(Order::Ask {
                question: question.clone(),
                answer: answer.clone(),
                shard,
            });
        }
        drop(answer);
        let mut all = Vec::new();
        while let Ok(Some(one)) = timeout(limits::ANSWER_MAX, answers.recv()).await {
            all.push(one);
        }
        all.sort_unstable_by_key(|(shard, _)| *shard);
        all
    }

    async fn bindings(&self, query: &HashMap<String, String>, deed: BindingsChange) -> Response {
        let Some(aor) = query.get("aor") else {
            let text = "ask as in /bindings?aor=sip:joe@example.com\n";
            return (StatusCode::BAD_REQUEST, text).into_response();
        };
        let aor: Arc<[u8]> = aor.as_bytes().into();
        let question = match deed {
            BindingsChange::Listed => Question::Bindings(aor),
            BindingsChange::Removed => Question::Remove(aor),
        };
        match bindings::of(self.ask_shards(&question).await) {
            Ok(found) if query.contains_key("json") => as_json(bindings::json(&found)),
            Ok(found) => bindings::words(&found, deed).into_response(),
            Err(why) => (StatusCode::NOT_FOUND, format!("{why}\n")).into_response(),
        }
    }
}

async fn metrics(State(admin): State<Arc<Node>>, headers: HeaderMap) -> Response {
    let scrape = Scrape {
        node: admin.name.clone(),
        shards: admin.shards.len(),
        numbers: metrics::numbers(admin.ask_shards(&Question::Numbers).await),
        status: admin.status.read(),
        reasons: metrics::reasons(admin.ask_shards(&Question::Reasons).await),
        store: admin.store.clone(),
        certificates: admin.certificates.all(),
        counts: [&admin.taps.rows()[..], &admin.page.port.rows()].concat(),
        process: ProcessNumbers::read(),
    };
    scrape.respond(&headers)
}

async fn status(
    State(admin): State<Arc<Node>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let status = admin.status.read();
    if query.contains_key("json") {
        return as_json(status::json(&admin.name, &status));
    }
    status::words(&admin.name, &status).into_response()
}

async fn reload(State(admin): State<Arc<Node>>) -> Response {
    let busy = || {
        let text = "the node has not come to it yet: `steadfast status` says what it goes by\n";
        (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
    };
    let (request, done) = oneshot::channel();
    if admin.reload.try_send(request).is_err() {
        return busy();
    }
    match timeout(limits::RELOAD_MAX, done).await {
        Ok(Ok(Ok(changed))) => status::taken_over(&admin.status.read(), &changed).into_response(),
        Ok(Ok(Err(why))) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{why}\n")).into_response(),
        Ok(Err(_)) | Err(_) => busy(),
    }
}

async fn upgrade(
    State(admin): State<Arc<Node>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let (answer, done) = oneshot::channel();
    let program = query.get("binary").map(PathBuf::from);
    let request = upgrading::Request { program, answer };
    if admin.upgrade.try_send(request).is_err() {
        let text = "an upgrade is under way already\n";
        return (StatusCode::UNPROCESSABLE_ENTITY, text).into_response();
    }
    match done.await {
        Ok(Ok(text)) => text.into_response(),
        Ok(Err(why)) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{why}\n")).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn why(
    State(admin): State<Arc<Node>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let Some(uri) = query.get("uri") else {
        return (
            StatusCode::BAD_REQUEST,
            "ask as in /why?uri=sip:joe@example.com\n",
        )
            .into_response();
    };
    let answers = admin
        .ask_shards(&Question::Why(uri.as_bytes().into()))
        .await;
    let all = answers.iter().filter_map(|(shard, answer)| match answer {
        Answer::Why(facts) => Some((*shard, facts)),
        Answer::Bindings(_)
        | Answer::Numbers(_)
        | Answer::Peers(..)
        | Answer::Recorded(_)
        | Answer::Rejected(..) => None,
    });
    if query.contains_key("json") {
        let rows: Vec<_> = all.map(|(shard, facts)| why_json(shard, facts)).collect();
        let text = format!(
            "{{\"node\":{},\"shards\":[{}]}}\n",
            quoted(&admin.name),
            rows.join(",")
        );
        return as_json(text);
    }
    let several = admin.shards.len() > 1;
    all.map(|(shard, facts)| words(several.then_some(shard), facts))
        .collect::<String>()
        .into_response()
}

async fn rejected(
    State(admin): State<Arc<Node>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let all = rejected::Refused::of(admin.ask_shards(&Question::Rejected).await);
    if query.contains_key("json") {
        return as_json(all.json(&admin.name));
    }
    all.words().into_response()
}

async fn list_bindings(
    State(admin): State<Arc<Node>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    admin.bindings(&query, BindingsChange::Listed).await
}

async fn remove_bindings(
    State(admin): State<Arc<Node>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    admin.bindings(&query, BindingsChange::Removed).await
}

fn as_json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// One line a fact, what it is about in a column of its own.
fn words(shard: Option<usize>, facts: &Facts) -> String {
    let head = shard.map_or_else(String::new, |shard| format!("shard {shard}\n"));
    let line = |fact: &crate::proxy::Fact| format!("  {:<9}{}\n", fact.what, fact.says);
    head + &facts.0.iter().map(line).collect::<String>()
}

fn why_json(shard: usize, facts: &Facts) -> String {
    let fact = |fact: &crate::proxy::Fact| {
        format!(
            "{{\"what\":{},\"says\":{}}}",
            quoted(fact.what),
            quoted(&fact.says)
        )
    };
    let facts: Vec<_> = facts.0.iter().map(fact).collect();
    format!("{{\"shard\":{shard},\"facts\":[{}]}}", facts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_lines_or_json() {
        let mut facts = Facts::default();
        facts.say("uri", "is \"mine\"");
        assert_eq!(
            why_json(1, &facts),
            "{\"shard\":1,\"facts\":[{\"what\":\"uri\",\"says\":\"is \\\"mine\\\"\"}]}"
        );
        assert_eq!(words(Some(1), &facts), "shard 1\n  uri      is \"mine\"\n");
    }
}
