//! A shard on its way into another process.

use super::{Input, RoleState, Setup, Shard};
use crate::carry::{Carried, Reader, Unreadable, Writer};
use crate::time::Instant;

impl Shard {
    /// What a shard in another process needs to go on where this one stands (`carry`): its
    /// flows under the same names, its bindings, registrations, transactions and timers. `poll`
    /// was drained, and nothing is handled meanwhile. A user agent has nothing to hand on.
    ///
    /// # Errors
    /// When there is something to be done yet, or nothing that could be handed on.
    pub fn write(&self) -> Result<Vec<u8>, Unreadable> {
        if !self.net.outbox.is_empty() {
            return Err(Unreadable);
        }
        let mut out = Writer::default();
        out.value(&self.check());
        self.net.write(&mut out);
        self.proxy.write(&mut out);
        out.value(&(self.sheds_since, &self.closing));
        match &self.role {
            RoleState::Edge(edge) => edge.write(&mut out),
            RoleState::Home(home) => home.write(&mut out),
            RoleState::Agent(_) => return Err(Unreadable),
        }
        out.finish()
    }

    /// The shard that `write` has written, at the same sockets, under the same seeds, settings
    /// and calendar: `setup` is equal to the one that it began with.
    ///
    /// # Errors
    /// When the bytes are not of such a shard.
    pub fn read(setup: Setup, now: Instant, bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut shard = Self::at_rest(setup, now);
        let mut input = Reader::new(bytes);
        // Every table is built anew, and every key that stands in one was made by a hash.
        if input.value::<u64>()? != shard.check() {
            return Err(Unreadable);
        }
        shard.net.read(&mut input)?;
        shard.proxy.read(&mut input)?;
        (shard.sheds_since, shard.closing) = input.value()?;
        match &mut shard.role {
            RoleState::Edge(edge) => edge.read(&mut input)?,
            RoleState::Home(home) => home.read(&mut input)?,
            RoleState::Agent(_) => return Err(Unreadable),
        }
        input.finish()?;
        let Self { net, proxy, .. } = &mut shard;
        net.txns.adopt_bufs(&net.pool);
        net.held_answers.adopt_bufs(&net.pool);
        proxy.adopt_bufs(&net.pool);
        Ok(shard)
    }

    /// Begins in the new process: what the DNS was asked by the one before it is asked again, and
    /// all that was put out for the store is on disk.
    pub fn take_up(&mut self, now: Instant) {
        self.net.servers.ask_again(&mut self.net.outbox);
        if let RoleState::Home(home) = &mut self.role {
            home.forget_under_way();
            let up_to = home.put_out();
            self.handle(now, Input::Stored { up_to });
        }
        self.net.ask_store_again();
    }

    /// What the keyed hashes of this program make of the seed.
    fn check(&self) -> u64 {
        let keys = self.net.txns.keys();
        keys.cookie(b"z9hG4bK", b"host", 5060, b"INVITE").hash()
            ^ self.net.secrets.hash([&b"1"[..]])
    }
}
