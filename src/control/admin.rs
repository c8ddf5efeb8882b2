//! What an operator may ask a running node, over HTTP: on a Unix socket that
//! only its owner may open, and on a TCP port as well what metrics and balancers ask for.
//!
//! - `/metrics`: every counter and gauge of every shard, as Prometheus reads it.
//! - `/why?uri=URI`: why a request for it goes where it goes; `&json` as JSON.
//! - `/rejected`: what was refused, counted by reason, and the last of it; `?json`.
//! - `/bindings?aor=URI`: the bindings of an address of record, at a home; with DELETE
//!   they are taken away, there and at the edges. `&json` as above.
//! - `/status`: which configuration the node goes by, and what waits for a restart; `?json`.
//! - `/reload`: with POST, has the configuration taken over; 422 and a sentence if it cannot be.
//! - `/livez`, `/readyz`, `/healthz`: whether it lives, takes traffic, is well: 200 or 503
//!   (`health`).
//!
//! The shards are asked through their inboxes and answer through a bounded
//! channel; one that does not answer in `limits::ANSWER_MAX` is left out.

mod bindings;
mod health;
mod json;
mod metrics;
mod rejected;
mod status;

use std::collections::HashMap;
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::bindings::BindingsChange;
use self::json::quoted;
use super::reload::{Request, Shown};
use super::{ShownCertificates, private};
use crate::io::{Answer, Order, Orders, Question, StoreState};
use crate::limits;
use crate::proxy::Facts;

/// Why nobody can ask, each a sentence that goes on after the key.
#[derive(Debug, thiserror::Error)]
pub enum AdminFault {
    /// The socket.
    #[error("cannot open the control socket {}: {why}", path.display())]
    Control {
        /// Where.
        path: PathBuf,
        /// What is in the way.
        why: io::Error,
    },
    /// The port.
    #[error("cannot serve metrics on {addr}: {}", crate::io::reason(why))]
    Metrics {
        /// Where.
        addr: SocketAddr,
        /// What the kernel said.
        why: io::Error,
    },
}

/// The sockets that questions come in by.
#[derive(Debug, Default)]
pub struct AdminSockets {
    control: Option<(UnixListener, SocketFile)>,
    metrics: Option<std::net::TcpListener>,
}

impl AdminSockets {
    /// Opens what is asked for. A socket file that nobody listens on is that of
    /// a node that was killed, and is replaced.
    ///
    /// # Errors
    /// What keeps one from being opened.
    pub fn open(control: Option<&Path>, metrics: Option<SocketAddr>) -> Result<Self, AdminFault> {
        let control = control.map(|path| {
            open_socket(path).map_err(|why| AdminFault::Control {
                path: path.to_owned(),
                why,
            })
        });
        let metrics = metrics.map(|addr| {
            let opened = std::net::TcpListener::bind(addr).and_then(|port| {
                port.set_nonblocking(true)?;
                Ok(port)
            });
            opened.map_err(|why| AdminFault::Metrics { addr, why })
        });
        Ok(Self {
            control: control.transpose()?,
            metrics: metrics.transpose()?,
        })
    }
}

/// Finds out whether there could be a control socket, and changes nothing. With `binds` also
/// whether both it and the port are free.
///
/// # Errors
/// What would keep a node from opening one.
pub fn check(
    control: Option<&Path>,
    metrics: Option<SocketAddr>,
    binds: bool,
) -> Result<(), AdminFault> {
    if let Some(path) = control {
        let found = look(path).and_then(|found| match found {
            Found::Socket if binds => free(path),
            Found::Socket | Found::Nothing => Ok(()),
        });
        found.map_err(|why| AdminFault::Control {
            path: path.to_owned(),
            why,
        })?;
    }
    match metrics.filter(|_| binds) {
        Some(addr) => std::net::TcpListener::bind(addr)
            .map(drop)
            .map_err(|why| AdminFault::Metrics { addr, why }),
        None => Ok(()),
    }
}

/// What is where the control socket is to be.
enum Found {
    /// A socket, of a node that runs or has run.
    Socket,
    Nothing,
}

/// What is there. Anything but a socket is somebody's, and is not ours to take away.
fn look(path: &Path) -> io::Result<Found> {
    // A path may be too long for a socket.
    SockAddr::unix(path)?;
    let kind = match std::fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            std::fs::metadata(folder.unwrap_or_else(|| Path::new(".")))?;
            return Ok(Found::Nothing);
        }
        Err(error) => return Err(error),
    };
    let what = match kind {
        kind if kind.is_socket() => return Ok(Found::Socket),
        kind if kind.is_dir() => "a folder",
        kind if kind.is_symlink() => "a link",
        _ => "a file",
    };
    let why = format!("{what} is there, and no socket: move it away, or name another path");
    Err(io::Error::new(io::ErrorKind::AlreadyExists, why))
}

/// An error unless it is sure that nobody listens on a socket.
fn free(path: &Path) -> io::Result<()> {
    match UnixStream::connect(path) {
        Ok(_) => {
            let why = "another node answers there; end it, or name another path";
            Err(io::Error::new(io::ErrorKind::AddrInUse, why))
        }
        Err(error) => is_left_behind(&error),
    }
}

/// Whether what kept us from a socket says that nobody listens there any more. Whoever may not
/// connect, or finds a node with too many callers, does not know.
fn is_left_behind(error: &io::Error) -> io::Result<()> {
    let is_sure = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
    );
    if is_sure {
        return Ok(());
    }
    let why = format!(
        "a socket is there, and whether a node listens on it cannot be told ({error}): move it \
         away, or name another path"
    );
    Err(io::Error::new(error.kind(), why))
}

/// The file of our own control socket, which goes with the node.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// The device and the number of the file there.
    id: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            id: id_of(path)?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // What has taken its place meanwhile is somebody's: a new node's, for one.
        let removed = match id_of(&self.path) {
            Ok(id) if id == self.id => std::fs::remove_file(&self.path),
            Ok(_) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::debug!(%error, "the control socket is gone already");
        }
    }
}

fn id_of(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

fn open_socket(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    if let Found::Socket = look(path)? {
        free(path)?;
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let socket = Socket::from(private::keep_socket(socket.into())?);
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    socket.listen(limits::CONTROL_BACKLOG)?;
    socket.set_nonblocking(true)?;
    // What a file system makes of a mode is its own affair.
    std::fs::set_permissions(path, Permissions::from_mode(private::FILE))?;
    Ok((UnixListener::from(OwnedFd::from(socket)), file))
}

/// The node that is asked.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) shards: Arc<[Orders]>,
    pub(super) status: Shown,
    pub(super) reload: mpsc::Sender<Request>,
    /// Of a home that keeps its registrations.
    pub(super) store: Option<Arc<StoreState>>,
    /// The certificates that it shows.
    pub(super) certificates: Arc<ShownCertificates>,
    /// It was told to end, and drains.
    pub(super) drains: Arc<AtomicBool>,
}

/// Answers until the thread ends.
pub(super) async fn serve(admin_sockets: AdminSockets, node: Node) -> io::Result<()> {
    let admin = Arc::new(node);
    let public = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready));
    let all = public
        .clone()
        .route("/why", get(why))
        .route("/rejected", get(rejected))
        .route("/bindings", get(list_bindings).delete(remove_bindings))
        .route("/status", get(status))
        .route("/reload", post(reload))
        .route("/healthz", get(health::health))
        .with_state(Arc::clone(&admin));
    let public = public.with_state(admin);
    let on_socket = async {
        match &admin_sockets.control {
            Some((socket, _)) => {
                let socket = tokio::net::UnixListener::from_std(socket.try_clone()?)?;
                axum::serve(socket, all).await
            }
            None => std::future::pending().await,
        }
    };
    let on_port = async {
        match &admin_sockets.metrics {
            Some(port) => {
                let port = tokio::net::TcpListener::from_std(port.try_clone()?)?;
                axum::serve(port, public).await
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

async fn metrics(State(admin): State<Arc<Node>>) -> Response {
    let answers = admin.ask_shards(&Question::Numbers).await;
    let status = admin.status.read();
    let mut text = metrics::write(&admin.name, admin.shards.len(), &answers, &status);
    let reasons = admin.ask_shards(&Question::Reasons).await;
    text.push_str(&rejected::metrics(&admin.name, &reasons));
    if let Some(store) = &admin.store {
        text.push_str(&metrics::store(&admin.name, store));
    }
    let certificates = admin.certificates.all();
    if !certificates.is_empty() {
        text.push_str(&metrics::certificates(&admin.name, &certificates));
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
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
        Answer::Bindings(_) | Answer::Numbers(_) | Answer::Rejected(..) => None,
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

    #[test]
    fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
        let path = std::env::temp_dir().join(format!("steadfast-admin-{}", std::process::id()));
        let left = UnixListener::bind(&path).unwrap();
        drop(left);
        let admin_sockets = AdminSockets::open(Some(&path), None).unwrap();
        let taken = AdminSockets::open(Some(&path), None)
            .unwrap_err()
            .to_string();
        assert!(taken.contains("another node answers there"), "{taken}");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(
            check(Some(&path), None, false).is_ok(),
            "a running node is not in the way"
        );
        let taken = check(Some(&path), None, true).unwrap_err().to_string();
        assert!(taken.contains("another node answers there"), "{taken}");
        drop(admin_sockets);
        assert!(!path.exists());
    }

    #[test]
    fn what_took_the_place_of_our_socket_stays() {
        let path = std::env::temp_dir().join(format!("steadfast-place-{}", std::process::id()));
        let first = AdminSockets::open(Some(&path), None).unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = AdminSockets::open(Some(&path), None).unwrap();
        drop(first);
        assert!(UnixStream::connect(&path).is_ok(), "the new node's");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        drop(second);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_socket_that_nobody_can_tell_the_state_of_stays() {
        let path = std::env::temp_dir().join(format!("steadfast-busy-{}", std::process::id()));
        // Not one that we can connect to, and somebody is there all the same.
        let other = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        for fault in [
            AdminSockets::open(Some(&path), None).unwrap_err(),
            check(Some(&path), None, true).unwrap_err(),
        ] {
            let fault = fault.to_string();
            assert!(fault.contains("a socket is there, and whether"), "{fault}");
        }
        assert!(path.exists());
        drop(other);
        std::fs::remove_file(&path).unwrap();
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        is_left_behind(&denied).unwrap_err();
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        is_left_behind(&refused).unwrap();
    }

    #[test]
    fn what_is_no_socket_is_never_taken_away() {
        let folder = std::env::temp_dir().join(format!("steadfast-door-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("inner")).unwrap();
        let file = folder.join("file");
        std::fs::write(&file, "precious").unwrap();
        std::os::unix::fs::symlink(&file, folder.join("link")).unwrap();
        for (name, what) in [
            ("file", "a file"),
            ("link", "a link"),
            ("inner", "a folder"),
        ] {
            let path = folder.join(name);
            let want = format!(
                "cannot open the control socket {}: {what} is there, and no socket: move it away, or \
                 name another path",
                path.display()
            );
            for binds in [false, true] {
                assert_eq!(
                    check(Some(&path), None, binds).unwrap_err().to_string(),
                    want
                );
            }
            let opened = AdminSockets::open(Some(&path), None);
            assert_eq!(opened.unwrap_err().to_string(), want);
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
        let nowhere = folder.join("gone/e1.sock");
        let fault = check(Some(&nowhere), None, false).unwrap_err().to_string();
        assert!(
            fault.ends_with("No such file or directory (os error 2)"),
            "{fault}"
        );
        let long = folder.join("e".repeat(108));
        let fault = check(Some(&long), None, false).unwrap_err().to_string();
        assert!(fault.contains("SUN_LEN"), "{fault}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
