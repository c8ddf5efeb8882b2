//! Datagrams that wait for a full send buffer.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::bytes::Buf;

/// Datagrams in the order in which they were pushed, at most `max` of them.
///
/// Requests and everything else stand in two lines with one numbering, so that
/// the oldest request is found without a search.
#[derive(Debug)]
pub struct DatagramQueue {
    requests: VecDeque<Waiting>,
    others: VecDeque<Waiting>,
    pushed: u64,
    max: usize,
    dropped: Dropped,
}

/// What a datagram queue has thrown away since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Requests; their senders' timers send them again.
    pub requests: u64,
    /// Responses and keep-alives, dropped only where no request was left.
    pub others: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    peer: SocketAddr,
    bytes: Buf,
}

impl DatagramQueue {
    /// An empty queue for at most `max` datagrams.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        let dropped = Dropped {
            requests: 0,
            others: 0,
        };
        Self {
            requests: VecDeque::new(),
            others: VecDeque::new(),
            pushed: 0,
            max,
            dropped,
        }
    }

    /// Number of datagrams that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len() + self.others.len()
    }

    /// True when none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the bound has cost so far.
    #[must_use]
    pub const fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Adds a datagram at the end. At the bound the oldest request makes room,
    /// and where there is none, the oldest datagram.
    pub fn push(&mut self, peer: SocketAddr, bytes: Buf, is_request: bool) {
        if self.len() >= self.max {
            self.make_room();
        }
        let waiting = Waiting {
            number: self.pushed,
            peer,
            bytes,
        };
        self.pushed += 1;
        let line = if is_request {
            &mut self.requests
        } else {
            &mut self.others
        };
        line.push_back(waiting);
    }

    /// Takes the oldest datagram out.
    pub fn pop(&mut self) -> Option<(SocketAddr, Buf)> {
        let line = if self.is_request_first() {
            &mut self.requests
        } else {
            &mut self.others
        };
        let waiting = line.pop_front()?;
        Some((waiting.peer, waiting.bytes))
    }

    fn is_request_first(&self) -> bool {
        match (self.requests.front(), self.others.front()) {
            (Some(request), Some(other)) => request.number < other.number,
            (request, _) => request.is_some(),
        }
    }

    fn make_room(&mut self) {
        if self.requests.pop_front().is_some() {
            self.dropped.requests += 1;
        } else if self.others.pop_front().is_some() {
            self.dropped.others += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Pool;

    const PEER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5060);

    /// Pushes the words of `input` (those in capitals are requests) and says
    /// what is left, in order.
    #[track_caller]
    fn check(max: usize, input: &str, want: &str, dropped: Dropped) {
        let pool = Pool::new();
        let mut queue = DatagramQueue::new(max);
        for word in input.split(' ') {
            let is_request = word.chars().all(char::is_uppercase);
            queue.push(PEER, pool.copy(word.as_bytes()), is_request);
        }
        assert_eq!(queue.dropped(), dropped);
        assert_eq!((words(&mut queue), queue.is_empty()), (want.into(), true));
    }

    /// Takes all out.
    fn words(queue: &mut DatagramQueue) -> String {
        let words = std::iter::from_fn(|| queue.pop());
        let words: Vec<_> = words
            .map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned())
            .collect();
        words.join(" ")
    }

    #[test]
    fn datagrams_leave_in_the_order_they_came() {
        check(8, "A b C d e F", "A b C d e F", Dropped::default());
    }

    #[test]
    fn at_the_bound_the_oldest_request_goes() {
        check(
            3,
            "a B c D",
            "a c D",
            Dropped {
                requests: 1,
                others: 0,
            },
        );
        check(
            3,
            "a B C d E",
            "a d E",
            Dropped {
                requests: 2,
                others: 0,
            },
        );
    }

    #[test]
    fn without_a_request_the_oldest_of_all_goes() {
        check(
            3,
            "a b c d",
            "b c d",
            Dropped {
                requests: 0,
                others: 1,
            },
        );
        check(
            2,
            "A b c d",
            "c d",
            Dropped {
                requests: 1,
                others: 1,
            },
        );
    }
}
