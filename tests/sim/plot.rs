//! The script of one run: who calls whom, and what goes wrong when.

use std::net::IpAddr;

use steadfast::id::Transport;
use steadfast::time::{Duration, Instant};
use steadfast::trust::Strangers;

use super::cast::{Cast, Speaks};
use super::dice::Dice;
use super::world::{Order, Weather};

/// One line of the script. Nodes are by index: homes, edges, then the phones
/// that are user agents of ours.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Order(usize, Order),
    /// The process, or (true) its whole machine.
    Crash(usize, bool),
    Restart(usize),
    Pause(usize, Duration),
    Resume(usize),
    /// Nothing passes from one to the other; true: nor back.
    Cut(IpAddr, IpAddr, bool, Duration),
    Storm(Weather, Duration),
    Calm,
    Reset(u64),
    Stall(u64, Duration),
    /// The edge of the call that a phone is in is stopped for that long.
    Standstill(usize, Duration),
    /// It loses its connections to the homes.
    Isolate(usize),
    /// It dies for that long; true: with its machine.
    Kill(usize, bool, Duration),
    /// The edge of the other side of a phone's call dies for that long.
    Strand(usize, Duration),
    /// A phone goes on from another address.
    Move(usize),
    /// An attacker does something.
    Attack(usize),
    /// Somebody from elsewhere calls.
    Visit(usize, String),
    /// Others see the connections of a phone reset, and it does not.
    Sever(usize),
    Jump(usize, Duration),
    Drain(usize),
    /// A home that drains refuses what is new.
    Leave(usize),
    /// A node is told other keys while it runs.
    Rotate(usize, Keys),
    /// Rows reach the store late for that long; true: never.
    Disk(Duration, bool),
    Reboot(usize),
    /// The phones leave.
    Quiet,
}

/// The two steps by which a key is changed on nodes that must understand one another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys {
    /// The next one is listed behind the one that writes.
    Listed,
    /// It writes, and the one before it is still read.
    Turned,
}

/// When the last fault has begun, the phones leave, and all must be over.
pub(crate) const FAULTS_END_S: u64 = 180;
pub(crate) const QUIET_S: u64 = 300;
pub(crate) const END_S: u64 = 600;

pub(crate) fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

/// Draws the script.
pub(crate) fn draw(cast: &Cast, dice: &Dice) -> Vec<(Instant, Act)> {
    let mut acts = Vec::new();
    let mut calls = dice.fork("calls");
    for phone in 0..cast.phones.len() {
        let when = at(1) + calls.millis(10, 4_000);
        acts.push((when, Act::Order(phone, Order::Register)));
    }
    let mut busy = vec![at(8); cast.phones.len()];
    let mut hang_ups = Vec::new();
    for _ in 0..12 * cast.phones.len() {
        hang_ups.extend(call(cast, &mut calls, &mut busy, &mut acts));
    }
    let mut faults = dice.fork("faults");
    if !faults.permille(120) {
        for _ in 0..1 + faults.index(7) {
            fault(cast, &mut faults, &mut acts);
        }
    }
    let mut cables = dice.fork("cables");
    if cast.core == Transport::Tcp {
        endings(&mut cables, &mut acts);
    }
    answers(cast, &mut cables, &mut acts);
    moves(cast, &mut dice.fork("moves"), &mut acts);
    let mut lots = dice.fork("strands");
    if cast.is_foreign && lots.permille(500) {
        strands(hang_ups, &mut lots, &mut acts);
    } else {
        kills(cast, &mut dice.fork("kills"), &mut acts);
    }
    attackers(cast, &mut dice.fork("villains"), &mut acts);
    rotate(cast, &mut dice.fork("keys"), &mut acts);
    acts.push((at(QUIET_S), Act::Quiet));
    acts
}

/// A call; when somebody ends it, and who does, where it has been answered by then.
fn call(
    cast: &Cast,
    dice: &mut Dice,
    busy: &mut [Instant],
    acts: &mut Vec<(Instant, Act)>,
) -> Option<(Instant, usize)> {
    let caller = dice.index(cast.phones.len());
    let callee = dice.index(cast.phones.len());
    let user = &cast.phones[callee].user;
    if *user == cast.phones[caller].user {
        return None;
    }
    let devices = || (0..cast.phones.len()).filter(|p| cast.phones[*p].user == *user);
    let free = devices().map(|p| busy[p]).max().unwrap().max(busy[caller]);
    let start = free + dice.millis(100, 6_000);
    if start > at(FAULTS_END_S + 20) {
        return None;
    }
    let uri = format!("sip:{user}@example.com");
    acts.push((start, Act::Order(caller, Order::Call(uri))));
    let longest = if dice.permille(150) { 60_000 } else { 15_000 };
    let mut end = start + dice.millis(4_500, longest);
    let mut is_answered = true;
    if dice.permille(150) {
        // Given up while it rings.
        end = start + dice.millis(1, 3_000);
        is_answered = false;
    } else if start < at(60) && dice.permille(200) {
        // Forgotten by both: while it rings, only Timer C ends it. Early, so
        // that it runs out before the end; nor do these phones hang up for
        // another call's sake, since whoever does ends all its calls.
        let parties: Vec<usize> = devices().chain([caller]).collect();
        acts.retain(|(when, act)| {
            let Act::Order(who, Order::HangUp) = act else {
                return true;
            };
            *when < start || !parties.contains(who)
        });
        for phone in parties {
            busy[phone] = at(QUIET_S);
        }
        return None;
    }
    for _ in 0..dice.below(3) {
        let when = start + dice.millis(4_500, 30_000);
        if when + Duration::from_secs(2) < end {
            let who = if dice.permille(500) { caller } else { callee };
            acts.push((when, Act::Order(who, Order::Reinvite)));
        }
    }
    let (first, second) = if dice.permille(500) {
        (caller, callee)
    } else {
        (callee, caller)
    };
    acts.push((end, Act::Order(first, Order::HangUp)));
    let late = end + Duration::from_secs(36);
    acts.push((late, Act::Order(second, Order::HangUp)));
    for phone in devices().chain([caller]) {
        busy[phone] = end + dice.millis(500, 3_000);
    }
    is_answered.then_some((end, first))
}

/// Connections towards the homes that are lost while somebody hangs up: cut, or
/// closed by the home because the edge stands still. What waits for the edge
/// when it goes on comes to it before it learns of that.
fn endings(dice: &mut Dice, acts: &mut Vec<(Instant, Act)>) {
    let hang_up = |(when, act): &(Instant, Act)| {
        let Act::Order(phone, Order::HangUp) = act else {
            return None;
        };
        Some((*when, *phone))
    };
    let hang_ups: Vec<(Instant, usize)> = acts.iter().filter_map(hang_up).collect();
    let share = dice.below(300);
    for (when, phone) in hang_ups {
        if !dice.permille(share) {
            continue;
        }
        let line = if dice.permille(500) {
            (when + dice.millis(5, 80), Act::Isolate(phone))
        } else {
            let before = dice.millis(1_200, 2_600);
            let length = before + dice.millis(300, 1_600);
            (when - before, Act::Standstill(phone, length))
        };
        acts.push(line);
    }
}

/// Callers who lose their connection before they have an answer.
fn answers(cast: &Cast, dice: &mut Dice, acts: &mut Vec<(Instant, Act)>) {
    let is_caller = |phone: usize| {
        let phone = &cast.phones[phone];
        phone.tcp && phone.speaks != Speaks::Sticky
    };
    let mut severed = Vec::new();
    for (when, act) in &*acts {
        if let Act::Order(phone, Order::Call(_)) = act
            && is_caller(*phone)
            && dice.permille(250)
        {
            severed.push((*when + dice.millis(200, 2_500), Act::Sever(*phone)));
        }
    }
    acts.append(&mut severed);
}

/// Phones whose address changes just before they have something to say in a call.
fn moves(cast: &Cast, dice: &mut Dice, acts: &mut Vec<(Instant, Act)>) {
    let may_move = |phone: usize| {
        let phone = &cast.phones[phone];
        phone.speaks != Speaks::Sticky && phone.name.is_none()
    };
    let mut moves = Vec::new();
    for (when, act) in &*acts {
        if let Act::Order(phone, Order::HangUp | Order::Reinvite) = act
            && may_move(*phone)
            && dice.permille(120)
        {
            moves.push((*when - dice.millis(50, 900), Act::Move(*phone)));
        }
    }
    acts.append(&mut moves);
}

/// Edges that die under phones that resolve names, some of them just before these
/// have something to say in their calls.
fn kills(cast: &Cast, dice: &mut Dice, acts: &mut Vec<(Instant, Act)>) {
    let share = dice.below(500);
    let mut kills = Vec::new();
    for (when, act) in &*acts {
        if let Act::Order(phone, Order::HangUp | Order::Reinvite) = act
            && cast.phones[*phone].resolves()
            && dice.permille(share)
        {
            let length = dice.millis(200, 40_000);
            let kill = Act::Kill(*phone, dice.permille(300), length);
            kills.push((*when - dice.millis(20, 4_000), kill));
        }
    }
    acts.append(&mut kills);
}

/// Edges that are started again, with an empty memory, before the far side of a call
/// has something to say to a phone of theirs: a home without stickiness knows the call by
/// the token of that edge alone, and the phone has its other flow, or has come since, to an
/// edge that this token may not name. One after the other, so that the phones are back.
fn strands(mut endings: Vec<(Instant, usize)>, dice: &mut Dice, acts: &mut Vec<(Instant, Act)>) {
    endings.sort_unstable();
    let mut earliest = at(30);
    for (when, phone) in endings {
        if when < earliest {
            continue;
        }
        let length = dice.millis(100, 1_500);
        let before = length + dice.millis(600, 6_000);
        acts.push((when - before, Act::Strand(phone, length)));
        earliest = when + dice.millis(8_000, 20_000);
    }
}

/// What attackers do and when, and the calls of those who may call without an
/// account; and subscribers call attackers, who then are in a dialog.
fn attackers(cast: &Cast, dice: &mut Dice, acts: &mut Vec<(Instant, Act)>) {
    for attacker in 0..cast.attackers.len() {
        let mut when = at(5) + dice.millis(0, 3_000);
        while when < at(FAULTS_END_S + 20) {
            acts.push((when, Act::Attack(attacker)));
            when = when + dice.millis(50, 3_000);
        }
    }
    for _ in 0..4 {
        let caller = dice.index(cast.phones.len());
        let attacker = 1 + dice.below(2);
        let start = at(15) + dice.millis(0, 150_000);
        let uri = format!("sip:v{attacker}@example.com");
        acts.push((start, Act::Order(caller, Order::Call(uri))));
    }
    for _ in 0..6 {
        let start = at(15) + dice.millis(0, 160_000);
        let is_foreign = cast.strangers == Strangers::Answer && dice.permille(500);
        let callee = &cast.phones[dice.index(cast.phones.len())].user;
        let uri = if is_foreign {
            format!("sip:{callee}@example.com")
        } else {
            "urn:service:sos".to_owned()
        };
        acts.push((start, Act::Visit(dice.index(cast.edges.len()), uri)));
    }
}

/// In every other run each node is told of the next key, and once all have been to write by it:
/// nobody is hurt by that, whatever is under way.
fn rotate(cast: &Cast, dice: &mut Dice, acts: &mut Vec<(Instant, Act)>) {
    if dice.permille(500) {
        return;
    }
    for node in 0..cast.homes.len() + cast.edges.len() {
        let listed = at(10) + dice.millis(0, 50_000);
        let turned = at(61) + dice.millis(0, 120_000);
        acts.push((listed, Act::Rotate(node, Keys::Listed)));
        acts.push((turned, Act::Rotate(node, Keys::Turned)));
    }
}

fn fault(cast: &Cast, dice: &mut Dice, acts: &mut Vec<(Instant, Act)>) {
    let when = at(12) + dice.millis(0, (FAULTS_END_S - 12) * 1_000);
    let homes = cast.homes.len();
    let edge = homes + dice.index(cast.edges.len());
    let home = dice.index(homes);
    let node = if dice.permille(250) { home } else { edge };
    let phone = dice.index(cast.phones.len());
    let edge_ip = cast.edges[edge - homes].ip();
    match dice.below(22) {
        0..5 => {
            acts.push((when, Act::Crash(edge, dice.permille(300))));
            let back = when + dice.millis(100, 60_000);
            acts.push((back, Act::Restart(edge)));
        }
        5..7 => {
            acts.push((when, Act::Crash(home, dice.permille(200))));
            let back = when + dice.millis(100, 15_000);
            acts.push((back, Act::Restart(home)));
        }
        7..9 => acts.push((when, Act::Pause(node, dice.millis(50, 8_000)))),
        9..11 => {
            let other = if dice.permille(500) {
                cast.homes[home].ip()
            } else {
                cast.phones[phone].addr.ip()
            };
            let length = dice.millis(200, 20_000);
            acts.push((when, Act::Cut(edge_ip, other, dice.permille(600), length)));
        }
        11..13 => {
            let storm = Weather::storm(dice);
            acts.push((when, Act::Storm(storm, dice.millis(500, 15_000))));
        }
        13 => acts.push((when, Act::Reset(dice.next()))),
        14 => acts.push((when, Act::Stall(dice.next(), dice.millis(100, 10_000)))),
        15 => acts.push((when, Act::Jump(node, dice.millis(10, 9_000)))),
        16..18 if dice.permille(500) => {
            acts.push((when, Act::Drain(home)));
            let leaves = when + dice.millis(1, 3_000);
            acts.push((leaves, Act::Leave(home)));
            let down = leaves + dice.millis(1, 2_000);
            acts.push((down, Act::Crash(home, false)));
            acts.push((down + dice.millis(100, 5_000), Act::Restart(home)));
        }
        16..18 => {
            acts.push((when, Act::Drain(edge)));
            let down = when + dice.millis(100, 10_000);
            acts.push((down, Act::Crash(edge, false)));
            acts.push((down + dice.millis(100, 5_000), Act::Restart(edge)));
        }
        18..20 => acts.push((when, Act::Reboot(phone))),
        _ => {
            let length = dice.millis(1_000, 40_000);
            acts.push((when, Act::Disk(length, dice.permille(500))));
        }
    }
}
