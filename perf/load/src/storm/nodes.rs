//! What the edges and homes of the storm make of a message.

use steadfast_core::admission::RequestClass;
use steadfast_core::limits;

use super::phones::Waits;
use super::servers::{Kind, Message};
use super::world::{Due, Pacing, STORM_MS, World};

impl World<'_> {
    /// Brings a message to an edge; false: it has not arrived.
    pub(super) fn deliver(&mut self, edge: u8, kind: Kind, whose: u32, attempt: u16) -> bool {
        if edge < self.options.dead && self.now >= STORM_MS {
            return false;
        }
        let is_stream = if kind.is_of_call() {
            self.is_tls(self.call(whose).phone * 2)
        } else {
            self.is_tls(whose)
        };
        let message = Message {
            kind,
            whose,
            attempt,
            came_ms: self.now,
            edge,
        };
        self.edges[usize::from(edge)].push(message, is_stream)
    }

    pub(super) fn turn_of_edge(&mut self, index: usize) {
        if self.edges[index].is_idle() {
            return;
        }
        self.edges[index].begin();
        while let Some(message) = self.edges[index].next(self.now) {
            let price = self.at_edge(index, message);
            self.edges[index].spend(price);
        }
        self.edges[index].end(self.now);
    }

    /// An edge reads a message; what that costs it.
    fn at_edge(&mut self, index: usize, message: Message) -> i64 {
        match message.kind {
            Kind::Connect => return self.on_connect(index, message),
            Kind::ClientHello => return self.on_client_hello(index, message),
            Kind::Asking | Kind::Proven | Kind::Call | Kind::End => {}
        }
        let class = self.class_at_edge(message);
        if self.is_repeated(message) {
            return self.options.refuse;
        }
        let home = message.whose as usize / 2 % self.homes.len();
        let pair = index * self.homes.len() + home;
        let refused = if self.edges[index].admits(self.now, class) {
            let thinning = &mut self.towards[pair];
            (!thinning.admits(class)).then(|| thinning.loss())
        } else {
            Some(self.edges[index].loss())
        };
        if let Some(loss) = refused {
            self.refused(message, loss);
            return self.options.refuse;
        }
        let came_ms = self.now;
        if self.homes[home].push(Message { came_ms, ..message }, false) {
            // What is lost on the way to the home, the edge sends again by its
            // own timers, which are those of the phone.
            self.mark_read(message);
        }
        self.price(message)
    }

    /// A connection is accepted, or closed at once: the phone then sees a flow
    /// that failed (RFC 5626 §4.5).
    fn on_connect(&mut self, index: usize, message: Message) -> i64 {
        let edge = &mut self.edges[index];
        let has_room = edge.greeting < limits::HANDSHAKES_MAX;
        let has_time = self.pacing != Pacing::All || edge.admits(self.now, RequestClass::New);
        if has_room && has_time {
            edge.greeting += 1;
            let due = self.now + self.options.rtt;
            self.at(due, Due::Hello, message.whose, message.attempt);
        } else {
            self.outcome.closed += 1;
            if self.is_current(message) {
                self.flow_failed(message.whose);
            }
        }
        self.options.register
    }

    /// The handshake of a connection, whose other half comes after a way to and
    /// fro with the REGISTER.
    fn on_client_hello(&mut self, index: usize, message: Message) -> i64 {
        let edge = &mut self.edges[index];
        edge.greeting = edge.greeting.saturating_sub(1);
        if !self.is_current(message) {
            // Closed by the phone meanwhile; the bytes are read all the same.
            return self.options.handshake;
        }
        let is_known = std::mem::replace(&mut self.flow_mut(message.whose).is_known, true);
        self.outcome.handshakes[usize::from(is_known)] += 1;
        let due = self.now + self.options.rtt;
        self.at(due, Due::Connected, message.whose, message.attempt);
        if is_known {
            self.options.resumed
        } else {
            self.options.handshake
        }
    }

    /// The connection of a flow is up.
    pub(super) fn connected(&mut self, flow: u32) {
        self.flow_mut(flow).is_connected = true;
        self.register(flow);
    }

    pub(super) fn turn_of_home(&mut self, index: usize) {
        if self.homes[index].is_idle() {
            return;
        }
        self.homes[index].begin();
        while let Some(message) = self.homes[index].next(self.now) {
            let price = self.at_home(index, message);
            self.homes[index].spend(price);
            // V-2: every answer says what the home wants to lose.
            let pair = usize::from(message.edge) * self.homes.len() + index;
            let loss = self.homes[index].loss();
            self.towards[pair].set(loss);
        }
        self.homes[index].end(self.now);
    }

    fn at_home(&mut self, index: usize, message: Message) -> i64 {
        let class = match message.kind {
            Kind::Connect | Kind::ClientHello | Kind::Asking => RequestClass::New,
            Kind::Proven => RequestClass::Renewal,
            Kind::Call => RequestClass::Call,
            Kind::End => RequestClass::Standing,
        };
        if !self.homes[index].admits(self.now, class) {
            // The edge makes a 500 with a short Retry-After of it (P-24).
            self.refused(message, 0);
            return self.options.refuse;
        }
        if self.is_current(message) {
            match message.kind {
                Kind::Connect | Kind::ClientHello => {}
                Kind::Asking => self.attempt(message.whose, Waits::Ok),
                Kind::Proven => self.flow_up(message.whose),
                Kind::Call | Kind::End => self.call_over(message.whose, Some(())),
            }
        }
        self.price(message)
    }

    fn class_at_edge(&self, message: Message) -> RequestClass {
        match message.kind {
            Kind::Asking | Kind::Proven if self.flow(message.whose).is_up => RequestClass::Renewal,
            Kind::Connect | Kind::ClientHello | Kind::Asking | Kind::Proven => RequestClass::New,
            Kind::Call => RequestClass::Call,
            Kind::End => RequestClass::Standing,
        }
    }

    const fn price(&self, message: Message) -> i64 {
        if message.kind.is_of_call() {
            self.options.call
        } else {
            self.options.register
        }
    }

    fn refused(&mut self, message: Message, loss: u8) {
        if self.is_current(message) {
            if message.kind.is_of_call() {
                self.call_over(message.whose, None);
            } else {
                self.flow_refused(message.whose, loss);
            }
        }
    }

    /// Whether its sender still waits for an answer to it.
    fn is_current(&self, message: Message) -> bool {
        let attempt = if message.kind.is_of_call() {
            self.call(message.whose).attempt
        } else {
            self.flow(message.whose).attempt
        };
        attempt == message.attempt
    }

    /// Whether the edge has its transaction already.
    fn is_repeated(&self, message: Message) -> bool {
        let is_read = if message.kind.is_of_call() {
            self.call(message.whose).is_read
        } else {
            self.flow(message.whose).is_read
        };
        is_read && self.is_current(message)
    }

    fn mark_read(&mut self, message: Message) {
        if !self.is_current(message) {
            return;
        }
        if message.kind.is_of_call() {
            self.call_mut(message.whose).is_read = true;
        } else {
            self.flow_mut(message.whose).is_read = true;
        }
    }
}
