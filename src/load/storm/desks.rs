//! What the edges and homes of the storm make of a message.

use super::phones::Waits;
use super::servers::{Kind, Message};
use super::world::{STORM_MS, World};
use crate::admission::Class;

impl World<'_> {
    pub(super) fn deliver(&mut self, edge: u8, kind: Kind, whose: u32, attempt: u16) {
        if edge < self.options.dead && self.now >= STORM_MS {
            return;
        }
        self.edges[usize::from(edge)].push(Message {
            kind,
            whose,
            attempt,
            came_ms: self.now,
            edge,
        });
    }

    pub(super) fn turn_of_edge(&mut self, place: usize) {
        if self.edges[place].is_idle() {
            return;
        }
        self.edges[place].begin();
        while let Some(message) = self.edges[place].next(self.now) {
            let price = self.at_edge(place, message);
            self.edges[place].spend(price);
        }
        self.edges[place].end(self.now);
    }

    /// An edge reads a message; what that costs it.
    fn at_edge(&mut self, place: usize, message: Message) -> i64 {
        let class = self.class_at_edge(message);
        if self.is_repeated(message) {
            return self.options.refuse;
        }
        let home = message.whose as usize / 2 % self.homes.len();
        let asked = place * self.homes.len() + home;
        let refused = if self.edges[place].admits(self.now, class) {
            let thinning = &mut self.towards[asked];
            (!thinning.admits(class)).then(|| thinning.loss())
        } else {
            Some(self.edges[place].loss())
        };
        if let Some(loss) = refused {
            self.refused(message, loss);
            return self.options.refuse;
        }
        let came_ms = self.now;
        if self.homes[home].push(Message { came_ms, ..message }) {
            // What is lost on the way to the home, the edge sends again by its
            // own timers, which are those of the phone.
            self.mark_read(message);
        }
        self.price(message)
    }

    pub(super) fn turn_of_home(&mut self, place: usize) {
        if self.homes[place].is_idle() {
            return;
        }
        self.homes[place].begin();
        while let Some(message) = self.homes[place].next(self.now) {
            let price = self.at_home(place, message);
            self.homes[place].spend(price);
            // V-2: every answer says what the home wants to lose.
            let asked = usize::from(message.edge) * self.homes.len() + place;
            let loss = self.homes[place].loss();
            self.towards[asked].set(loss);
        }
        self.homes[place].end(self.now);
    }

    fn at_home(&mut self, place: usize, message: Message) -> i64 {
        let class = match message.kind {
            Kind::Asking => Class::New,
            Kind::Proven => Class::Renewal,
            Kind::Call => Class::Call,
            Kind::End => Class::Standing,
        };
        if !self.homes[place].admits(self.now, class) {
            // The edge makes a 500 with a short Retry-After of it (P-24).
            self.refused(message, 0);
            return self.options.refuse;
        }
        if self.is_current(message) {
            match message.kind {
                Kind::Asking => self.attempt(message.whose, Waits::Ok),
                Kind::Proven => self.flow_up(message.whose),
                Kind::Call | Kind::End => self.call_over(message.whose, Some(())),
            }
        }
        self.price(message)
    }

    fn class_at_edge(&self, message: Message) -> Class {
        match message.kind {
            Kind::Asking | Kind::Proven if self.flow(message.whose).is_up => Class::Renewal,
            Kind::Asking | Kind::Proven => Class::New,
            Kind::Call => Class::Call,
            Kind::End => Class::Standing,
        }
    }

    const fn price(&self, message: Message) -> i64 {
        match message.kind {
            Kind::Asking | Kind::Proven => self.options.register,
            Kind::Call | Kind::End => self.options.call,
        }
    }

    fn refused(&mut self, message: Message, loss: u8) {
        if self.is_current(message) {
            match message.kind {
                Kind::Asking | Kind::Proven => self.flow_refused(message.whose, loss),
                Kind::Call | Kind::End => self.call_over(message.whose, None),
            }
        }
    }

    /// Whether its sender still waits for an answer to it.
    fn is_current(&self, message: Message) -> bool {
        let attempt = match message.kind {
            Kind::Asking | Kind::Proven => self.flow(message.whose).attempt,
            Kind::Call | Kind::End => self.call(message.whose).attempt,
        };
        attempt == message.attempt
    }

    /// Whether the edge has its transaction already.
    fn is_repeated(&self, message: Message) -> bool {
        let is_read = match message.kind {
            Kind::Asking | Kind::Proven => self.flow(message.whose).is_read,
            Kind::Call | Kind::End => self.call(message.whose).is_read,
        };
        is_read && self.is_current(message)
    }

    fn mark_read(&mut self, message: Message) {
        if !self.is_current(message) {
            return;
        }
        match message.kind {
            Kind::Asking | Kind::Proven => self.flow_mut(message.whose).is_read = true,
            Kind::Call | Kind::End => self.call_mut(message.whose).is_read = true,
        }
    }
}
