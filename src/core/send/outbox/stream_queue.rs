//! Bytes that wait for a stream's slow reader.

use std::collections::VecDeque;

use crate::bytes::Buf;

/// Whole messages in order, the first of them perhaps partly written, at most
/// `max` bytes together and `max / MESSAGE_COST` of them: a short message holds
/// a whole buffer too.
#[derive(Debug)]
pub struct StreamQueue {
    messages: VecDeque<Buf>,
    /// Bytes of the first message that are written already.
    written: usize,
    len: usize,
    max: usize,
}

/// The queue holds its bound already. Nothing was taken in: the stream is to
/// be closed, since a message left out would break its framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer does not read what it is sent")]
pub struct Overflow;

impl StreamQueue {
    /// An empty queue for at most `max` bytes.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            written: 0,
            len: 0,
            max,
        }
    }

    /// Bytes that wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a message at the end. An empty one is no message.
    ///
    /// # Errors
    /// `Overflow` when it does not fit.
    pub fn push(&mut self, bytes: Buf) -> Result<(), Overflow> {
        if bytes.is_empty() {
            return Ok(());
        }
        let most = (self.max / MESSAGE_COST).max(FEW);
        let full = self.messages.len() >= most;
        if full || bytes.len() > self.max - self.len {
            return Err(Overflow);
        }
        self.len += bytes.len();
        self.messages.push_back(bytes);
        Ok(())
    }

    /// What is to be written next, in order; of the first so many bytes are written.
    pub fn messages(&self) -> (impl ExactSizeIterator<Item = &Buf>, usize) {
        (self.messages.iter(), self.written)
    }

    /// What is to be written next, in order.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let skip = |index| if index == 0 { self.written } else { 0 };
        self.messages
            .iter()
            .enumerate()
            .map(move |(index, bytes)| &bytes[skip(index)..])
    }

    /// Takes the first `written` bytes out.
    pub fn advance(&mut self, written: usize) {
        self.written += written;
        self.len -= written;
        while let Some(first) = self.messages.front()
            && self.written >= first.len()
        {
            self.written -= first.len();
            self.messages.pop_front();
        }
        if self.messages.is_empty() {
            // An idle flow holds no memory for a burst of long ago.
            self.messages = VecDeque::new();
        }
    }
}

/// Memory that even the shortest message holds, in bytes: the smallest buffer.
const MESSAGE_COST: usize = 512;
/// Messages that even the smallest queue takes.
const FEW: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Pool;

    fn rest(queue: &StreamQueue) -> Vec<u8> {
        queue.slices().flatten().copied().collect()
    }

    #[test]
    fn every_split_of_the_writes_leaves_the_rest_in_order() {
        let whole = b"INVITE--ACK-BYE";
        for first in 0..=whole.len() {
            for second in 0..=whole.len() - first {
                let pool = Pool::new();
                let mut queue = StreamQueue::new(64);
                for message in [&b"INVITE--"[..], b"ACK-", b"BYE"] {
                    queue.push(pool.copy(message)).unwrap();
                }
                queue.advance(first);
                assert_eq!(rest(&queue), &whole[first..]);
                queue.advance(second);
                assert_eq!(rest(&queue), &whole[first + second..]);
                assert_eq!(queue.len(), whole.len() - first - second);
            }
        }
    }

    #[test]
    fn the_bound_is_exact_and_refuses_whole_messages() {
        let pool = Pool::new();
        let mut queue = StreamQueue::new(8);
        queue.push(pool.copy(b"12345")).unwrap();
        assert_eq!(queue.push(pool.copy(b"6789")), Err(Overflow));
        queue.push(pool.copy(b"678")).unwrap();
        assert_eq!(rest(&queue), b"12345678");
        queue.advance(1);
        queue.push(pool.copy(b"9")).unwrap();
        assert_eq!(rest(&queue), b"23456789");
    }

    #[test]
    fn what_was_written_goes_back_to_its_pool() {
        let pool = Pool::new();
        let mut queue = StreamQueue::new(64);
        queue.push(pool.copy(b"one")).unwrap();
        queue.push(pool.copy(b"two")).unwrap();
        queue.advance(4);
        assert_eq!((pool.idle(), rest(&queue)), (1, b"wo".to_vec()));
    }

    #[test]
    fn many_short_messages_are_as_bounded_as_their_memory() {
        let (pool, max) = (Pool::new(), 64 * 1024);
        let mut queue = StreamQueue::new(max);
        let taken = (0..max).take_while(|_| queue.push(pool.copy(b"\r\n")).is_ok());
        assert_eq!(taken.count(), max / MESSAGE_COST);
    }

    #[test]
    fn an_empty_message_waits_for_nothing() {
        let mut queue = StreamQueue::new(64);
        queue.push(Pool::new().copy(b"")).unwrap();
        assert_eq!((queue.is_empty(), queue.slices().count()), (true, 0));
    }
}
