//! The page of a node, for a browser: it draws what `view` says, told anew each second.
//!
//! Everything on it comes from here, and the browser is told to take nothing from elsewhere, to
//! run nothing that stands in the page, and to show it in nobody's frame. Nothing can be changed by
//! it. Listeners are bounded (`limits::PAGE_LISTENERS_MAX`), and one that does not read is told
//! less, since each waits for its own connection: what is kept for it is one view.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::Node;
use super::failures::{self, Failures};
use super::policy::HEADERS;
use super::port::PortCounts;
use crate::io::Orders;
use crate::limits;

const INDEX: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
const ICON: &str = include_str!("page/page.svg");

/// Who listens, and what they are told.
pub(in crate::control) struct Page {
    free: Arc<Semaphore>,
    last: Mutex<Option<(Instant, Arc<str>)>>,
    pub(super) failures: Failures,
    /// What became of connections to its port.
    pub(super) port: Arc<PortCounts>,
}

impl Page {
    pub(in crate::control) fn new(shards: &Arc<[Orders]>) -> Self {
        Self {
            free: Arc::new(Semaphore::new(limits::PAGE_LISTENERS_MAX)),
            last: Mutex::default(),
            failures: Failures::new(shards),
            port: Arc::default(),
        }
    }
}

/// The page and what it asks for.
pub(super) fn routes() -> Router<Arc<Node>> {
    Router::new()
        .route(
            "/",
            get(|| async { part("text/html; charset=utf-8", INDEX) }),
        )
        .route(
            "/page.css",
            get(|| async { part("text/css; charset=utf-8", STYLE) }),
        )
        .route(
            "/page.js",
            get(|| async { part("text/javascript; charset=utf-8", SCRIPT) }),
        )
        .route("/page.svg", get(|| async { part("image/svg+xml", ICON) }))
        .route("/ladder", get(failures::drawn))
        .route("/view", get(view))
        .route("/events", get(events))
}

fn part(kind: &'static str, text: &'static str) -> Response {
    (HEADERS, [(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn view(State(node): State<Arc<Node>>) -> Response {
    let text = node.told_now().await;
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (HEADERS, kind, text.to_string()).into_response()
}

async fn events(State(node): State<Arc<Node>>) -> Response {
    let Ok(place) = Arc::clone(&node.page.free).try_acquire_owned() else {
        let text = "there are too many listeners: close one of them, or come again\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let listener = (node, place, false);
    let told = stream::unfold(listener, next);
    (HEADERS, Sse::new(told)).into_response()
}

/// The next event of a listener, who gives his place back when he goes.
async fn next(
    (node, place, is_later): (Arc<Node>, OwnedSemaphorePermit, bool),
) -> Option<(
    Result<sse::Event, Infallible>,
    (Arc<Node>, OwnedSemaphorePermit, bool),
)> {
    if is_later {
        sleep(limits::PAGE_EVERY).await;
    }
    let event = sse::Event::default().data(node.told_now().await);
    Some((Ok(event), (node, place, true)))
}

impl Node {
    /// The view as JSON, as it was asked for last within `limits::PAGE_EVERY`: however many look,
    /// the shards are asked once.
    async fn told_now(&self) -> Arc<str> {
        let mut last = self.page.last.lock().await;
        if let Some((at, text)) = &*last
            && at.elapsed() < limits::PAGE_EVERY / 2
        {
            return Arc::clone(text);
        }
        let text = serde_json::to_string(&self.view().await);
        let text: Arc<str> = match text {
            Ok(text) => text.into(),
            Err(error) => {
                tracing::error!(%error, "the view cannot be written");
                "{}".into()
            }
        };
        *last = Some((Instant::now(), Arc::clone(&text)));
        text
    }
}
