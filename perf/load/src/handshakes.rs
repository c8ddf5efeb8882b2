//! Connections over TLS that are opened, asked one thing and closed again: what a handshake costs
//! whoever accepts it, full or resumed.
//!
//! The request is an OPTIONS, so that a connection counts as a phone's, and its answer brings the
//! tickets of TLS 1.3 with it, which stand before it in the stream. Each place has tickets of its
//! own: a place resumes what it had itself, so that no attempt finds them used up by another.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rustls::{ClientConnection, HandshakeKind};
use socket2::{Domain, Protocol, Socket, Type};
use steadfast_core::limits::EVENTS_MAX;

use super::Fault;
use super::batch;
use super::bounds::PATIENCE;
use super::compose::knock;
use super::measure::{self, Outcome};
use super::options::{Handshakes, Options};
use super::pace::{Arrivals, Next, Pace};
use super::scenes::raise_open_files;
use super::tally::Tally;
use super::trust::{Tickets, Trust};
use super::wires::later;

/// Between two looks at what has been waiting for too long.
const GLANCE: Duration = Duration::from_millis(200);

/// Runs the load and prints what came of it.
pub(super) fn run(handshakes: &Handshakes) -> Result<(), Fault> {
    handshakes.check().map_err(Fault::Options)?;
    raise_open_files()?;
    let options = &handshakes.options;
    let mut places = Places::new(handshakes)?;
    if handshakes.resumed {
        // Every place meets the other end once, at the same time as all others.
        let pace = Pace {
            arrivals: Arrivals::Closed {
                window: options.window,
            },
            until: Instant::now() + PATIENCE,
            most: options.window as u64,
        };
        places.drive(&pace, &mut |_| {})?;
        let failed = places.tally.failed();
        if failed > 0 {
            return Err(Fault::Options(format!(
                "{failed} of {} first handshakes failed: there is nothing to resume",
                options.window
            )));
        }
        places.wanted = HandshakeKind::Resumed;
        places.tally = Tally::new()?;
    }
    let report = measure::watched(options, "handshakes", |pace, glance| {
        let lasted = places.drive(pace, glance)?;
        Ok(Outcome {
            tally: places.tally,
            lasted,
            more: vec![("other_kind", places.other_kind)],
        })
    })?;
    measure::print(options, &report)?;
    measure::verdict(&report)
}

/// Connections under way, each in a place of its own.
struct Places<'a> {
    options: &'a Options,
    ready: Epoll,
    /// The tickets of each place.
    trusts: Vec<Trust>,
    meetings: Vec<Option<Meeting>>,
    free: Vec<usize>,
    begun: u32,
    wanted: HandshakeKind,
    /// Handshakes that were full where they should be resumed, or the other way round.
    other_kind: u64,
    tally: Tally,
}

/// A connection under way.
struct Meeting {
    socket: TcpStream,
    session: ClientConnection,
    intended: Instant,
    begun: Instant,
    answer: Vec<u8>,
    /// The readiness set tells when it takes more.
    is_watched: bool,
}

impl<'a> Places<'a> {
    fn new(handshakes: &'a Handshakes) -> Result<Self, Fault> {
        let options = &handshakes.options;
        // `check` has seen that there is one.
        let ca = options.ca.as_deref().unwrap_or_else(|| "".as_ref());
        let trust = Trust::load(ca, &options.name)?;
        let tickets = if handshakes.resumed {
            Tickets::Kept
        } else {
            Tickets::Refused
        };
        let window = options.window;
        Ok(Self {
            options,
            ready: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(io::Error::from)?,
            trusts: (0..window).map(|_| trust.with(tickets)).collect(),
            meetings: (0..window).map(|_| None).collect(),
            free: (0..window).collect(),
            begun: 0,
            wanted: HandshakeKind::Full,
            other_kind: 0,
            tally: Tally::new()?,
        })
    }

    fn pending(&self) -> usize {
        self.meetings.len() - self.free.len()
    }

    /// Runs until every attempt has ended; the time from the first one to the end of the last.
    fn drive(&mut self, pace: &Pace, glance: &mut dyn FnMut(&Tally)) -> Result<Duration, Fault> {
        let mut events = vec![EpollEvent::empty(); EVENTS_MAX];
        let began = Instant::now();
        let (mut begun, mut seen, mut last) = (0, began, began);
        loop {
            let next = self.begin(pace, &mut begun);
            if next == Next::Never && self.pending() == 0 {
                return Ok(last.duration_since(began));
            }
            let most = match next {
                Next::Now(_) => Duration::ZERO,
                Next::At(at) => at.saturating_duration_since(Instant::now()).min(GLANCE),
                Next::Later | Next::Never => GLANCE,
            };
            if !most.is_zero() {
                batch::wait(self.ready.0.as_fd(), most)?;
            }
            let count = self.ready.wait(&mut events, EpollTimeout::ZERO);
            for event in &events[..count.map_err(io::Error::from)?] {
                self.advance(usize::try_from(event.data()).unwrap_or(usize::MAX));
                last = Instant::now();
            }
            if seen.elapsed() >= GLANCE {
                seen = Instant::now();
                self.give_up(seen);
                glance(&self.tally);
            }
        }
    }

    /// Begins what should have begun by now.
    fn begin(&mut self, pace: &Pace, begun: &mut u64) -> Next {
        loop {
            let now = Instant::now();
            match pace.next(now, *begun, self.pending()) {
                Next::Now(intended) => {
                    *begun += 1;
                    self.tally.attempted += 1;
                    match self.free.pop() {
                        Some(place) => self.open(place, intended, now),
                        None => self.tally.not_begun += 1,
                    }
                }
                other @ (Next::At(_) | Next::Later | Next::Never) => return other,
            }
        }
    }

    fn open(&mut self, place: usize, intended: Instant, now: Instant) {
        self.begun = self.begun.wrapping_add(1);
        let opened = self.meet(place, intended, now);
        match opened {
            Ok(meeting) => {
                self.meetings[place] = Some(meeting);
                self.advance(place);
            }
            Err(_refused) => {
                self.tally.broken += 1;
                self.free.push(place);
            }
        }
    }

    /// Opens a connection from the next address, and says all there is to say on it.
    fn meet(&self, place: usize, intended: Instant, begun: Instant) -> io::Result<Meeting> {
        let (options, number) = (self.options, self.begun);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        let from = Ipv4Addr::from(u32::from(options.from) + number % options.phones);
        socket.bind(&SocketAddrV4::new(from, 0).into())?;
        let to = options.to[number as usize % options.to.len()];
        match socket.connect(&to.into()) {
            Err(why) if why.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(why),
            Ok(()) | Err(_) => {}
        }
        let socket = TcpStream::from(socket);
        let mut session = self.trusts[place].session()?;
        session.writer().write_all(knock(number).as_bytes())?;
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT;
        self.ready
            .add(&socket, EpollEvent::new(interest, place as u64))?;
        Ok(Meeting {
            socket,
            session,
            intended,
            begun,
            answer: Vec::new(),
            is_watched: true,
        })
    }

    /// Goes on with one as far as the kernel lets it.
    fn advance(&mut self, place: usize) {
        let Some(Some(meeting)) = self.meetings.get_mut(place) else {
            return;
        };
        match meeting.advance(&self.ready, place) {
            Ok(None) => return,
            Ok(Some(status)) => {
                let kind = meeting.session.handshake_kind();
                let is_wanted = kind == Some(self.wanted);
                self.other_kind += u64::from(!is_wanted);
                match (status, is_wanted) {
                    (200..300, true) => {
                        self.tally.done += 1;
                        self.tally.answered(meeting.intended, Instant::now());
                    }
                    (_, false) => self.tally.broken += 1,
                    (status, true) => self.tally.refuse(status),
                }
                meeting.take_leave();
            }
            Err(_gone) => self.tally.broken += 1,
        }
        self.meetings[place] = None;
        self.free.push(place);
    }

    /// Ends those that have waited for too long.
    fn give_up(&mut self, now: Instant) {
        for (place, entry) in self.meetings.iter_mut().enumerate() {
            let waits = entry.as_ref().map(|meeting| now - meeting.begun);
            if waits.is_some_and(|waits| waits > PATIENCE) {
                *entry = None;
                self.tally.timed_out += 1;
                self.free.push(place);
            }
        }
    }
}

impl Meeting {
    /// Writes and reads; the status of the answer once all of it is there.
    fn advance(&mut self, ready: &Epoll, place: usize) -> io::Result<Option<u16>> {
        loop {
            self.write()?;
            match later(self.session.read_tls(&mut self.socket))? {
                None => break,
                Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(_) => {}
            }
            let state = self.session.process_new_packets();
            let count = state.map_err(io::Error::other)?.plaintext_bytes_to_read();
            let before = self.answer.len();
            self.answer.resize(before + count, 0);
            self.session
                .reader()
                .read_exact(&mut self.answer[before..])?;
        }
        if self.answer.ends_with(b"\r\n\r\n") {
            return Ok(Some(status(&self.answer)));
        }
        let is_full = self.session.wants_write();
        if is_full != self.is_watched {
            self.is_watched = is_full;
            let mut interest = EpollFlags::EPOLLIN;
            interest.set(EpollFlags::EPOLLOUT, is_full);
            let mut event = EpollEvent::new(interest, place as u64);
            ready.modify(&self.socket, &mut event)?;
        }
        Ok(None)
    }

    fn write(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            if later(self.session.write_tls(&mut self.socket))?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Ends the session as TLS wants it; the answer has come, so nothing is lost where it cannot.
    fn take_leave(&mut self) {
        self.session.send_close_notify();
        self.write().unwrap_or_default();
    }
}

/// The status of an answer; 0 for what is none.
fn status(answer: &[u8]) -> u16 {
    let digits = answer.strip_prefix(b"SIP/2.0 ").and_then(|it| it.get(..3));
    let digits = digits.and_then(|it| std::str::from_utf8(it).ok());
    digits.and_then(|it| it.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status() {
        assert_eq!(status(b"SIP/2.0 200 OK\r\n\r\n"), 200);
        assert_eq!(status(b"SIP/2.0 4"), 0);
        assert_eq!(status(b"OPTIONS sip:x SIP/2.0\r\n\r\n"), 0);
    }
}
