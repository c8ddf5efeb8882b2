//! Whether a node lives, takes traffic and is well, each as 200 or 503 with its reasons.
//!
//! - `/livez`: every shard answers. Where one does not, the process is to be started anew.
//! - `/readyz`: that, and new calls and registrations are taken: it does not drain, an edge
//!   reaches a home from each of its shards, and of its certificates one is valid. Where
//!   that is not so, others are to be sent to.
//! - `/healthz`: every shard answers, and the store is written. Somebody is to be woken.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Node;
use crate::io::{Answer, HOMES_IN_REACH, Number, Question};

pub(super) async fn live(State(admin): State<Arc<Node>>) -> Response {
    admin.findings().await.said("alive")
}

pub(super) async fn ready(State(admin): State<Arc<Node>>) -> Response {
    let mut findings = admin.findings().await;
    let drains = admin.drains.load(Ordering::Acquire);
    findings.add_if(drains, "it drains, and begins nothing new");
    findings.add_if(findings.lacks_home, "no home is in reach");
    findings.add_if(
        admin.certificates.none_valid(),
        "none of its certificates is valid",
    );
    findings.said("ready")
}

pub(super) async fn health(State(admin): State<Arc<Node>>) -> Response {
    let mut findings = admin.findings().await;
    if let Some(store) = admin.store.as_ref().filter(|store| store.is_failing()) {
        let unsaved = store.unsaved();
        let text = format!("the store cannot be written: {unsaved} registrations wait for it");
        findings.reasons.push(text);
    }
    let all = format!("{} of {0} shards answer", admin.shards.len());
    findings.said(&all)
}

/// What is wrong with a node, a line for each.
struct Findings {
    reasons: Vec<String>,
    /// A shard of this edge reaches no home.
    lacks_home: bool,
}

impl Node {
    /// Asks the shards.
    async fn findings(&self) -> Findings {
        let answers = self.ask_shards(&Question::Numbers).await;
        let (alive, all) = (answers.len(), self.shards.len());
        let mut findings = Findings {
            reasons: Vec::new(),
            lacks_home: answers.iter().any(|(_, answer)| lacks_home(answer)),
        };
        if alive < all {
            let text = format!("{alive} of {all} shards answer");
            findings.reasons.push(text);
        }
        findings
    }
}

impl Findings {
    fn add_if(&mut self, is_so: bool, reason: &str) {
        if is_so {
            self.reasons.push(reason.to_owned());
        }
    }

    /// 200 with `well` where nothing is wrong.
    fn said(self, well: &str) -> Response {
        if self.reasons.is_empty() {
            return format!("{well}\n").into_response();
        }
        let lines = self.reasons.iter().map(|reason| format!("{reason}\n"));
        let text: String = lines.collect();
        (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
    }
}

fn lacks_home(answer: &Answer) -> bool {
    let Answer::Numbers(numbers) = answer else {
        return false;
    };
    let none = |number: &Number| number.name == HOMES_IN_REACH && number.value == 0;
    numbers.rows.iter().any(none)
}
