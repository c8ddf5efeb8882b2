//! The two phones and what they saw.

use std::path::Path;
use std::time::Duration;

use super::super::{EDGES, HOME, NodeAddress, PORT, TLS_PORT};
use super::exchange::{Exchange, Side};
use super::table::Row;
use super::{DemoFault, name_of};
use crate::agent;
use crate::io::Clock;
use crate::send::Event;
use crate::time::Instant;
use crate::ua::{Passed, Phone, Speaks, Who};

/// Two phones on one clock.
pub(super) struct Stage {
    joe: Phone,
    ann: Phone,
}

impl Stage {
    /// The phones believe whom the lab's own authority has signed.
    pub(super) fn new(speaks: Speaks, folder: &Path, verbose: u8) -> Result<Self, DemoFault> {
        let clock = Clock::start();
        let [first, second, _] = EDGES;
        let (port, ca) = match speaks {
            Speaks::Tls => (TLS_PORT, Some(folder.join("ca.pem"))),
            Speaks::Udp | Speaks::Tcp => (PORT, None),
        };
        let phone = |name: &str, edge: NodeAddress| -> Result<Phone, DemoFault> {
            let who = Who::of_lab(
                name,
                (HOME.ip, port),
                (edge.ip, port),
                speaks,
                ca.clone(),
                verbose,
            )?;
            let mut phone = Phone::new(&who, Some(Duration::ZERO), clock)?;
            phone.ladder().keep();
            Ok(phone)
        };
        Ok(Self {
            joe: phone("joe", first)?,
            ann: phone("ann", second)?,
        })
    }

    pub(super) fn clock(&self) -> Instant {
        self.joe.clock()
    }

    fn phone(&mut self, side: Side) -> &mut Phone {
        match side {
            Side::Joe => &mut self.joe,
            Side::Ann => &mut self.ann,
        }
    }

    pub(super) fn command(&mut self, side: Side, command: agent::Command) {
        self.phone(side).command(command);
    }

    /// Lets both phones live until something has happened, which is returned.
    pub(super) async fn until(
        &mut self,
        what: &str,
        patience: Duration,
        mut is_it: impl FnMut(Side, &Event) -> bool,
    ) -> Result<Event, DemoFault> {
        let until = self.clock() + patience;
        loop {
            let (side, news) = tokio::select! {
                news = self.joe.next(Some(until)) => (Side::Joe, news?),
                news = self.ann.next(Some(until)) => (Side::Ann, news?),
            };
            let Some((_, event)) = news else {
                let seconds = patience.as_secs();
                let sentence = format!("it did not happen within {seconds} s that {what}");
                return Err(DemoFault::Lost(sentence));
            };
            if is_it(side, &event) {
                // What it led to still has to leave: an ACK, most often.
                self.joe.flush()?;
                self.ann.flush()?;
                return Ok(event);
            }
        }
    }

    /// Lets both phones live for a moment: an ACK is still on its way.
    pub(super) async fn rest(&mut self, time: Duration) -> Result<(), DemoFault> {
        let until = self.clock() + time;
        loop {
            let news = tokio::select! {
                news = self.joe.next(Some(until)) => news?,
                news = self.ann.next(Some(until)) => news?,
            };
            if news.is_none() {
                return Ok(());
            }
        }
    }

    /// The last request of that method that `side` sent after `since`, with its
    /// final answer; the clock starts at the first try.
    pub(super) fn exchange(
        &mut self,
        side: Side,
        method: &str,
        since: Instant,
    ) -> Option<Exchange> {
        let far = self.phone(side.other()).ladder().recorded().to_vec();
        let near = self.phone(side).ladder().recorded();
        let later = near.iter().filter(|passed| passed.at >= since);
        let start = format!("{method} ");
        let sent = later
            .clone()
            .find(|passed| passed.is_sent && passed.text.starts_with(&start))?;
        let answer = later
            .clone()
            .rfind(|passed| !passed.is_sent && is_final(passed, method))?;
        let arrived = far.iter().find(|passed| {
            passed.at >= since && !passed.is_sent && passed.text.starts_with(&start)
        });
        Some(Exchange {
            took: answer.at.since(sent.at),
            status: status(&answer.text)?,
            near: answer.peer,
            far: arrived.map(|passed| passed.peer),
        })
    }

    /// What discovery looked like: the 300, the Path, and the second edge.
    pub(super) fn show_discovery(&mut self, side: Side) {
        let recorded = self.phone(side).ladder().recorded();
        for passed in recorded.iter().filter(|passed| !passed.is_sent) {
            let from = name_of(passed.peer);
            let lines = passed.text.lines();
            match status(&passed.text) {
                Some(300) => {
                    let contact = lines.clone().find(|line| line.starts_with("Contact:"));
                    println!("   {from}: 300, {}", contact.unwrap_or_default());
                }
                Some(200) => {
                    let wanted = ["Path:", "Outbound-Proxy:"];
                    let shown =
                        lines.filter(|line| wanted.iter().any(|name| line.starts_with(name)));
                    let shown: Vec<_> = shown.collect();
                    println!("   {from}: 200, {}", shown.join("\n            "));
                }
                _ => {}
            }
        }
    }

    /// The Record-Route that ann's side keeps: what finds the backup.
    pub(super) fn show_record_route(&mut self) {
        let recorded = self.ann.ladder().recorded();
        let invite = recorded
            .iter()
            .rfind(|passed| !passed.is_sent && passed.text.starts_with("INVITE "));
        let lines = invite.into_iter().flat_map(|passed| passed.text.lines());
        for line in lines.filter(|line| line.starts_with("Record-Route:")) {
            println!("   {line}");
        }
    }

    /// Which way it went.
    pub(super) fn show_way(&self, side: Side, row: &Row) {
        println!(
            "   {} to {}: {}",
            side.name(),
            side.other().name(),
            row.story()
        );
    }
}

fn is_final(passed: &Passed, method: &str) -> bool {
    let ends = format!(" {method}");
    let cseq = passed.text.lines().find(|line| line.starts_with("CSeq:"));
    status(&passed.text).is_some_and(|status| status >= 200)
        && cseq.is_some_and(|line| line.trim_end().ends_with(&ends))
}

fn status(text: &str) -> Option<u16> {
    let rest = text.strip_prefix("SIP/2.0 ")?;
    rest.split(' ').next()?.parse().ok()
}
