//! Other settings for nodes that run: what is under way goes on, and what comes next is
//! dealt with by the new ones.

use super::failover::{Call, call_in};
use super::phone::{Phone, Register};
use super::settings::{CORE_PORT, edge_peer};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::{self, ConfiguredHop, Member, NextHop};
use steadfast::id::Transport;
use steadfast::time::Duration;
use steadfast::trust::Strangers;

mod peers;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
const BOB: &str = "127.0.0.1:5090";
const SECOND: &str = "127.0.0.20:5060";
const OLD: [u8; 64] = [9; 64];
const NEW: [u8; 64] = [8; 64];

fn at(addr: &str) -> NextHop {
    over(Transport::Udp, addr)
}

fn over(transport: Transport, addr: &str) -> NextHop {
    NextHop::At(ConfiguredHop {
        transport,
        addr: addr.parse().unwrap(),
        name: None,
    })
}

/// Every edge takes over changed settings.
fn change_edges(world: &mut World, change: impl Fn(&mut edge::Settings)) {
    for edge in EDGES {
        world.reconfigure_edge(edge, &change);
    }
}

/// joe calls ann, whose phone rings: both, and her INVITE.
#[track_caller]
fn ringing(world: &mut World) -> (Phone, Phone, String) {
    let (mut joe, mut ann) = (Phone::new("joe", JOE, true), Phone::new("ann", ANN, true));
    joe.register(world, EDGES[0]);
    ann.register(world, EDGES[1]);
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(world, EDGES[0], &invite);
    assert_eq!(joe.status(world), 100);
    let invite = ann.receive(world);
    ann.answer(world, EDGES[1], &invite, 180, "Ringing");
    assert_eq!(joe.status(world), 180);
    (joe, ann, invite)
}

/// A request of ann's dialog comes to joe, who answers it.
#[track_caller]
fn ann_asks(Call { world, joe, ann }: &mut Call, (method, cseq): (&str, u32)) {
    ann.in_dialog(world, EDGES[1], method, cseq);
    let edge = world.last_to(JOE).from.to_string();
    let request = joe.receive(world);
    assert!(request.starts_with(&format!("{method} ")), "{request}");
    joe.answer(world, &edge, &request, 200, "OK");
    assert_eq!(ann.status(world), 200);
}

/// The other way round.
#[track_caller]
fn joe_asks(Call { world, joe, ann }: &mut Call, (method, cseq): (&str, u32)) {
    joe.in_dialog(world, EDGES[0], method, cseq);
    let edge = world.last_to(ANN).from.to_string();
    let request = ann.receive(world);
    assert!(request.starts_with(&format!("{method} ")), "{request}");
    ann.answer(world, &edge, &request, 200, "OK");
    assert_eq!(joe.status(world), 200);
}

/// How many messages of the trace went from one node to another, by the addresses.
fn sent(world: &World, from: &str, to: &str) -> usize {
    let ip = |addr: std::net::SocketAddr| addr.ip().to_string();
    let ips = [from, to].map(|addr| addr.split(':').next().unwrap().to_owned());
    let trace = world.trace.iter();
    let there = trace.filter(|seen| [ip(seen.from), ip(seen.to)] == ips);
    there.count()
}

#[test]
fn what_is_under_way_ends_as_it_began() {
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let mut world = World::lab(tokens);
        let (mut joe, mut ann, invite) = ringing(&mut world);
        // Everything is said anew, and the edges say it in another order.
        change_edges(&mut world, |edge| {
            edge.members.rotate_left(1);
            edge.rules.strangers = Strangers::Refuse;
            edge.set_size = 1;
        });
        world.reconfigure_home(HOME, |home| home.ring_time = None);
        world.pass(Duration::from_secs(1));
        ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
        let ok = joe.receive(&mut world);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        joe.dialog(&ok, true);
        ann.dialog(&invite, false);
        joe.in_dialog(&mut world, EDGES[0], "ACK", 1);
        assert!(ann.receive(&mut world).starts_with("ACK "));
        let mut call = Call { world, joe, ann };
        ann_asks(&mut call, ("INFO", 1));
        joe_asks(&mut call, ("BYE", 2));
        let Call { mut world, joe, .. } = call;
        assert_eq!(world.gauge(HOME, "registered"), 2);
        let held = EDGES.map(|edge| world.gauge(edge, "registered"));
        assert_eq!(held.iter().sum::<usize>(), 4, "two flows each: {held:?}");
        // The backup knows its phones too: an INVITE for ann finds her there.
        world.icmp = true;
        world.kill(EDGES[1]);
        world.forget();
        let again = joe.request("MESSAGE", "sip:ann@example.com", 7, "", "");
        joe.send(&mut world, EDGES[0], &again);
        assert!(world.receive(ANN).text.starts_with("MESSAGE "));
    }
}

#[test]
fn a_new_key_writes_and_the_one_before_it_still_reads() {
    let mut call = call_in(World::lab(Tokens::Sealed));
    let path = |world: &mut World, call_id| {
        let mut bob = Register::new("bob", BOB);
        bob.call_id = call_id;
        let ok = bob.login(world, EDGES[2]);
        Phone::values(&ok, "Path").remove(0)
    };
    let before = path(&mut call.world, "one");
    // As an operator does it: listed everywhere first, then it writes.
    change_edges(&mut call.world, |edge| {
        edge.token_keys = vec![OLD, NEW];
        edge.older_flow_keys = vec![[4; 32]];
    });
    assert_eq!(path(&mut call.world, "two"), before);
    let rotate = |edge: &mut edge::Settings| {
        edge.token_keys = vec![NEW, OLD];
        (edge.flow_key, edge.older_flow_keys) = ([4; 32], vec![[3; 32]]);
    };
    call.world.reconfigure_edge(EDGES[0], rotate);
    // One edge writes by the new key, the other one still by the old.
    ann_asks(&mut call, ("INFO", 1));
    change_edges(&mut call.world, rotate);
    assert_ne!(path(&mut call.world, "three"), before);
    ann_asks(&mut call, ("INFO", 2));
    joe_asks(&mut call, ("INFO", 2));
    // A call that begins now has marks by the new key alone.
    let Call { world, joe, ann } = call;
    let mut other = Call {
        world,
        joe: Phone::new("joe", JOE, true),
        ann: Phone::new("ann", ANN, true),
    };
    let invite = other
        .joe
        .request("INVITE", "sip:ann@example.com", 31, "", "");
    let invite = invite.replace("call-joe", "call-anew");
    other.joe.send(&mut other.world, EDGES[0], &invite);
    assert_eq!(other.joe.status(&mut other.world), 100);
    let invite = other.ann.receive(&mut other.world);
    other
        .ann
        .answer(&mut other.world, EDGES[1], &invite, 200, "OK");
    let ok = other.joe.receive(&mut other.world);
    other.joe.dialog(&ok, true);
    other.ann.dialog(&invite, false);
    other.joe.in_dialog(&mut other.world, EDGES[0], "ACK", 31);
    assert!(other.ann.receive(&mut other.world).starts_with("ACK "));
    // What is listed no more is nobody's, and the new call goes on.
    change_edges(&mut other.world, |edge| {
        edge.token_keys = vec![NEW];
        edge.older_flow_keys.clear();
    });
    ann_asks(&mut other, ("BYE", 32));
    ann.in_dialog(&mut other.world, EDGES[1], "INFO", 3);
    assert_eq!(ann.status(&mut other.world), 403);
    joe.in_dialog(&mut other.world, EDGES[0], "INFO", 3);
    assert_eq!(joe.status(&mut other.world), 403);
}

#[test]
fn a_home_takes_the_nonces_and_dialogs_of_the_key_before() {
    let mut call = call_in(World::lab(Tokens::Sealed));
    let mut bob = Register::new("bob", BOB);
    let challenge = bob.send(&mut call.world, EDGES[2], "");
    assert!(challenge.starts_with("SIP/2.0 401 "), "{challenge}");
    call.world.reconfigure_home(HOME, |home| {
        home.older_nonce_keys = vec![home.nonce_key];
        home.nonce_key = [6; 32];
    });
    let proof = super::phone::authorization("bob", &challenge);
    let ok = bob.send(&mut call.world, EDGES[2], &proof);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    ann_asks(&mut call, ("INFO", 1));
    joe_asks(&mut call, ("INFO", 2));
    // The old one is gone: its nonces are strange, and a new one is given.
    let mut bob = Register::new("bob", BOB);
    bob.call_id = "later";
    let challenge = bob.send(&mut call.world, EDGES[2], "");
    call.world.reconfigure_home(HOME, |home| {
        home.older_nonce_keys.clear();
        home.nonce_key = [5; 32];
    });
    let proof = super::phone::authorization("bob", &challenge);
    let again = bob.send(&mut call.world, EDGES[2], &proof);
    assert!(again.starts_with("SIP/2.0 401 "), "{again}");
}

#[test]
fn a_home_that_is_taken_away_keeps_its_calls_and_gets_nothing_new() {
    let mut world = World::lab(Tokens::Sealed);
    world.add_home(SECOND);
    let mut call = call_in(world);
    change_edges(&mut call.world, |edge| {
        edge.home = vec![at(HOME), at(SECOND)]
    });
    ann_asks(&mut call, ("INFO", 1));
    let asked = |world: &mut World| {
        let before = world.counter(EDGES[0], "peer_pings");
        world.pass(Duration::from_secs(10));
        world.counter(EDGES[0], "peer_pings") - before
    };
    let before = asked(&mut call.world);
    change_edges(&mut call.world, |edge| edge.home = vec![at(SECOND)]);
    // Nobody asks it any more whether it lives, as each shard that had sent to it did.
    let saved = before - asked(&mut call.world);
    assert!(saved >= 9, "{saved} of {before}");
    call.world.forget();
    // The other one stands in for it, since it reads its marks.
    ann_asks(&mut call, ("INFO", 2));
    joe_asks(&mut call, ("INFO", 2));
    let Call {
        mut world, mut joe, ..
    } = call;
    assert_eq!(sent(&world, EDGES[1], HOME), 0, "{}", world.ladder());
    // So does what is new, whom nobody has told it of yet.
    world.forget();
    joe.send(
        &mut world,
        EDGES[0],
        &joe.request("MESSAGE", "sip:ann@example.com", 9, "", ""),
    );
    assert_eq!(sent(&world, EDGES[0], SECOND), 1, "{}", world.ladder());
    assert_eq!(sent(&world, EDGES[0], HOME), 0);
    world.pass(Duration::from_secs(40));
    world.forget();
    let mut ann_again = Phone::new("ann", ANN, true);
    ann_again.register(&mut world, EDGES[1]);
    joe.register(&mut world, EDGES[0]);
    assert_eq!(world.gauge(SECOND, "registered"), 2);
    // The first home is a stranger by now, whose new calls are asked who they are.
    world.forget();
    let invite = format!(
        "INVITE sip:ann@example.com SIP/2.0\nVia: SIP/2.0/UDP {HOME};branch=z9hG4bKh\nMax-Forwards: 70\n\
         From: <sip:joe@example.com>;tag=h\nTo: <sip:ann@example.com>\nCall-ID: h\nCSeq: 1 INVITE\n\
         Contact: <sip:{HOME}>\nContent-Length: 0\n\n"
    );
    world.send(HOME, EDGES[1], &invite);
    let refusal = world.last_to(HOME).text.clone();
    assert!(refusal.starts_with("SIP/2.0 407 "), "{}", world.ladder());
    assert!(!world.has(ANN));
}

#[test]
fn an_edge_that_is_taken_away_is_neither_asked_nor_named() {
    // It is played by the test, which answers keep-alives and nothing else.
    const OTHER: &str = "127.0.0.14:5060";
    let other = Member {
        core_port: CORE_PORT,
        ..Member::at("e4", "127.0.0.14".parse().unwrap())
    };
    let join = |edge: &mut edge::Settings| edge.members.push(other.clone());
    let leave = |edge: &mut edge::Settings| {
        edge.members.pop();
    };
    let mut world = World::lab(Tokens::Clear);
    let asked = |world: &mut World| {
        world.forget();
        world.pass(Duration::from_secs(4));
        sent(world, OTHER, EDGES[0])
    };
    assert_eq!(asked(&mut world), 0);
    world.reconfigure_edge(EDGES[0], join);
    let shards = usize::from(world.width);
    assert_eq!(asked(&mut world), 4 * shards, "{}", world.ladder());
    // It falls silent, and its circuit is open.
    world.mute.push(OTHER.parse().unwrap());
    asked(&mut world);
    let opened = |world: &World| world.counter(EDGES[0], "circuits_opened");
    assert_eq!(opened(&world), u64::from(world.width), "{}", world.ladder());
    let is_named = |world: &mut World, call_id| {
        let mut joe = Register::new("joe", JOE);
        joe.call_id = call_id;
        let ok = joe.login(world, EDGES[0]);
        Phone::values(&ok, "Path").remove(0).contains("+e4+")
    };
    // All members serve a subscriber.
    world.reconfigure_edge(EDGES[0], |edge| edge.set_size = 4);
    assert!(is_named(&mut world, "one"));
    world.reconfigure_edge(EDGES[0], leave);
    assert!(!is_named(&mut world, "two"));
    world.mute.clear();
    assert_eq!(asked(&mut world), 0, "{}", world.ladder());
    // It comes back, and is asked as any member is.
    world.reconfigure_edge(EDGES[0], join);
    assert_eq!(asked(&mut world), 4 * shards);
    assert_eq!(opened(&world), u64::from(world.width));
    assert!(is_named(&mut world, "three"));
}

#[test]
fn a_member_retires_and_stays_by_the_word_of_the_day() {
    // D-E17
    let mut world = World::lab(Tokens::Sealed);
    let register = |world: &mut World, call_id| {
        let mut joe = Register::new("joe", JOE);
        joe.call_id = call_id;
        joe.lines = format!(
            "Contact: <sip:joe@{JOE}>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\n\
             Supported: path, outbound, alt-proxies\n"
        );
        joe.send(world, EDGES[0], "")[..12].to_owned()
    };
    assert_eq!(register(&mut world, "one"), "SIP/2.0 401 ");
    change_edges(&mut world, |edge| edge.members[0].retires = true);
    assert_eq!(register(&mut world, "two"), "SIP/2.0 300 ");
    change_edges(&mut world, |edge| edge.members[0].retires = false);
    assert_eq!(register(&mut world, "three"), "SIP/2.0 401 ");
}

#[test]
fn an_edge_that_the_home_lists_no_more_is_a_stranger_there() {
    let mut world = World::lab(Tokens::Sealed);
    let mut joe = Phone::new("joe", JOE, true);
    joe.register(&mut world, EDGES[0]);
    let backup = joe.backup.clone();
    let own = |addr: &str| edge_peer(addr.split(':').next().unwrap());
    world.reconfigure_home(HOME, |home| home.edge_peers = vec![own(&backup)]);
    world.forget();
    // A call for joe takes the flow to the other edge of his set, though both live.
    let ann = Phone::new("ann", ANN, false);
    let mut through = Register::new("ann", ANN);
    through.login(&mut world, &backup);
    world.forget();
    let message = ann.request("MESSAGE", "sip:joe@example.com", 1, "", "");
    ann.send(&mut world, &backup, &message);
    assert!(world.receive(JOE).text.starts_with("MESSAGE "));
    assert_eq!(
        world.last_to(JOE).from.to_string(),
        backup,
        "{}",
        world.ladder()
    );
    assert_eq!(sent(&world, HOME, EDGES[0]), 0, "{}", world.ladder());
    // What comes by that edge has come past the edges.
    let mut bob = Register::new("bob", BOB);
    let sent_away = bob.send(&mut world, EDGES[0], "");
    assert!(sent_away.starts_with("SIP/2.0 300 "), "{sent_away}");
    // It is listed again, and its phones are at home at once.
    world.reconfigure_home(HOME, |home| {
        home.edge_peers = vec![edge_peer("127.0.0.11"), edge_peer("127.0.0.12/31")];
    });
    let mut bob = Register::new("bob", BOB);
    bob.call_id = "again";
    let ok = bob.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
}

#[test]
fn strangers_and_limits_are_what_was_said_last() {
    let mut world = World::hospitable(Tokens::Sealed);
    Register::new("ann", ANN).login(&mut world, EDGES[0]);
    let mallory = Phone::foreign("mallory", BOB);
    let call = |world: &mut World, cseq| {
        let message = mallory.request("MESSAGE", "sip:ann@example.com", cseq, "", "");
        mallory.send(world, EDGES[0], &message);
    };
    call(&mut world, 1);
    assert!(world.receive(ANN).text.starts_with("MESSAGE "));
    change_edges(&mut world, |edge| edge.rules.strangers = Strangers::Refuse);
    call(&mut world, 2);
    assert_eq!(mallory.status(&mut world), 403);
    assert!(!world.has(ANN));
    // This machine is limited from here on, until it is not.
    let admitted = |world: &mut World, first: u16| {
        let connects = |port: &u16| world.knock(&format!("127.0.0.1:{port}"), EDGES[0]);
        (first..first + 20).filter(connects).count()
    };
    world.limit(EDGES[0], Some(Vec::new()), 5);
    assert_eq!(admitted(&mut world, 7_000), 5 * usize::from(world.width));
    world.limit(EDGES[0], Some(Vec::new()), 8);
    assert_eq!(admitted(&mut world, 7_100), 3 * usize::from(world.width));
    world.limit(EDGES[0], None, 8);
    assert_eq!(admitted(&mut world, 7_200), 20);
}

#[test]
fn a_call_that_rings_over_a_connection_to_a_former_home_is_taken_up() {
    let mut world = World::with(
        Tokens::Sealed,
        |_| (),
        |_, edge| edge.home = vec![over(Transport::Tcp, HOME)],
    );
    world.add_home(SECOND);
    let (mut joe, mut ann, invite) = ringing(&mut world);
    change_edges(&mut world, |edge| {
        edge.home = vec![over(Transport::Tcp, SECOND)]
    });
    world.pass(Duration::from_secs(20));
    ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
    let ok = joe.receive(&mut world);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    joe.dialog(&ok, true);
    ann.dialog(&invite, false);
    joe.in_dialog(&mut world, EDGES[0], "ACK", 1);
    assert!(ann.receive(&mut world).starts_with("ACK "));
    ann_asks(&mut Call { world, joe, ann }, ("BYE", 1));
}
