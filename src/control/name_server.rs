//! The name server of an edge: authoritative for the names of its cluster
//! (`zone`), and where the operator says so for the domains of the home.
//!
//! The wire format is hickory's; what is answered is in `answers`. The sockets
//! are ours, because everything about them is bounded here: questions in all
//! (`limits::ZONE_QUESTIONS`), so that a flood takes no processor from a shard;
//! whole answers to one source (`pace`), so that nobody is flooded through us;
//! connections, their questions and their idleness.
//!
//! Which members live is asked of them (`heartbeat`): the shards of an edge watch
//! no sibling that they have nothing to send to.
//!
//! Not here: recursion, zone transfers, DNSSEC.

mod answers;
mod heartbeat;
mod pace;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use self::answers::{Answers, Room};
use self::heartbeat::Siblings;
use self::pace::Pace;
use crate::config;
use crate::guard;
use crate::id::Transport;
use crate::limits;
use crate::zone::{Silent, Zone};

/// The sockets of the name server, and what it answers.
pub struct NameServer {
    datagrams: Vec<UdpSocket>,
    listeners: Vec<TcpListener>,
    seed: [u64; 4],
}

/// What a name server answers, and whom without a limit.
#[derive(Clone, Debug)]
pub(super) struct Served {
    zone: Zone,
    /// The domains of the home are served as well.
    home_domains: bool,
    unlimited: Vec<(IpAddr, u8)>,
}

impl Served {
    /// What the node serves by its configuration; `None`: nothing.
    pub(super) fn of(config: &config::Config) -> Option<Self> {
        let server = config.name_server.as_ref()?;
        let unlimited = config.unlimited.as_deref().unwrap_or(&limits::UNLIMITED);
        Some(Self {
            zone: server.zone.clone(),
            home_domains: server.home_domains,
            unlimited: unlimited.to_vec(),
        })
    }
}

/// A socket that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot answer the DNS on {}:{addr}: {}", transport.uri_token(), crate::io::reason(why))]
pub struct NameServerFault {
    transport: Transport,
    addr: SocketAddr,
    why: io::Error,
}

impl NameServer {
    /// Opens the sockets.
    ///
    /// # Errors
    /// The first that cannot be had.
    pub fn open(settings: &config::NameServer, seed: [u64; 4]) -> Result<Self, NameServerFault> {
        let (mut datagrams, mut listeners) = (Vec::new(), Vec::new());
        for &(transport, addr) in &settings.listen {
            let opened = match transport {
                Transport::Udp => open_udp(addr).map(|socket| datagrams.push(socket)),
                Transport::Tcp | Transport::Tls => {
                    open_tcp(addr).map(|listener| listeners.push(listener))
                }
            };
            opened.map_err(|why| NameServerFault {
                transport,
                addr,
                why,
            })?;
        }
        Ok(Self {
            datagrams,
            listeners,
            seed,
        })
    }
}

impl NameServer {
    /// That of the process before, whose sockets are open.
    #[must_use]
    pub fn inherited(datagrams: Vec<OwnedFd>, listeners: Vec<OwnedFd>, seed: [u64; 4]) -> Self {
        Self {
            datagrams: datagrams.into_iter().map(Into::into).collect(),
            listeners: listeners.into_iter().map(Into::into).collect(),
            seed,
        }
    }

    /// Descriptors of its sockets: those for datagrams, and the listeners.
    ///
    /// # Errors
    /// When there are no more.
    pub(super) fn descriptors(&self) -> io::Result<(Vec<OwnedFd>, Vec<OwnedFd>)> {
        let datagrams = self.datagrams.iter();
        let datagrams = datagrams.map(|it| it.as_fd().try_clone_to_owned());
        let listeners = self.listeners.iter();
        let listeners = listeners.map(|it| it.as_fd().try_clone_to_owned());
        Ok((
            datagrams.collect::<io::Result<_>>()?,
            listeners.collect::<io::Result<_>>()?,
        ))
    }
}

fn open_udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(addr)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn open_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What all sockets share.
struct State {
    answers: Mutex<Arc<Answers>>,
    usage: Mutex<Usage>,
    unlimited: Mutex<Vec<(IpAddr, u8)>>,
}

/// What was taken of late, and what is held.
struct Usage {
    pace: Pace,
    /// Since when questions are counted, and how many there were.
    window: (Instant, u32),
    streams: HashMap<IpAddr, usize>,
}

/// Answers until the thread ends, by what is served at the time.
pub(super) async fn serve(
    server: Option<NameServer>,
    mut served: watch::Receiver<Option<Served>>,
) -> io::Result<()> {
    let first = served.borrow_and_update().clone();
    let (Some(server), Some(mut now)) = (server, first) else {
        return std::future::pending().await;
    };
    let NameServer {
        datagrams,
        listeners,
        seed,
    } = server;
    let answers = Answers::new(&now.zone, now.home_domains, Silent::default());
    let state = Arc::new(State {
        answers: Mutex::new(Arc::new(answers)),
        usage: Mutex::new(Usage {
            pace: Pace::new(seed),
            window: (Instant::now(), 0),
            streams: HashMap::new(),
        }),
        unlimited: Mutex::new(now.unlimited.clone()),
    });
    let mut all = JoinSet::new();
    for socket in datagrams {
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        all.spawn(answer_datagrams(socket, Arc::clone(&state)));
    }
    for listener in listeners {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        all.spawn(accept(listener, Arc::clone(&state)));
    }
    let mut siblings = Siblings::default();
    loop {
        siblings.follow(&now.zone)?;
        let changed = |silent| {
            let answers = Answers::new(&now.zone, now.home_domains, silent);
            *lock(&state.answers) = Arc::new(answers);
        };
        tokio::select! {
            result = siblings.watch(&now.zone, changed) => return result,
            changed = served.changed() => if changed.is_err() {
                return std::future::pending().await;
            }
        }
        if let Some(next) = served.borrow_and_update().clone() {
            now = next;
            now.unlimited.clone_into(&mut lock(&state.unlimited));
        }
    }
}

/// Nothing under these locks can be left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer_datagrams(socket: tokio::net::UdpSocket, state: Arc<State>) {
    let mut question = [0; limits::ZONE_QUESTION_MAX + 1];
    let mut answer = Vec::new();
    loop {
        state.admit_question().await;
        let (len, from) = match socket.recv_from(&mut question).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "a name server's socket has an error");
                sleep(limits::ZONE_STRETCH).await;
                continue;
            }
        };
        let question = question.get(..len);
        let Some(question) = question.filter(|it| it.len() <= limits::ZONE_QUESTION_MAX) else {
            continue;
        };
        let room = state.room(from.ip());
        if state.answers().reply(question, room, &mut answer) {
            // Who does not take it asks again.
            if let Err(error) = socket.try_send_to(&answer, from) {
                tracing::debug!(%error, "the answer of a name server did not leave");
            }
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, state: Arc<State>) {
    let mut streams = JoinSet::new();
    loop {
        state.admit_question().await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = streams.join_next() => continue,
        };
        match accepted {
            Ok((stream, from)) if state.begin(from.ip()) => {
                let held = Held {
                    state: Arc::clone(&state),
                    source: from.ip(),
                };
                streams.spawn(answer_stream(stream, held));
            }
            // Closed at once.
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "a name server cannot accept a connection");
                sleep(limits::ZONE_STRETCH).await;
            }
        }
    }
}

/// One connection in the books.
struct Held {
    state: Arc<State>,
    source: IpAddr,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut books = lock(&self.state.usage);
        if let Some(count) = books.streams.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                books.streams.remove(&self.source);
            }
        }
    }
}

/// Answers what comes over one connection, in order (RFC 7766 §6.2.1.1 allows
/// another one, which would take memory).
async fn answer_stream(mut stream: TcpStream, held: Held) {
    let mut answer = Vec::new();
    for _ in 0..limits::ZONE_STREAM_QUESTIONS {
        let asked = timeout(limits::ZONE_STREAM_IDLE, read_question(&mut stream)).await;
        let Ok(Ok(Some(question))) = asked else {
            return;
        };
        held.state.admit_question().await;
        if !held
            .state
            .answers()
            .reply(&question, Room::Stream, &mut answer)
        {
            return;
        }
        let Ok(len) = u16::try_from(answer.len()) else {
            return;
        };
        let framed = [&len.to_be_bytes()[..], &answer].concat();
        let written = timeout(limits::ZONE_STREAM_IDLE, stream.write_all(&framed)).await;
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

/// `None` for one that is too long to be a question.
async fn read_question(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let len = usize::from(stream.read_u16().await?);
    if len > limits::ZONE_QUESTION_MAX {
        return Ok(None);
    }
    let mut question = vec![0; len];
    stream.read_exact(&mut question).await?;
    Ok(Some(question))
}

impl State {
    /// Counts one question; waits until the stretch is over when it has enough.
    async fn admit_question(&self) {
        loop {
            let end = {
                let mut books = lock(&self.usage);
                let (begin, count) = &mut books.window;
                let now = Instant::now();
                if now.duration_since(*begin) >= limits::ZONE_STRETCH {
                    (*begin, *count) = (now, 0);
                }
                if *count < limits::ZONE_QUESTIONS {
                    *count += 1;
                    return;
                }
                *begin + limits::ZONE_STRETCH
            };
            sleep_until(end.into()).await;
        }
    }

    fn answers(&self) -> Arc<Answers> {
        Arc::clone(&lock(&self.answers))
    }

    /// How much a datagram to that source may hold.
    fn room(&self, source: IpAddr) -> Room {
        if guard::is_in_any(source, &lock(&self.unlimited))
            || lock(&self.usage).pace.take(Instant::now(), source)
        {
            Room::Datagram
        } else {
            Room::Header
        }
    }

    /// Notes a connection of that source; false where there are enough.
    fn begin(&self, source: IpAddr) -> bool {
        let (all, one) = limits::ZONE_STREAMS;
        let mut books = lock(&self.usage);
        let held: usize = books.streams.values().sum();
        let count = books.streams.get(&source).copied().unwrap_or(0);
        let has_room = held < all && count < one;
        if has_room {
            books.streams.insert(source, count + 1);
        }
        has_room
    }
}
