//! What the foreign home does with responses: the next server or flow, CANCELs, and the
//! best answer upstream (RFC 3261 §16.7).

use steadfast::time::Instant;

use super::*;

impl Foreign {
    /// A server is not there: the next one (RFC 3263 §4.3), or the next flow.
    pub(super) fn leave(&mut self, now: Instant, index: usize, number: usize, status: u16) {
        let pass = &mut self.transactions[index];
        let (is_over, is_cancelled) = (pass.over.is_some(), pass.is_cancelled);
        let branch = &mut pass.branches[number];
        branch.stage = Stage::Left;
        let mut attempt = branch.attempt.clone();
        if is_over {
            return;
        }
        if is_cancelled {
            return self.failed(now, (index, number), 487);
        }
        if attempt.servers.is_empty() {
            if attempt.others.is_empty() {
                return self.failed(now, (index, number), status);
            }
            let others = attempt.others.split_off(1);
            attempt = attempt.others.remove(0);
            attempt.others = others;
        }
        self.start(now, index, attempt);
    }

    pub(super) fn failed(&mut self, now: Instant, (index, number): (usize, usize), status: u16) {
        let pass = &mut self.transactions[index];
        pass.branches[number].answer = Some(answer(&pass.text, status, "", self.serial));
        pass.branches[number].stage = Stage::Done;
        self.finish(now, index);
    }

    /// The best answer, when all have one (RFC 3261 §16.7-6).
    pub(super) fn finish(&mut self, now: Instant, index: usize) {
        let pass = &self.transactions[index];
        let waits = |branch: &Branch| matches!(branch.stage, Stage::Silent | Stage::Heard);
        if pass.over.is_some() || pass.branches.iter().any(waits) {
            return;
        }
        let answers = pass
            .branches
            .iter()
            .filter_map(|branch| branch.answer.as_ref());
        let rank = |answer: &&Text| match answer.status() {
            600.. => 0,
            status @ (408 | 430 | 503) => status + 1_000,
            status => status,
        };
        let Some(mut best) = answers.min_by_key(rank).cloned() else {
            return;
        };
        if best.status() == 503 {
            best.start = "SIP/2.0 500 No Server Takes It".to_owned();
        }
        self.respond(now, index, &best);
    }

    /// Sends an answer to whoever sent the request.
    pub(super) fn respond(&mut self, now: Instant, index: usize, text: &Text) {
        let bytes = written(text);
        let pass = &mut self.transactions[index];
        let (tcp, mut to) = pass.way;
        if tcp && self.lost.contains(&to) {
            // RFC 3261 §18.2.2
            to = pass.text.via().and_then(|via| via.addr()).unwrap_or(to);
            pass.way.1 = to;
        }
        let status = text.status();
        pass.last = Some(bytes.clone());
        if status >= 200 {
            pass.over.get_or_insert(now);
        }
        if status >= 300 && pass.is_invite() && !tcp {
            pass.refusal = Some((now + T1 * 2, T1 * 2));
        }
        self.out.push(Sent { tcp, to, bytes });
    }

    pub(super) fn cancel_all(&mut self, now: Instant, index: usize) {
        for number in 0..self.transactions[index].branches.len() {
            if self.transactions[index].branches[number].stage == Stage::Heard {
                self.send_cancel(now, index, number);
            }
        }
    }

    pub(in crate::foreign) fn response(&mut self, now: Instant, mut text: Text) {
        let Some(id) = text.via().map(|via| via.branch.to_owned()) else {
            return;
        };
        let found = self
            .transactions
            .iter()
            .enumerate()
            .find_map(|(index, pass)| {
                let mut branches = pass.branches.iter();
                Some((index, branches.position(|branch| branch.id == id)?))
            });
        let Some((index, number)) = found else { return };
        if text.method() == "CANCEL" {
            self.transactions[index].branches[number].cancel = None;
            return;
        }
        take_via(&mut text);
        if self.transactions[index].is_invite() {
            self.answered_invite(now, (index, number), text);
        } else {
            self.answered(now, (index, number), text);
        }
    }

    pub(super) fn answered(&mut self, now: Instant, (index, number): (usize, usize), text: Text) {
        if text.status() < 200 {
            self.transactions[index].branches[number].stage = Stage::Heard;
            return;
        }
        self.ended(now, (index, number), text);
    }

    pub(super) fn answered_invite(
        &mut self,
        now: Instant,
        (index, number): (usize, usize),
        text: Text,
    ) {
        let (status, to) = (text.status(), text.first("to").map(str::to_owned));
        let pass = &mut self.transactions[index];
        let is_wanted = pass.over.is_none() && !pass.is_cancelled;
        let branch = &mut pass.branches[number];
        match status {
            ..200 => {
                // One that has been given up may ring all the same.
                if matches!(branch.stage, Stage::Silent | Stage::Left) {
                    branch.stage = Stage::Heard;
                }
                if !is_wanted && branch.stage == Stage::Heard {
                    self.send_cancel(now, index, number);
                }
                if status > 100 && self.transactions[index].over.is_none() {
                    self.respond(now, index, &text);
                }
            }
            200..300 => {
                branch.stage = Stage::Done;
                branch.cancel = None;
                self.respond(now, index, &text);
                self.cancel_all(now, index);
            }
            _ => {
                let (at, bytes) = (branch.to, branch.own("ACK", to.as_deref()));
                let tcp = self.setup.tcp;
                self.out.push(Sent { tcp, to: at, bytes });
                self.ended(now, (index, number), text);
            }
        }
    }

    /// A branch has a final answer that is not a 2xx to an INVITE.
    pub(super) fn ended(&mut self, now: Instant, (index, number): (usize, usize), text: Text) {
        let pass = &mut self.transactions[index];
        let (is_over, is_cancelled) = (pass.over.is_some(), pass.is_cancelled);
        let branch = &mut pass.branches[number];
        branch.cancel = None;
        if matches!(branch.stage, Stage::Done | Stage::Left) {
            return;
        }
        let status = text.status();
        branch.answer = Some(text);
        branch.stage = Stage::Done;
        let may_go_on = !is_over && !is_cancelled;
        if status == 503 && !branch.attempt.servers.is_empty() && may_go_on {
            return self.leave(now, index, number, status);
        }
        if matches!(status, 408 | 430 | 503) && !branch.attempt.others.is_empty() && may_go_on {
            branch.attempt.servers.clear();
            return self.leave(now, index, number, status);
        }
        if status >= 600 {
            self.cancel_all(now, index);
        }
        self.finish(now, index);
    }
}

/// Ours is a line of its own.
fn take_via(text: &mut Text) {
    let first = text.headers.iter().position(|(name, _)| name == "via");
    let first = first.unwrap();
    let rest = text.headers[first].1.split_once(',');
    match rest.map(|(_, rest)| rest.trim().to_owned()) {
        Some(rest) => text.headers[first].1 = rest,
        None => {
            text.headers.remove(first);
        }
    }
}
