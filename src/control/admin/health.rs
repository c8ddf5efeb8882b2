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
    said(&admin.findings().await.reasons, "alive")
}

pub(super) async fn ready(State(admin): State<Arc<Node>>) -> Response {
    let findings = admin.findings().await;
    let reasons = admin.not_ready(findings);
    said(&reasons, "ready")
}

pub(super) async fn health(State(admin): State<Arc<Node>>) -> Response {
    let mut findings = admin.findings().await;
    if let Some(store) = admin.store.as_ref().filter(|store| store.is_failing()) {
        let unsaved = store.unsaved();
        let text = format!("the store cannot be written: {unsaved} registrations wait for it");
        findings.reasons.push(text);
    }
    let all = format!("{} of {0} shards answer", admin.shards.len());
    said(&findings.reasons, &all)
}

/// What is wrong with a node, a line for each.
pub(super) struct Findings {
    reasons: Vec<String>,
    /// A shard of this edge reaches no home.
    lacks_home: bool,
}

impl Node {
    /// Asks the shards.
    async fn findings(&self) -> Findings {
        let answers = self.ask_shards(&Question::Numbers).await;
        Findings::of(&answers, self.shards.len())
    }

    /// Why it takes no traffic, a line for each reason; nothing: it does.
    pub(super) fn not_ready(&self, findings: Findings) -> Vec<String> {
        let Findings {
            mut reasons,
            lacks_home,
        } = findings;
        let all = [
            (
                self.drains.load(Ordering::Acquire),
                "it drains, and begins nothing new",
            ),
            (lacks_home, "no home is in reach"),
            (
                self.certificates.none_valid(),
                "none of its certificates is valid",
            ),
        ];
        let such = all.iter().filter(|(is_so, _)| *is_so);
        reasons.extend(such.map(|(_, reason)| (*reason).to_owned()));
        reasons
    }
}

impl Findings {
    /// What the answers to `Question::Numbers` of so many shards show.
    pub(super) fn of(answers: &[(usize, Answer)], shards: usize) -> Self {
        let alive = answers.len();
        let silent = (alive < shards).then(|| format!("{alive} of {shards} shards answer"));
        Self {
            reasons: silent.into_iter().collect(),
            lacks_home: answers.iter().any(|(_, answer)| lacks_home(answer)),
        }
    }
}

/// 200 with `well` where nothing is wrong.
fn said(reasons: &[String], well: &str) -> Response {
    if reasons.is_empty() {
        return format!("{well}\n").into_response();
    }
    let lines = reasons.iter().map(|reason| format!("{reason}\n"));
    let text: String = lines.collect();
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

fn lacks_home(answer: &Answer) -> bool {
    let Answer::Numbers(numbers) = answer else {
        return false;
    };
    let none = |number: &Number| number.name == HOMES_IN_REACH && number.value == 0;
    numbers.rows.iter().any(none)
}
