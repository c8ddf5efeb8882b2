//! A home that has lost its whole table knows every way again after one call
//! to each phone (H-13, S-8, S-24, S-31).

use steadfast::agent::Command;
use steadfast::edge::{ConfiguredHop, NextHop};
use steadfast::id::Transport;
use steadfast::send::Event;
use steadfast::time::Duration;
use steadfast::trust::Strangers;

use super::world::{EDGES, HOME, Tokens, World};

const NODES: [&str; 4] = [HOME, EDGES[0], EDGES[1], EDGES[2]];

/// How often requests took a detour so far.
fn detours(world: &World) -> u64 {
    let names = ["relays", "redirects"];
    let of = |node: &&str| -> u64 { names.iter().map(|name| world.counter(node, name)).sum() };
    NODES.iter().map(of).sum()
}

/// The one called hangs up.
fn call(world: &mut World, caller: &str, (user, called): (&str, &str)) {
    world.command(caller, Command::Call(format!("sip:{user}@example.com")));
    world.pass(Duration::from_secs(2));
    world.command(called, Command::Hangup);
    world.pass(Duration::from_secs(1));
    let events = world.events(caller);
    let last = events.last();
    assert!(
        matches!(last, Some(Event::Ended { .. })),
        "{events:?}\n{}",
        world.ladder()
    );
}

fn relearn(core: Transport) {
    let home = match core {
        Transport::Udp | Transport::Tcp => HOME,
        Transport::Tls => "127.0.0.10:5061",
    };
    let mut world = World::with(
        Tokens::Clear,
        |_| (),
        |_, edge| {
            edge.rules.strangers = Strangers::Answer;
            edge.home = vec![NextHop::At(ConfiguredHop {
                transport: core,
                addr: home.parse().unwrap(),
                name: (core == Transport::Tls).then(|| "example.com".to_owned()),
            })];
        },
    );
    let phones = [("joe", "127.0.0.1:5070"), ("ann", "127.0.0.1:5080")];
    for ((user, addr), edge) in phones.into_iter().zip(EDGES) {
        world.add_agent(user, addr, "secret", &[edge]);
        world.command(addr, Command::Register);
        let events = world.events(addr);
        let last = events.last();
        assert!(
            matches!(last, Some(Event::Ready { flows: 2, of: 2 })),
            "{events:?}"
        );
    }
    let mut astray = 0;
    for run in 0..6 {
        world.restart(HOME);
        // Each moves the home's dice on and teaches it nothing.
        for number in 0..run {
            stray_bye(&mut world, 10 * run + number);
        }
        let before = detours(&world);
        round(&mut world, phones);
        let first = detours(&world);
        astray += first - before;
        world.forget();
        round(&mut world, phones);
        assert_eq!(detours(&world), first, "{run}\n{}", world.ladder());
    }
    assert!(astray > 0, "it never guessed wrong");
}

/// Each calls the other.
fn round(world: &mut World, [joe, ann]: [(&str, &str); 2]) {
    call(world, ann.1, joe);
    call(world, joe.1, ann);
}

/// A BYE that belongs to no call, of somebody whom the edges let in.
fn stray_bye(world: &mut World, number: u32) {
    let from = "127.0.0.1:5099";
    let bye = format!(
        "BYE sip:joe@example.com SIP/2.0\n\
         Via: SIP/2.0/UDP {from};rport;branch=z9hG4bKs{number}\nMax-Forwards: 70\n\
         From: <sip:x@elsewhere.example>;tag=1\nTo: <sip:joe@example.com>\n\
         Call-ID: s{number}\nCSeq: 1 BYE\nContent-Length: 0\n\n"
    );
    world.send(from, EDGES[0], &bye);
    let answer = world.receive(from).text;
    assert!(answer.starts_with("SIP/2.0 481 "), "{answer}");
}

#[test]
fn a_home_learns_its_ways_again_over_udp() {
    relearn(Transport::Udp);
}

#[test]
fn a_home_learns_its_ways_again_over_tcp() {
    relearn(Transport::Tcp);
}

#[test]
fn a_home_learns_its_ways_again_over_tls() {
    relearn(Transport::Tls);
}
