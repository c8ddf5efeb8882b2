//! Each attack, and in the same world and at the same time what good phones
//! need: calls of those who are registered, calls that go on from another address
//! by their mark, calls for help, calls of guests where they may call, and calls
//! that outlive an edge.
//!
//! Nobody here is on this machine, which no bound of a source is for.

use super::super::phone::{Login, Phone, Register};
use super::super::settings;
use super::super::world::{EDGES, HOME, Tokens, World};
use super::{TO_ANN, with_to};
use steadfast::edge::Settings;
use steadfast::limits;
use steadfast::trust::{CallsOut, Destinations, Strangers};

const JOE: &str = "198.51.100.10:5070";
const ANN: &str = "198.51.100.11:5080";
const SOS: &str = "198.51.100.12:5112";
/// Somebody who never registers.
const GUEST: &str = "198.51.100.13:5090";
/// Where joe is after his address changed.
const AWAY: &str = "198.51.100.99:5099";
/// A phone that says nothing.
const BOB: &str = "198.51.100.14:5085";
const EVE: &str = "203.0.113.66:6666";
/// Behind the same address as joe.
const NEIGHBOUR: &str = "198.51.100.10:6000";
/// Attackers with an address each.
const MOB: [&str; 3] = ["203.0.113.1:5060", "203.0.113.2:5060", "203.0.113.3:5060"];

/// The good ones: joe at e1 and ann at e2, in a call.
struct Company {
    joe: Phone,
    ann: Phone,
    sos: Phone,
    guest: Phone,
    number: u32,
}

fn lab(width: u8, tokens: Tokens) -> World {
    let open = || Destinations {
        reach: vec![("198.51.100.0".parse().unwrap(), 24)],
        deny: Vec::new(),
    };
    let set = |_: usize, edge: &mut Settings| {
        edge.rules.strangers = Strangers::Answer;
        edge.rules.calls_out = CallsOut::anywhere();
        edge.rules.destinations = open();
    };
    let mut world = World::wide(width, tokens, |home| home.destinations = open(), set);
    world.icmp = true;
    world
}

impl Company {
    fn meet(world: &mut World) -> Self {
        let (mut joe, mut ann) = (Phone::new("joe", JOE, true), Phone::new("ann", ANN, true));
        let mut sos = Phone::new("sos", SOS, true);
        joe.register(world, EDGES[0]);
        ann.register(world, EDGES[1]);
        sos.register(world, EDGES[1]);
        Phone::new("bob", BOB, true).register(world, EDGES[1]);
        world.forget();
        joe.send(world, EDGES[0], &joe.request("INVITE", TO_ANN, 1, "", ""));
        let invite = ann.receive(world);
        ann.answer(world, EDGES[1], &invite, 200, "OK");
        let ok = std::iter::from_fn(|| world.has(JOE).then(|| joe.receive(world)));
        joe.dialog(&ok.last().unwrap(), true);
        ann.dialog(&invite, false);
        joe.in_dialog(world, EDGES[0], "ACK", 1);
        Self {
            joe,
            ann,
            sos,
            guest: Phone::foreign("guest", GUEST),
            number: 100,
        }
    }

    /// Somebody calls, and is answered.
    #[track_caller]
    fn call(world: &mut World, (from, its): (&Phone, &str), (to, at): (&Phone, &str), text: &str) {
        world.forget();
        from.send(world, its, text);
        let came = std::iter::from_fn(|| world.has(to.addr()).then(|| to.receive(world)));
        let method = text.split(' ').next().unwrap();
        let request = came.into_iter().find(|came| came.starts_with(method));
        let request = request.unwrap_or_else(|| panic!("no {method}\n{}", world.ladder()));
        to.answer(world, at, &request, 200, "OK");
        let answers = std::iter::from_fn(|| world.has(from.addr()).then(|| from.receive(world)));
        let is_ok = |answers: &String| answers.starts_with("SIP/2.0 200 ");
        assert!(
            answers.into_iter().any(|answers| is_ok(&answers)),
            "{}",
            world.ladder()
        );
    }

    /// A request of the call, from whom and through which edge.
    #[track_caller]
    fn talk(&mut self, world: &mut World, (from, its): (&Phone, &str), to: &str, method: &str) {
        self.number += 1;
        world.forget();
        from.in_dialog(world, its, method, self.number);
        let came = std::iter::from_fn(|| world.has(to).then(|| world.receive(to).text));
        let came: Vec<_> = came.collect();
        let has_come = came.iter().any(|came| came.starts_with(method));
        assert!(has_come, "{method} to {to}\n{}", world.ladder());
    }

    /// All that they need while both edges live.
    #[track_caller]
    fn goes_on(&mut self, world: &mut World) {
        for method in ["MESSAGE", "INVITE"] {
            self.number += 2;
            let text = self.joe.request(method, TO_ANN, self.number, "", "");
            let text = text.replace("Call-ID: call-joe", &format!("Call-ID: {}", self.number));
            Self::call(world, (&self.joe, EDGES[0]), (&self.ann, EDGES[1]), &text);
            let text = self.guest.request(method, TO_ANN, self.number, "", "");
            let text = text.replace("Call-ID: call-guest", &format!("Call-ID: g{}", self.number));
            Self::call(world, (&self.guest, EDGES[0]), (&self.ann, EDGES[1]), &text);
        }
        let help = self
            .guest
            .request("INVITE", "urn:service:sos", self.number + 1, "", "");
        Self::call(world, (&self.guest, EDGES[0]), (&self.sos, EDGES[1]), &help);
        let mut away = Phone::new("joe", AWAY, true);
        away.enter(&self.joe);
        for method in ["INVITE", "INFO"] {
            self.talk(world, (&away, EDGES[0]), ANN, method);
            self.talk(world, (&away, EDGES[2]), ANN, method);
        }
        let (mut joe, mut ann) = (Phone::new("joe", JOE, true), Phone::new("ann", ANN, true));
        joe.enter(&self.joe);
        ann.enter(&self.ann);
        self.talk(world, (&joe, EDGES[0]), ANN, "INFO");
        self.talk(world, (&ann, EDGES[1]), JOE, "INFO");
    }

    /// An edge dies, and both sides find each other round it; and end the call.
    #[track_caller]
    fn outlives(&mut self, world: &mut World, dead: usize) {
        world.kill(EDGES[dead]);
        let way = |phone: &Phone, its: usize| match its == dead {
            true => phone.backup.clone(),
            false => EDGES[its].to_owned(),
        };
        let (by_joe, by_ann) = (way(&self.joe, 0), way(&self.ann, 1));
        let (mut joe, mut ann) = (Phone::new("joe", JOE, true), Phone::new("ann", ANN, true));
        joe.enter(&self.joe);
        ann.enter(&self.ann);
        self.talk(world, (&joe, &by_joe), ANN, "INFO");
        self.talk(world, (&ann, &by_ann), JOE, "INFO");
        self.talk(world, (&joe, &by_joe), ANN, "BYE");
    }
}

type Attack = fn(&mut World, u32);

/// By their numbers in the record of what was seen; 17 is about files.
const ATTACKS: [(u8, Attack); 18] = [
    (1, routes),
    (2, empty_tags),
    (3, ports),
    (4, names),
    (5, claims),
    (6, errors),
    (7, memory),
    (8, errors),
    (9, tags),
    (10, namesakes),
    (11, addresses),
    (12, loopback),
    (13, nonces),
    (14, passwords),
    (15, revoked),
    (16, vias),
    (18, silence),
    (19, urgency),
];

fn eve() -> Phone {
    Phone::foreign("eve", EVE)
}

fn routes(world: &mut World, round: u32) {
    let pair = "<sip:example.com;lr>, <sip:edge.example.com;lr>, ";
    for (number, method) in (0..).zip(["INVITE", "MESSAGE", "OPTIONS", "REFER"]) {
        for (node, count) in [(HOME, 1), (EDGES[0], 1), (HOME, 30), (EDGES[0], 30)] {
            let route = format!("Route: {}<sip:127.0.0.1:6379;lr>\n", pair.repeat(count));
            let text = eve().request(method, TO_ANN, 100 * round + number, &route, "");
            eve().send(world, node, &with_to(&text, TO_ANN, ";tag=1"));
        }
    }
}

fn empty_tags(world: &mut World, round: u32) {
    for (number, tag) in (0..).zip([";tag=", ";tag=\"\"", ";tag=x"]) {
        for node in [HOME, EDGES[0], EDGES[1]] {
            let liar = Phone::new("joe", EVE, false);
            let text = liar.request("INVITE", TO_ANN, 100 * round + number, "", "");
            liar.send(world, node, &with_to(&text, TO_ANN, tag));
        }
    }
}

fn ports(world: &mut World, round: u32) {
    for (number, uri) in (0..).zip([
        "sip:x@127.0.0.10:6379;transport=tcp",
        "sip:x@203.0.113.9:1900;maddr=127.0.0.10",
    ]) {
        for node in [HOME, EDGES[0]] {
            eve().send(
                world,
                node,
                &eve().request("MESSAGE", uri, 100 * round + number, "", ""),
            );
        }
    }
}

fn names(world: &mut World, round: u32) {
    for (number, name) in (0..).zip(["joe", "ann", "bob", "nobody"]) {
        for method in ["INVITE", "MESSAGE"] {
            let liar = Phone::new(name, EVE, false);
            liar.send(
                world,
                EDGES[0],
                &liar.request(method, TO_ANN, 100 * round + number, "", ""),
            );
        }
    }
}

fn claims(world: &mut World, round: u32) {
    let lines = "P-Asserted-Identity: <sip:joe@example.com>\nPrivacy: id\nRemote-Party-ID: <sip:joe@example.com>\n";
    for node in [HOME, EDGES[0]] {
        eve().send(
            world,
            node,
            &eve().request("MESSAGE", TO_ANN, round, lines, ""),
        );
    }
}

/// Of requests that the nodes have sent, of some that they have not, and of none.
fn errors(world: &mut World, round: u32) {
    // Her own calls are what is pending.
    for uri in ["sip:joe@example.com", TO_ANN, "urn:service:sos"] {
        let text = eve().request("INVITE", uri, round, "", "");
        eve().send(world, HOME, &text.replace("call-eve", uri));
    }
    for phone in [JOE, ANN, SOS] {
        for edge in EDGES {
            world.unreachable(edge, phone);
        }
    }
    let all = world.trace.iter();
    let sent = all.filter(|seen| EDGES.contains(&&*seen.from.to_string()));
    let quoted: Vec<_> = sent
        .map(|seen| {
            (
                seen.from.to_string(),
                seen.to.to_string(),
                seen.bytes.clone(),
            )
        })
        .collect();
    for (from, to, bytes) in quoted.iter().rev().take(20) {
        for _ in 0..20 {
            world.object(from, to, bytes);
            world.object(from, to, b"INVITE sip:x SIP/2.0\r\nVia: x");
        }
    }
    for phone in [JOE, ANN, SOS] {
        for _ in 0..100 {
            world.unreachable(EDGES[0], phone);
            world.object(EDGES[1], phone, b"");
        }
    }
}

fn memory(world: &mut World, round: u32) {
    let body = "x".repeat(50_000);
    for number in 0..60 {
        let text = eve().request(
            "INVITE",
            "sip:bob@example.com",
            1_000 * round + number,
            "",
            &body,
        );
        eve().send(world, EDGES[0], &text);
        eve().send(world, HOME, &text);
    }
}

fn tags(world: &mut World, round: u32) {
    let text = eve().request("INVITE", "sip:nobody@example.com", round, "", "");
    eve().send(world, HOME, &text);
    let mut trace = world.trace.iter();
    let refusal = trace.rfind(|seen| seen.to.to_string() == EVE);
    let to = refusal.map(|seen| Phone::values(&seen.text, "To").concat());
    let ack = eve().request("ACK", "sip:nobody@example.com", round, "", "");
    let ack = ack.replace(
        "To: <sip:nobody@example.com>",
        &format!("To: {}", to.unwrap_or_default()),
    );
    for from in [EVE, JOE, GUEST] {
        world.send(from, HOME, &ack);
    }
}

fn namesakes(world: &mut World, round: u32) {
    for domain in ["example.com", "example.org"] {
        let text = format!(
            "REGISTER sip:{domain} SIP/2.0\nVia: SIP/2.0/UDP {EVE};rport;branch=z9hG4bKr{round}{domain}\nMax-Forwards: 70\n\
             From: <sip:joe@{domain}>;tag=f\nTo: <sip:joe@{domain}>\nCall-ID: n{round}\nCSeq: {} REGISTER\n\
             Contact: <sip:joe@{EVE}>;+sip.instance=\"<urn:uuid:joe>\";reg-id=1\nSupported: path, outbound\n\
             Authorization: Digest username=\"eve\", realm=\"example.org\", nonce=\"n\", uri=\"sip:x\", response=\"0\"\n\
             Authorization: Digest username=\"joe\", realm=\"example.com\", nonce=\"n\", uri=\"sip:x\", response=\"0\"\n\
             Content-Length: 0\n\n",
            round + 1
        );
        world.send(EVE, EDGES[0], &text);
    }
}

/// Nodes' addresses at ports that are not theirs, and joe's as if it were ann's.
fn addresses(world: &mut World, round: u32) {
    let froms = [
        "127.0.0.10:40000",
        "127.0.0.12:50000",
        "127.0.0.11:5062",
        JOE,
    ];
    for (number, from) in (0..).zip(froms) {
        let liar = Phone::new("ann", from, false);
        for node in [EDGES[0], HOME] {
            liar.send(
                world,
                node,
                &liar.request(
                    "MESSAGE",
                    "sip:bob@example.com",
                    100 * round + number,
                    "",
                    "",
                ),
            );
        }
    }
}

fn loopback(world: &mut World, round: u32) {
    let phone = Phone::new("joe", JOE, true);
    for (number, host) in (0..).zip([
        "127.0.0.1:6379",
        "[::1]:6379",
        "169.254.169.254:80",
        "10.0.0.1",
    ]) {
        let uri = format!("sip:x@{host};transport=tcp");
        phone.send(
            world,
            EDGES[0],
            &phone.request("MESSAGE", &uri, 5_000 + 100 * round + number, "", ""),
        );
    }
}

fn nonces(world: &mut World, round: u32) {
    for number in 0..20 {
        let text = eve().request("REGISTER", "sip:example.com", 100 * round + number, "", "");
        let text = text.replace("To: <sip:example.com>", "To: <sip:joe@example.com>");
        eve().send(world, EDGES[0], &text);
    }
}

fn passwords(world: &mut World, round: u32) {
    let mut guesser = Register::new("ann", NEIGHBOUR);
    guesser.lines += &super::super::abuse::padding();
    let call_id = format!("guess{round}");
    guesser.call_id = &call_id;
    let challenge = guesser.send(world, EDGES[0], "");
    for _ in 0..30 {
        let wrong = Login {
            password: "guess",
            ..Login::new("ann")
        };
        guesser.send(world, EDGES[0], &wrong.answer(&challenge));
    }
}

/// bob is taken off the list, and goes on as if he were not.
fn revoked(world: &mut World, round: u32) {
    let without = "joe example.com password=secret\nann example.com password=secret\nsos example.com password=secret\n";
    if round == 1 {
        world.subscribe(HOME, &settings::subscribers(), without);
    }
    let bob = Phone::new("bob", BOB, false);
    for (number, method) in (0..).zip(["INVITE", "MESSAGE", "REGISTER"]) {
        bob.send(
            world,
            EDGES[1],
            &bob.request(method, TO_ANN, 100 * round + number, "", ""),
        );
    }
}

fn vias(world: &mut World, round: u32) {
    for (number, sent_by) in (0..).zip(["127.0.0.1:6379", "127.0.0.10:6379", "203.0.113.99:5060"]) {
        world.listen(sent_by);
        world.connect(EVE, EDGES[0]);
        let text = eve().request(
            "INVITE",
            "sip:bob@example.com",
            100 * round + number,
            "",
            "",
        );
        let text = text.replace(&format!("UDP {EVE};rport"), &format!("TCP {sent_by}"));
        world.send(EVE, EDGES[0], &text);
        world.close(EVE, EDGES[0]);
    }
}

fn silence(world: &mut World, round: u32) {
    for (index, from) in (0..).zip(MOB) {
        let member = Phone::foreign("mob", from);
        for number in 0..60 {
            let number = 10_000 * round + 1_000 * index + number;
            member.send(
                world,
                EDGES[index as usize],
                &member.request("MESSAGE", "sip:bob@example.com", number, "", ""),
            );
        }
    }
}

fn urgency(world: &mut World, round: u32) {
    let lines = "Priority: emergency\nResource-Priority: esnet.0\n";
    for from in MOB {
        let member = Phone::foreign("mob", from);
        for number in 0..limits::SOURCE_REQUESTS.1 {
            let text = member.request("MESSAGE", TO_ANN, 10_000 * round + number, lines, "");
            member.send(world, EDGES[0], &with_to(&text, TO_ANN, ";tag=1"));
        }
    }
}

#[test]
fn good_phones_go_on_in_the_company_of_each_attack() {
    for (width, tokens) in [(1, Tokens::Clear), (2, Tokens::Sealed)] {
        for (number, attack) in ATTACKS {
            for dead in [0, 1] {
                let mut world = lab(width, tokens);
                let mut company = Company::meet(&mut world);
                println!("attack {number}, {width} shards, {dead}");
                attack(&mut world, 1);
                company.goes_on(&mut world);
                attack(&mut world, 2);
                company.outlives(&mut world, dead);
            }
        }
    }
}
