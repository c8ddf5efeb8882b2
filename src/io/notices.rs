//! What a shard tells its operator: in the log, and the last of it to whoever asks.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::guard::Near;
use crate::limits;
use crate::shard::Notice;

/// Something that the operator was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When, in seconds since 1970.
    pub unix: u64,
    /// Something is wrong, and not mended.
    pub is_bad: bool,
    /// Whom it is about, where that is a home or an edge.
    pub peer: Option<SocketAddr>,
    /// What it is.
    pub text: String,
}

/// The last things that a shard told.
#[derive(Debug, Default)]
pub(super) struct Notices(VecDeque<Told>);

impl Notices {
    /// Tells one.
    pub(super) fn tell(&mut self, unix: u64, notice: &Notice) {
        log(notice);
        if self.0.len() >= limits::NOTICES_KEPT {
            self.0.pop_front();
        }
        self.0.push_back(told(unix, notice));
    }

    /// The oldest first.
    pub(super) fn last(&self) -> Vec<Told> {
        self.0.iter().cloned().collect()
    }
}

fn told(unix: u64, notice: &Notice) -> Told {
    let (is_bad, peer, text) = match notice {
        Notice::PeerUp { peer, transport } => {
            let text = format!("answers over {}", transport.uri_token());
            (false, Some(*peer), text)
        }
        Notice::PeerDown {
            peer,
            transport,
            why,
        } => {
            let text = format!("is down over {}: {why}", transport.uri_token());
            (true, Some(*peer), text)
        }
        Notice::UnrecognisedEdge { source, .. } => {
            let text = format!("phones that register through {source} are sent away");
            (true, None, text)
        }
        Notice::SipsRefused { source } => {
            let text = format!("sips from {source} is refused: the way on is not TLS");
            (true, None, text)
        }
        Notice::SheddingBegan { percent } => {
            let text = format!("late in its work: {percent} % of what is new is refused");
            (true, None, text)
        }
        Notice::SheddingEnded { lasted, refused } => {
            let seconds = lasted.as_secs();
            let text = format!("in time again after {seconds} s, in which {refused} were refused");
            (false, None, text)
        }
        Notice::SourceNear { source, near } => {
            let Near { held, most } = *near;
            let text = format!("{source} has {held} of at most {most} connections");
            (true, None, text)
        }
    };
    Told {
        unix,
        is_bad,
        peer,
        text,
    }
}

fn log(notice: &Notice) {
    match notice {
        Notice::PeerUp { peer, transport } => {
            tracing::info!(%peer, transport = transport.uri_token(), "peer is up");
        }
        Notice::PeerDown {
            peer,
            transport,
            why,
        } => {
            tracing::warn!(%peer, transport = transport.uri_token(), why, "peer is down");
        }
        Notice::UnrecognisedEdge { source, is_tls } => {
            let why = if *is_tls {
                "its certificate does not name the cluster: if it is an edge, give it one that does"
            } else {
                "it is not in `edge_peers`: if it is an edge, add it there"
            };
            tracing::warn!(%source, "phones that register through this address are sent away: {why}");
        }
        Notice::SipsRefused { source } => {
            tracing::warn!(
                %source,
                "`sips` is refused with 480, here and from now on, where the way on is not TLS: \
                 reach the homes over TLS (`home`), or have such phones use `sip` over TLS"
            );
        }
        Notice::SheddingBegan { percent } => {
            tracing::warn!(
                percent,
                "late in its work: a share of what is new is refused, the least worth first"
            );
        }
        Notice::SheddingEnded { lasted, refused } => {
            let seconds = lasted.as_secs();
            tracing::info!(seconds, refused, "in time again: everything is taken in");
        }
        Notice::SourceNear { source, near } => {
            let Near { held, most } = *near;
            tracing::warn!(%source, held, most, "a source comes near its bound of connections");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Transport;

    #[test]
    fn the_last_notices_are_kept_and_the_oldest_forgotten() {
        let mut notices = Notices::default();
        let down = |port| Notice::PeerDown {
            peer: SocketAddr::from(([192, 0, 2, 1], port)),
            transport: Transport::Tcp,
            why: "it does not answer",
        };
        for port in 0..=u16::try_from(limits::NOTICES_KEPT).unwrap() {
            notices.tell(7, &down(port));
        }
        let last = notices.last();
        assert_eq!(last.len(), limits::NOTICES_KEPT);
        assert_eq!(last[0].peer, Some(SocketAddr::from(([192, 0, 2, 1], 1))));
        assert_eq!(last[0].text, "is down over tcp: it does not answer");
        assert!(last[0].is_bad && last[0].unix == 7);
    }
}
