//! A shard that is late refuses what is new and serves what there is (V-6;
//! RFC 3261 §21.5.4, RFC 7339 §5.10.1).

use std::net::SocketAddr;

use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Seen, Tokens, World};
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";

/// joe registered at e1, ann at e2.
fn lab() -> (World, Phone, Phone) {
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Phone::new("joe", JOE, true);
    let mut ann = Phone::new("ann", ANN, true);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    world.forget();
    (world, joe, ann)
}

/// So late for so long that next to nothing is taken in.
pub(super) fn overwhelm(world: &mut World, node: &str) {
    world.late(node, limits::LATE_MAX * 2, 100);
    assert!(world.gauge(node, "shed_percent") > 95);
}

/// How many of `count` requests of the phone, made by `text` from a number, are
/// refused; and their Retry-After.
pub(super) fn refusals(
    world: &mut World,
    phone: &Phone,
    count: u32,
    text: impl Fn(u32) -> String,
) -> (usize, Vec<u32>) {
    let mut refused = Vec::new();
    for n in 0..count {
        phone.send(world, EDGES[0], &text(n));
        while world.has(phone.addr()) {
            let answer = phone.receive(world);
            if answer.starts_with("SIP/2.0 503 ") {
                let after = Phone::values(&answer, "Retry-After").remove(0);
                refused.push(after.parse().unwrap());
            }
        }
    }
    (refused.len(), refused)
}

#[test]
fn a_handshake_must_find_time_and_a_peer_or_a_standing_connection_need_not() {
    // V-6, C-8
    let mut world = World::lab(Tokens::Clear);
    let tls = format!("{}:5061", EDGES[0].split_once(':').unwrap().0);
    let from = |n: u32| format!("203.0.113.7:{}", 10_000 + n);
    assert!(world.knock(&from(0), &tls));
    overwhelm(&mut world, EDGES[0]);
    let taken = (1..=100).filter(|n| world.knock(&from(*n), &tls)).count();
    assert!(taken < 10, "{taken}");
    let shed = world.counter(EDGES[0], "connections_shed");
    assert_eq!(shed, 100 - u64::try_from(taken).unwrap());
    // A connection without a handshake is told more by the 503 of its requests.
    assert!(world.knock(&from(101), EDGES[0]));
    let home = HOME.split_once(':').unwrap().0;
    assert!((0..20).all(|n| world.knock(&format!("{home}:{}", 40_000 + n), &tls)));
    assert_eq!(world.counter(EDGES[0], "connections_shed"), shed);
    // And all may come again when it is on time.
    world.pass(Duration::from_secs(60));
    world.late(EDGES[0], Duration::ZERO, 1);
    assert!((200..250).all(|n| world.knock(&from(n), &tls)));
}

#[test]
fn handshakes_of_strangers_leave_room_for_those_of_peers() {
    // C-8
    let mut world = World::lab(Tokens::Clear);
    let tls = format!("{}:5061", EDGES[0].split_once(':').unwrap().0);
    let from = |n: usize| format!("203.0.{}.{}:10000", n / 200, n % 200 + 1);
    let most = limits::HANDSHAKES_MAX;
    assert!((0..most).all(|n| world.greet(&from(n), &tls)));
    assert!(!world.greet(&from(most), &tls));
    assert_eq!(world.counter(EDGES[0], "connections_shed"), 1);
    let home = HOME.split_once(':').unwrap().0;
    assert!((0..20).all(|n| world.greet(&format!("{home}:{}", 40_000 + n), &tls)));
}

#[test]
fn short_of_memory_a_node_takes_in_no_connection_of_a_stranger_and_refuses_what_is_new() {
    // V-6
    let (mut world, joe, _) = lab();
    let from = |n: u32| format!("203.0.113.7:{}", 10_000 + n);
    world.short_of_memory(EDGES[0], 100);
    // A share that is new is owed first.
    assert!(!(0..2).any(|n| world.knock(&from(n), EDGES[0])));
    let home = HOME.split_once(':').unwrap().0;
    assert!((0..20).all(|n| world.knock(&format!("{home}:{}", 40_000 + n), EDGES[0])));
    let invite = |n: u32| {
        let mut invite = joe.request("INVITE", "sip:ann@example.com", n, "", "");
        invite = invite.replace("call", &format!("call{n}"));
        invite
    };
    let (refused, _) = refusals(&mut world, &joe, 100, invite);
    assert!(refused > 60, "{refused}");
    assert!(world.counter(EDGES[0], "shed_calls") > 60);
    // It may again: the next one goes on, and so does whoever comes.
    world.short_of_memory(EDGES[0], 0);
    assert!((10..30).all(|n| world.knock(&from(n), EDGES[0])));
    assert_eq!(world.gauge(EDGES[0], "shed_percent"), 0);
    let (refused, _) = refusals(&mut world, &joe, 1, |_| invite(1_000));
    assert_eq!(refused, 0);
}

#[test]
fn calls_that_are_up_go_on_while_memory_is_short() {
    // V-6
    let (mut world, mut joe, mut ann, received) = ringing();
    for node in [EDGES[0], EDGES[1], HOME] {
        world.short_of_memory(node, 100);
    }
    take_up(&mut world, &mut joe, &mut ann, &received);
    joe.in_dialog(&mut world, EDGES[0], "BYE", 2);
    assert!(ann.receive(&mut world).starts_with("BYE "));
}

#[test]
fn new_registrations_are_refused_and_sent_away_for_different_times() {
    // V-6
    let mut world = World::lab(Tokens::Clear);
    overwhelm(&mut world, EDGES[0]);
    let held = world.gauge(EDGES[0], "server_transactions");
    let (mut refused, mut seconds) = (0, Vec::new());
    for n in 0..100 {
        let call_id = format!("storm-{n}");
        let mut register = Register::new("joe", JOE);
        register.call_id = &call_id;
        let answer = register.send(&mut world, EDGES[0], "");
        if answer.starts_with("SIP/2.0 503 ") {
            refused += 1;
            seconds.push(Phone::values(&answer, "Retry-After")[0].parse().unwrap());
        }
    }
    assert!(refused > 95, "{refused}");
    assert_eq!(world.counter(EDGES[0], "shed_new"), refused);
    // A few got in, each with a transaction; nobody else left anything.
    let left = world.gauge(EDGES[0], "server_transactions") - held;
    assert!(left <= 5, "{left}");
    // Spread over as long as it takes to take them all in.
    let (first, _) = limits::RETRY_AFTER_S;
    let all = first..=limits::RETRY_AFTER_MAX_S;
    assert!(
        seconds.iter().all(|after| all.contains(after)),
        "{seconds:?}"
    );
    let early = seconds.iter().filter(|after| **after < 60).count();
    assert!((20..80).contains(&early), "{seconds:?}");
    // It is over: everybody is let in after some seconds.
    world.pass(Duration::from_secs(6));
    let answer = Register::new("joe", JOE).send(&mut world, EDGES[0], "");
    assert!(answer.starts_with("SIP/2.0 401 "), "{answer}");
    world.late(EDGES[0], Duration::ZERO, 1);
    assert_eq!(world.gauge(EDGES[0], "shed_percent"), 0);
}

/// Joe calls ann, and her phone rings: the INVITE that it got.
fn ringing() -> (World, Phone, Phone, String) {
    let (mut world, joe, ann) = lab();
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &invite);
    assert_eq!(joe.status(&mut world), 100);
    let received = ann.receive(&mut world);
    (world, joe, ann, received)
}

/// Ann takes up the call that rings.
#[track_caller]
fn take_up(world: &mut World, joe: &mut Phone, ann: &mut Phone, received: &str) {
    ann.answer(world, EDGES[1], received, 200, "OK");
    let ok = joe.receive(world);
    joe.dialog(&ok, true);
    ann.dialog(received, false);
    joe.in_dialog(world, EDGES[0], "ACK", 1);
    assert!(ann.receive(world).starts_with("ACK "));
}

#[test]
fn what_there_is_goes_on_while_what_is_new_is_refused() {
    // V-6: a call, a call that rings, and their ends.
    let (mut world, mut joe, mut ann, received) = ringing();
    for node in [EDGES[0], EDGES[1], HOME] {
        overwhelm(&mut world, node);
    }
    world.forget();
    take_up(&mut world, &mut joe, &mut ann, &received);
    joe.in_dialog(&mut world, EDGES[0], "INVITE", 2);
    assert_eq!(joe.status(&mut world), 100);
    let again = ann.receive(&mut world);
    assert!(again.starts_with("INVITE "), "{again}");
    joe.in_dialog(&mut world, EDGES[0], "CANCEL", 2);
    let cancel = "SIP/2.0 200 OK\r\n";
    // A CANCEL has the branch of its INVITE; the helper writes another.
    assert!(!joe.receive(&mut world).starts_with(cancel));
    ann.answer(&mut world, EDGES[1], &again, 200, "OK");
    assert_eq!(joe.status(&mut world), 200);
    joe.in_dialog(&mut world, EDGES[0], "ACK", 2);
    assert!(ann.receive(&mut world).starts_with("ACK "));
    ann.in_dialog(&mut world, EDGES[1], "BYE", 1);
    let bye = joe.receive(&mut world);
    joe.answer(&mut world, EDGES[0], &bye, 200, "OK");
    assert_eq!(ann.status(&mut world), 200);
    assert!(world.gauge(EDGES[0], "shed_percent") > 50);
}

#[test]
fn an_invite_that_is_refused_leaves_nothing_and_its_ack_ends_here() {
    // V-6
    let (mut world, joe, _) = lab();
    overwhelm(&mut world, EDGES[0]);
    let storm = |n: u32| joe.request("OPTIONS", "sip:example.com", 1_000 + n, "", "");
    let call = |n: u32| joe.request("INVITE", "sip:ann@example.com", 1 + n, "", "");
    // Calls are spared as long as there are others to refuse.
    refusals(&mut world, &joe, 200, storm);
    let (refused, _) = refusals(&mut world, &joe, 1, call);
    assert_eq!((refused, world.counter(EDGES[0], "shed_calls")), (0, 0));
    assert!(world.counter(EDGES[0], "shed_new") > 150);
    // Where there are only calls, they are refused.
    let (refused, _) = refusals(&mut world, &joe, 200, |n| call(10 + n));
    assert!(refused > 120, "{refused}");
    world.forget();
    let held = world.gauge(EDGES[0], "contexts");
    let home = world.counter(HOME, "requests_in");
    let text = call(500);
    joe.send(&mut world, EDGES[0], &text);
    let refusal = joe.receive(&mut world);
    assert!(refusal.starts_with("SIP/2.0 503 "), "{refusal}");
    assert_eq!(world.gauge(EDGES[0], "contexts"), held);
    let to = Phone::values(&refusal, "To").remove(0);
    let ack = text.replace("INVITE", "ACK");
    let ack = ack.replace("To: <sip:ann@example.com>", &format!("To: {to}"));
    joe.send(&mut world, EDGES[0], &ack);
    // Neither repeated nor sent on.
    world.pass(Duration::from_millis(900));
    assert!(!world.has(JOE), "{}", world.ladder());
    assert_eq!(world.counter(HOME, "requests_in"), home);
    assert_eq!(world.counter(EDGES[0], "stray_acks"), 0);
}

#[test]
fn emergencies_come_in_last_and_who_is_registered_comes_before_who_is_not() {
    // V-6, RFC 7339 §5.10.1
    let (mut world, joe, _) = lab();
    let stranger = Phone::new("bob", "127.0.0.1:5090", false);
    overwhelm(&mut world, EDGES[0]);
    let renewal = |phone: &Phone, n: u32| {
        let text = phone.request("REGISTER", "sip:example.com", n, "", "");
        let route = "Route: <sip:edge.example.com;lr>\nMax-Forwards: 70";
        text.replace("Max-Forwards: 70", route)
    };
    // A stranger among those who renew pays for them, as far as he goes.
    let (mut mine, mut theirs) = (0, 0);
    world.pass(Duration::from_millis(2_600));
    world.late(EDGES[0], Duration::ZERO, 1);
    let loss = world.gauge(EDGES[0], "shed_percent") / usize::from(world.width);
    for n in 1..=300 {
        mine += refusals(&mut world, &joe, 1, |_| renewal(&joe, n)).0;
        theirs += refusals(&mut world, &stranger, 1, |_| renewal(&stranger, n)).0;
    }
    assert!((30..=50).contains(&loss), "{loss}");
    assert!(theirs > 200 && mine == 0, "{mine} and {theirs} at {loss} %");
    assert_eq!(world.counter(EDGES[0], "shed_renewals"), 0);
    // Calls next to emergencies: what a phone writes into its headers makes none.
    let mut refused = [0; 4];
    for n in 1..=200 {
        let emergency = "Priority : Emergency\nMax-Forwards: 70";
        let texts = [
            joe.request("INVITE", "urn:service:sos.fire", 4 * n, "", ""),
            joe.request("INVITE", "sip:ann@example.com", 4 * n + 1, "", "")
                .replace("Max-Forwards: 70", emergency),
            joe.request("INVITE", "sip:ann@example.com", 4 * n + 2, "", ""),
            // Anybody can write this.
            joe.request("INVITE", "sip:ann@example.com", 4 * n + 3, "", "")
                .replace(
                    "Max-Forwards: 70",
                    "Resource-Priority: esnet.0\nMax-Forwards: 70",
                ),
        ];
        for (index, text) in texts.iter().enumerate() {
            refused[index] += refusals(&mut world, &joe, 1, |_| text.clone()).0;
        }
    }
    let [by_address, by_priority, call, resource] = refused;
    let calls = by_priority + call + resource;
    assert_eq!(by_address, 0, "{refused:?}");
    assert!(calls > 250, "{refused:?}");
    assert!(by_priority.min(call).min(resource) > 50, "{refused:?}");
    // Where too many wait for ann at her edge the home asks here for her other flow,
    // and is refused, too.
    let shed = world.counter(EDGES[0], "shed_calls");
    assert!(shed >= u64::try_from(calls).unwrap(), "{shed} {calls}");
}

/// Whether the Vias of a message hold overload parameters, topmost first.
fn offers(text: &str) -> Vec<bool> {
    let vias = Phone::values(text, "Via").into_iter();
    vias.map(|via| via.contains(";oc")).collect()
}

/// The oc parameters of the topmost Via of a message, in the order of the RFC.
#[track_caller]
fn report(text: &str) -> [String; 4] {
    let via = Phone::values(text, "Via").remove(0);
    ["oc", "oc-algo", "oc-validity", "oc-seq"].map(|name| {
        let prefix = format!("{name}=");
        let mut values = via
            .split(';')
            .filter_map(|param| param.strip_prefix(&prefix));
        let value = values
            .next()
            .unwrap_or_else(|| panic!("no {name} in {via}"));
        assert_eq!(values.next(), None, "{via}");
        value.to_owned()
    })
}

/// The last message between two nodes, whatever their ports, that begins so.
#[track_caller]
fn passed(world: &World, from: &str, to: &str, start: &str) -> String {
    let [from, to] = [from, to].map(|addr| addr.parse::<SocketAddr>().unwrap().ip());
    let is_it =
        |seen: &&Seen| (seen.from.ip(), seen.to.ip()) == (from, to) && seen.text.starts_with(start);
    let found = world.trace.iter().rfind(is_it);
    found
        .unwrap_or_else(|| panic!("no {start}\n{}", world.ladder()))
        .text
        .clone()
}

#[test]
fn elements_of_the_cluster_offer_it_to_one_another_and_to_nobody_else() {
    // V-1, V-4, V-5
    let (mut world, joe, ann) = lab();
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &invite);
    let sent = |world: &World, from, to| passed(world, from, to, "INVITE ");
    let first = sent(&world, EDGES[0], HOME);
    assert!(first.contains(";oc;oc-algo=\"loss\";"), "{first}");
    assert_eq!(offers(&first), [true, false]);
    // What one hop says is not the next one's business.
    assert_eq!(offers(&sent(&world, HOME, EDGES[1])), [true, false, false]);
    let last = ann.receive(&mut world);
    assert_eq!(offers(&last), [false; 4], "{last}");
    // Nobody is late: nobody says anything.
    ann.answer(&mut world, EDGES[1], &last, 180, "Ringing");
    assert!(!world.trace.iter().any(|seen| seen.text.contains(";oc=")));
}

#[test]
fn a_late_home_asks_its_edges_for_less_and_they_do_not_send_it() {
    // V-2, V-3, V-4, P-24
    let (mut world, mut joe, mut ann) = lab();
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &invite);
    let received = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &received, 200, "OK");
    joe.status(&mut world);
    let ok = joe.receive(&mut world);
    joe.dialog(&ok, true);
    ann.dialog(&received, false);
    overwhelm(&mut world, HOME);
    world.forget();
    let options = |n: u32| joe.request("MESSAGE", "sip:ann@example.com", 100 + n, "", "");
    // The home refuses the first ones itself, and says no Retry-After: the
    // edge would take it for one to everybody.
    let mut n = 0;
    while world.counter(EDGES[0], "restrained") == 0 {
        n += 1;
        assert!(n < 10, "{}", world.ladder());
        world.forget();
        joe.send(&mut world, EDGES[0], &options(n));
    }
    let refusal = joe.receive(&mut world);
    assert!(refusal.starts_with("SIP/2.0 503 "), "{refusal}");
    assert!(refusal.contains("\r\nRetry-After: "), "{refusal}");
    assert!(!refusal.contains(";oc"), "{refusal}");
    // What is kept back never arrives, and what there is does.
    let before = world.counter(HOME, "requests_in");
    let kept = world.counter(EDGES[0], "restrained");
    for n in 0..50 {
        joe.send(&mut world, EDGES[0], &options(100 + n));
    }
    assert!(world.counter(EDGES[0], "restrained") >= kept + 45);
    assert!(world.counter(HOME, "requests_in") <= before + 5);
    world.forget();
    joe.in_dialog(&mut world, EDGES[0], "BYE", 2);
    let bye = ann.receive(&mut world);
    assert!(bye.starts_with("BYE "), "{bye}");
    ann.answer(&mut world, EDGES[1], &bye, 200, "OK");
    // The 200 of another element passes with the home's word in it.
    let ok = passed(&world, HOME, EDGES[0], "SIP/2.0 200 ");
    let [loss, algorithm, validity, first] = report(&ok);
    assert!(loss.parse::<u8>().unwrap() > 90, "{loss}");
    assert_eq!((&algorithm[..], &validity[..]), ("\"loss\"", "500"));
    assert_eq!(joe.status(&mut world), 200);
    // Its word is over after half a second, and the next one is newer.
    world.pass(Duration::from_millis(510));
    world.forget();
    joe.send(&mut world, EDGES[0], &options(200));
    let refused = passed(&world, HOME, EDGES[0], "SIP/2.0 503 ");
    assert!(!refused.contains("Retry-After"), "{refused}");
    let [_, _, _, second] = report(&refused);
    assert!(first.parse::<f64>().unwrap() < second.parse::<f64>().unwrap());
    // P-24: the home's own does not pass as it is. What the phone hears is what it
    // would have heard had the edge kept the request back, and when to come again.
    let refusal = joe.receive(&mut world);
    assert!(refusal.starts_with("SIP/2.0 503 "), "{refusal}");
    assert!(refusal.contains("\r\nRetry-After: "), "{refusal}");
}

#[test]
fn the_end_of_overload_is_told_and_then_nothing() {
    // V-3: validity 0.
    let (mut world, joe, _) = lab();
    overwhelm(&mut world, HOME);
    let message = |n: u32| joe.request("MESSAGE", "sip:nobody@example.com", 100 + n, "", "");
    joe.send(&mut world, EDGES[0], &message(1));
    world.late(HOME, Duration::ZERO, 520);
    assert_eq!(world.gauge(HOME, "shed_percent"), 0);
    joe.send(&mut world, EDGES[0], &message(2));
    let [loss, _, validity, _] = report(&passed(&world, HOME, EDGES[0], "SIP/2.0 "));
    assert_eq!((&loss[..], &validity[..]), ("0", "0"));
    joe.send(&mut world, EDGES[0], &message(3));
    let message_3 = passed(&world, EDGES[0], HOME, "MESSAGE ");
    assert!(message_3.contains("CSeq: 103 "), "{message_3}");
    world.pass(limits::OC_END);
    world.late(HOME, Duration::ZERO, 2);
    world.forget();
    joe.send(&mut world, EDGES[0], &message(4));
    let answer = passed(&world, HOME, EDGES[0], "SIP/2.0 ");
    assert!(!answer.contains(";oc="), "{answer}");
}

#[test]
fn who_is_no_element_of_the_cluster_is_neither_told_nor_heard() {
    // V-5
    let (mut world, joe, ann) = lab();
    overwhelm(&mut world, EDGES[0]);
    world.forget();
    let asking = |n: u32| {
        let text = joe.request("MESSAGE", "sip:ann@example.com", 100 + n, "", "");
        text.replace(";rport", ";rport;oc;oc-algo=\"loss\"")
    };
    for n in 0..10 {
        joe.send(&mut world, EDGES[0], &asking(n));
    }
    let refusal = joe.receive(&mut world);
    assert!(refusal.starts_with("SIP/2.0 503 "), "{refusal}");
    assert!(!refusal.contains(";oc="), "{refusal}");
    // What a phone writes into our Vias, or into those behind, is not heard.
    world.pass(Duration::from_secs(10));
    for n in 0..3 {
        world.forget();
        let invite = joe.request("INVITE", "sip:ann@example.com", 200 + n, "", "");
        joe.send(&mut world, EDGES[0], &invite);
        let received = ann.receive(&mut world);
        assert!(received.starts_with("INVITE "), "{received}");
        let evil = received.replace(
            ";branch=",
            ";oc=100;oc-validity=9000;oc-seq=9999999999.0;branch=",
        );
        ann.answer(&mut world, EDGES[1], &evil, 486, "Busy Here");
        let home = world
            .trace
            .iter()
            .rfind(|seen| seen.to == HOME.parse().unwrap() && seen.text.starts_with("SIP/2.0 486"));
        assert!(!Phone::values(&home.unwrap().text, "Via")[0].contains("oc=100"));
    }
    for node in [EDGES[0], EDGES[1], HOME] {
        assert_eq!(world.counter(node, "restrained"), 0);
    }
}
