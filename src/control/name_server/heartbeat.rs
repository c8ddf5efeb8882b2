//! Which members live: each is asked by STUN on its SIP port (RFC 5389), as its
//! phones do, and from a port of its own, so that nothing passes through a shard
//! here. A member that is too long silent is listed last until it answers again.
//!
//! An answer is believed for its address and for its transaction, which nobody
//! else can know.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::random;
use crate::frame::stun;
use crate::limits;
use crate::zone::{Silent, Zone};

/// A member, and when it was heard last.
struct Sibling {
    index: usize,
    addr: SocketAddr,
    last_answer: Instant,
    /// The last two questions: an answer may be late.
    transactions: [[u8; 12]; 2],
}

/// The other members, from one zone to the next.
#[derive(Default)]
pub(super) struct Siblings(Vec<Sibling>);

impl Siblings {
    /// Takes over the members of a zone. What was heard of those that were there already is
    /// remembered, so that a dead one is not named first for a while.
    pub(super) fn follow(&mut self, zone: &Zone) -> io::Result<()> {
        let before = std::mem::take(&mut self.0);
        for (index, ip, port) in zone.siblings() {
            let addr = SocketAddr::new(ip, port);
            let known = before.iter().find(|sibling| sibling.addr == addr);
            self.0.push(Sibling {
                index,
                addr,
                // Who has not been asked is not silent.
                last_answer: known.map_or_else(Instant::now, |known| known.last_answer),
                transactions: match known {
                    Some(known) => known.transactions,
                    None => [random()?, random()?],
                },
            });
        }
        Ok(())
    }

    /// Tells `changed` who is silent: at once, and whenever that is somebody else.
    pub(super) async fn watch(
        &mut self,
        zone: &Zone,
        mut changed: impl FnMut(Silent),
    ) -> io::Result<()> {
        let siblings = &mut self.0;
        let v4 = socket(siblings, Ipv4Addr::UNSPECIFIED.into()).await?;
        let v6 = socket(siblings, Ipv6Addr::UNSPECIFIED.into()).await?;
        let mut silent = who_is_silent(siblings);
        changed(silent);
        let mut ticks = interval(limits::ZONE_ASK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let now = who_is_silent(siblings);
                    if now != silent {
                        say_difference(zone, siblings, silent, now);
                        silent = now;
                        changed(silent);
                    }
                    for sibling in siblings.iter_mut() {
                        send_query(sibling, v4.as_ref(), v6.as_ref())?;
                    }
                }
                Some((len, from, answer)) = receive(v4.as_ref()) => {
                    hear(siblings, from, answer.get(..len).unwrap_or_default());
                }
                Some((len, from, answer)) = receive(v6.as_ref()) => {
                    hear(siblings, from, answer.get(..len).unwrap_or_default());
                }
            }
        }
    }
}

/// A socket for the members of one family, if there are any.
async fn socket(siblings: &[Sibling], any: IpAddr) -> io::Result<Option<UdpSocket>> {
    let mut siblings = siblings.iter();
    if !siblings.any(|sibling| sibling.addr.is_ipv4() == any.is_ipv4()) {
        return Ok(None);
    }
    match UdpSocket::bind(SocketAddr::new(any, 0)).await {
        Ok(socket) => Ok(Some(socket)),
        Err(error) => {
            tracing::warn!(%error, "the other members cannot be asked whether they live");
            Ok(None)
        }
    }
}

/// Who is silent by now.
fn who_is_silent(siblings: &[Sibling]) -> Silent {
    let mut silent = Silent::default();
    for Sibling {
        index, last_answer, ..
    } in siblings
    {
        let is_silent = last_answer.elapsed() > limits::ZONE_SILENCE_MAX;
        silent = silent.with(*index, is_silent);
    }
    silent
}

fn say_difference(zone: &Zone, siblings: &[Sibling], before: Silent, now: Silent) {
    for Sibling { index, .. } in siblings {
        let member = zone.member(*index);
        match (before.has(*index), now.has(*index)) {
            (false, true) => tracing::warn!(member, "a member is silent, and last in the zone"),
            (true, false) => tracing::info!(
                member,
                "a member answers again, and has its place in the zone"
            ),
            (false, false) | (true, true) => {}
        }
    }
}

fn send_query(
    sibling: &mut Sibling,
    v4: Option<&UdpSocket>,
    v6: Option<&UdpSocket>,
) -> io::Result<()> {
    let [_, last] = sibling.transactions;
    let next = random()?;
    sibling.transactions = [last, next];
    let mut question = Vec::with_capacity(stun::HEADER);
    stun::request(next, &mut question);
    let socket = if sibling.addr.is_ipv4() { v4 } else { v6 };
    if let Some(socket) = socket
        && let Err(error) = socket.try_send_to(&question, sibling.addr)
    {
        // No route, or the news of an earlier one: silence says the same.
        tracing::debug!(%error, addr = %sibling.addr, "a member cannot be asked");
    }
    Ok(())
}

/// The next datagram; never, without a socket. `None` for an error, such as the
/// news that nobody listens there.
async fn receive(socket: Option<&UdpSocket>) -> Option<(usize, SocketAddr, [u8; ANSWER_MAX])> {
    let Some(socket) = socket else {
        return std::future::pending().await;
    };
    let mut answer = [0; ANSWER_MAX];
    let (len, from) = socket.recv_from(&mut answer).await.ok()?;
    Some((len, from, answer))
}

fn hear(siblings: &mut [Sibling], from: SocketAddr, answer: &[u8]) {
    let Some(transaction) = stun::answered(answer) else {
        return;
    };
    let mut siblings = siblings.iter_mut();
    let is_it = |one: &&mut Sibling| one.addr == from && one.transactions.contains(&transaction);
    if let Some(sibling) = siblings.find(is_it) {
        sibling.last_answer = Instant::now();
    }
}

/// A Binding Success with the attributes that others may add.
const ANSWER_MAX: usize = 512;
