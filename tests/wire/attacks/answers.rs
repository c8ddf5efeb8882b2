//! What the called side writes into its answers, and what it names there.

use super::super::phone::Phone;
use super::super::world::{EDGES, HOME, Tokens, World};
use super::{ANN, JOE, TO_ANN, VICTIM, eve, phones, ring, sent, talk};
use steadfast::edge::{self, NextHop, Settings};
use steadfast::id::Transport;
use steadfast::trust::{CallsOut, Destinations};

/// A lab whose edges reach their home over TCP.
fn over_tcp() -> World {
    let hop = NextHop::At(edge::ConfiguredHop {
        transport: Transport::Tcp,
        addr: HOME.parse().unwrap(),
        name: None,
    });
    let set = |_: usize, edge: &mut Settings| edge.home = vec![hop.clone()];
    World::with(Tokens::Clear, |_| (), set)
}

#[test]
fn a_redirect_of_a_phone_opens_no_port_of_an_edge() {
    // Seen: the home follows what names a token and an edge, at whatever port.
    let victims = ["127.0.0.12:6379", "203.0.113.66:6379", "127.0.0.2:6379"];
    for (index, transport) in [
        ("12", ";transport=tcp"),
        ("12", ""),
        ("13", ";transport=tcp"),
    ] {
        for strangers in ["203.0.113.66", "127.0.0.2"]
            .map(Some)
            .into_iter()
            .chain([None])
        {
            let mut world = World::lab(Tokens::Clear);
            for at in victims.into_iter().chain(["127.0.0.13:6379"]) {
                world.listen(at);
            }
            let (joe, _) = phones(&mut world);
            let invite = eve().request("INVITE", "sip:joe@example.com", 1, "", "");
            eve().send(&mut world, HOME, &invite);
            let rings = joe.receive(&mut world);
            let mut trace = world.trace.iter();
            let at_edge = trace
                .find(|seen| seen.from.to_string() == HOME && seen.text.contains("\r\nRoute: "));
            let at_edge = at_edge.unwrap().clone();
            let route = Phone::values(&at_edge.text, "Route").remove(0);
            let token = route["<sip:".len()..].split('@').next().unwrap();
            let ip = strangers.map_or_else(|| format!("127.0.0.{index}"), str::to_owned);
            let contact = format!("<sip:{token}@edge.example.com:6379;lr;maddr={ip}{transport}>");
            world.forget();
            joe.redirect(&mut world, &at_edge.to.to_string(), &rings, &contact);
            let (_, reached) = sent(&world);
            let reached: Vec<_> = reached.into_iter().filter(|to| to != JOE).collect();
            assert_eq!(
                reached,
                Vec::<String>::new(),
                "{contact}\n{}",
                world.ladder()
            );
        }
    }
}

#[test]
fn nobody_is_led_where_a_contact_of_an_answer_points() {
    // Neither by a redirect, nor by the target of the dialog that it begins or
    // refreshes: the caller's next request goes to the phone that is called.
    for uri in [
        "sip:x@127.0.0.2:6379",
        "sip:x@127.0.0.2:6379;transport=tcp",
        "sip:x@127.0.0.10:6379;transport=tcp",
        "sip:x@example.com;maddr=127.0.0.2",
        "sip:x@203.0.113.66",
        "sip:joe@example.com",
    ] {
        let mut world = World::lab(Tokens::Clear);
        world.listen("127.0.0.2:6379");
        world.listen("127.0.0.10:6379");
        let (mut joe, mut ann) = phones(&mut world);
        let invite = ring(&mut world, &joe, &ann);
        world.forget();
        ann.redirect(&mut world, EDGES[1], &invite, &format!("<{uri}>"));
        let (_, reached) = sent(&world);
        // The ACK of the refusal.
        assert_eq!(reached, [ANN], "{uri}\n{}", world.ladder());
        let mut world = World::lab(Tokens::Clear);
        world.listen("127.0.0.2:6379");
        world.listen("127.0.0.10:6379");
        (joe, ann) = phones(&mut world);
        talk(
            &mut world,
            (&mut joe, EDGES[0]),
            (&mut ann, EDGES[1]),
            TO_ANN,
        );
        uri.clone_into(&mut joe.remote_target);
        for (cseq, method) in (2..).zip(["INVITE", "ACK", "INFO", "BYE"]) {
            world.forget();
            joe.in_dialog(&mut world, EDGES[0], method, cseq);
            let (_, reached) = sent(&world);
            assert_eq!(reached, [ANN], "{uri}\n{}", world.ladder());
        }
    }
}

#[test]
fn the_target_of_a_foreign_dialog_is_an_address_like_any_other() {
    // eve is called by joe and takes the call "at" the services of this network.
    for (target, transport) in [
        ("127.0.0.2:6379", ""),
        ("127.0.0.2:6379", ";transport=tcp"),
        ("10.1.2.3:5060", ""),
    ] {
        let closed = |_: usize, edge: &mut Settings| {
            edge.rules.calls_out = CallsOut::anywhere();
            edge.rules.destinations = Destinations::default();
        };
        let shut =
            |home: &mut steadfast::home::Settings| home.destinations = Destinations::default();
        let mut world = World::with(Tokens::Clear, shut, closed);
        world.listen(target);
        let (mut joe, _) = phones(&mut world);
        let uri = "sip:eve@203.0.113.66";
        joe.send(&mut world, EDGES[0], &joe.request("INVITE", uri, 1, "", ""));
        let mut victim = Phone::foreign("eve", VICTIM);
        let invite = victim.receive(&mut world);
        let ok = victim.response(&invite, 200, "OK");
        let ours = format!("<sip:eve@{VICTIM}>");
        world.send(
            VICTIM,
            HOME,
            &ok.replace(&ours, &format!("<sip:eve@{target}{transport}>")),
        );
        let ok = std::iter::from_fn(|| world.has(JOE).then(|| joe.receive(&mut world)));
        joe.dialog(&ok.last().unwrap(), true);
        // With his own address he shows the mark, which leads there; and it is refused.
        let mut away = Phone::new("joe", "127.0.0.1:5099", true);
        away.enter(&joe);
        for (cseq, method) in (2..).zip(["INFO", "INVITE", "BYE"]) {
            for from in [&joe, &away] {
                world.forget();
                from.in_dialog(&mut world, EDGES[0], method, cseq);
                let (_, reached) = sent(&world);
                assert_eq!(
                    reached,
                    Vec::<String>::new(),
                    "{target}\n{}",
                    world.ladder()
                );
            }
        }
        // Her own requests reach him all the same.
        victim.dialog(&invite, false);
        victim.in_dialog(&mut world, HOME, "INFO", 1);
        assert!(world.last(JOE).starts_with("INFO "), "{}", world.ladder());
    }
}

#[test]
fn an_answer_goes_where_its_request_came_from_whatever_its_vias_say() {
    // Seen: who is called wrote the Via of his caller's edge anew, and when its
    // connection was gone the home took the answer there.
    for victim in [
        "127.0.0.11:6379",
        VICTIM,
        "127.0.0.2:6379",
        "127.0.0.13:5060",
        "",
    ] {
        for status in [200, 486] {
            let mut world = over_tcp();
            let (joe, ann) = phones(&mut world);
            if !victim.is_empty() && victim != EDGES[2] {
                world.listen(victim);
            }
            let invite = ring(&mut world, &joe, &ann);
            let vias = Phone::values(&invite, "Via");
            let host = vias[2].split([' ', ';']).nth(1).unwrap();
            assert_eq!(host, "127.0.0.11", "{vias:?}");
            let mut answer = ann.response(&invite, status, "Said");
            if !victim.is_empty() {
                answer = answer.replace(&vias[2], &vias[2].replace(host, victim));
            }
            assert!(world.lose(HOME, EDGES[0]) > 0);
            world.forget();
            world.send(ANN, EDGES[1], &answer);
            let ours = [HOME, EDGES[0], EDGES[1]].map(str::to_owned);
            let to = world.trace.iter().map(|seen| seen.to.to_string());
            let beyond: Vec<_> = to
                .filter(|to| !ours.contains(to) && to != JOE && to != ANN)
                .collect();
            assert_eq!(beyond, Vec::<String>::new(), "{victim}\n{}", world.ladder());
            // What is written as it was finds its caller over a new connection.
            if victim.is_empty() {
                assert_eq!(joe.status(&mut world), status, "{}", world.ladder());
            }
        }
    }
}
