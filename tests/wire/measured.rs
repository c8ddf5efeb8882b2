//! What a node counts of the messages that pass, and how long calls and registrations take.

use super::overload::overwhelm;
use super::phone::{Phone, Register, authorization};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::proxy::Traffic;
use steadfast::shard::Notice;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";

/// Every counter that has counted something, a line each.
fn lines(traffic: &Traffic) -> Vec<String> {
    let place = |place: steadfast::proxy::Place| {
        format!("{} {:?}", place.transport.uri_token(), place.side).to_lowercase()
    };
    let requests = traffic.requests_in();
    let requests = requests
        .map(|(at, method, count)| format!("{count} {} from {}", method.token(), place(at)));
    let answers = traffic.responses_in().map(|(at, method, class, count)| {
        format!("{count} {class}xx to {} from {}", method.token(), place(at))
    });
    let sent = traffic.responses_out().map(|(at, method, class, count)| {
        format!("{count} {class}xx to {} to {}", method.token(), place(at))
    });
    let mut all: Vec<_> = requests.chain(answers).chain(sent).collect();
    all.sort();
    all
}

#[test]
fn a_call_is_counted_where_it_passes_and_takes_as_long_as_the_phone_rings() {
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Phone::new("joe", JOE, true);
    let mut ann = Phone::new("ann", ANN, true);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    let before = [EDGES[0], HOME].map(|node| world.traffic(node));
    assert!(before.iter().all(|traffic| traffic.set_up().count() == 0));
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &invite);
    assert_eq!(joe.status(&mut world), 100);
    let invite = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &invite, 180, "Ringing");
    assert_eq!(joe.status(&mut world), 180);
    world.pass(Duration::from_secs(4));
    ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
    let ok = joe.receive(&mut world);
    joe.dialog(&ok, true);
    joe.in_dialog(&mut world, EDGES[0], "ACK", 1);
    ann.receive(&mut world);
    // Not a call of its own.
    joe.in_dialog(&mut world, EDGES[0], "INVITE", 2);
    let again = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &again, 488, "Not Acceptable Here");
    assert_eq!(joe.status(&mut world), 100);
    assert_eq!(joe.status(&mut world), 488);
    // The edge acknowledges the refusal to the home, hop by hop.
    for (node, from, to, before, acks) in [
        (EDGES[0], "access", "core", &before[0], 1),
        (HOME, "core", "core", &before[1], 2),
    ] {
        let now = world.traffic(node);
        let set_up = now.set_up();
        assert_eq!(
            (set_up.count(), set_up.sum_us()),
            (1, 4_000_000),
            "virtual time passes while the phone rings, and nowhere else"
        );
        assert_eq!(set_up.quantile_us(0.5), Some(5_000_000));
        let before = lines(before);
        let new: Vec<_> = lines(&now)
            .into_iter()
            .filter(|line| !before.contains(line) && !line.contains("OPTIONS"))
            .collect();
        let want = [
            // Its two 100 and the 180.
            format!("3 1xx to INVITE from udp {to}"),
            format!("1 1xx to INVITE to udp {from}"),
            format!("1 2xx to INVITE from udp {to}"),
            format!("1 2xx to INVITE to udp {from}"),
            format!("1 4xx to INVITE from udp {to}"),
            format!("1 4xx to INVITE to udp {from}"),
            format!("{acks} ACK from udp {from}"),
            format!("2 INVITE from udp {from}"),
        ];
        let mut want: Vec<_> = want.to_vec();
        want.sort();
        assert_eq!(new, want, "{node}");
    }
}

#[test]
fn a_registration_takes_as_long_as_its_answer_and_is_counted_by_it() {
    let mut world = World::with(Tokens::Clear, |home| home.is_durable = true, |_, _| ());
    let mut joe = Register::new("joe", JOE);
    let challenge = joe.send(&mut world, EDGES[0], "");
    joe.ask(&mut world, EDGES[0], &authorization("joe", &challenge));
    // The disk takes its time.
    world.pass(Duration::from_millis(300));
    world.store_writes(usize::MAX);
    assert!(world.receive(JOE).text.starts_with("SIP/2.0 200 "));
    for node in [EDGES[0], HOME] {
        let traffic = world.traffic(node);
        let took: Vec<_> = traffic
            .registration()
            .map(|(class, all)| (class, all.count(), all.sum_us()))
            .collect();
        assert_eq!(took, [(2, 1, 300_000), (4, 1, 0)], "{node}");
    }
    assert_eq!(world.phones(EDGES[0]), [1, 0, 0], "over UDP");
    world.pass(Duration::from_secs(7_300));
    assert_eq!(world.phones(EDGES[0]), [0, 0, 0], "it has expired");
}

#[test]
fn the_operator_is_told_once_when_shedding_begins_and_once_when_it_is_over() {
    // V-6
    let mut world = World::lab(Tokens::Clear);
    overwhelm(&mut world, EDGES[0]);
    for n in 0..20 {
        let call_id = format!("storm-{n}");
        let mut register = Register::new("joe", JOE);
        register.call_id = &call_id;
        register.ask(&mut world, EDGES[0], "");
        overwhelm(&mut world, EDGES[0]);
    }
    let told = |world: &World| -> Vec<String> {
        let notices = world.notices.iter().map(|(_, notice)| notice);
        notices
            .filter_map(|notice| match notice {
                Notice::SheddingBegan { percent } => Some(format!("began {percent}")),
                Notice::SheddingEnded { lasted, refused } => {
                    Some(format!("{} s, {refused}", lasted.as_secs()))
                }
                Notice::PeerUp { .. }
                | Notice::PeerDown { .. }
                | Notice::UnrecognisedEdge { .. }
                | Notice::SipsRefused { .. }
                | Notice::SourceNear { .. } => None,
            })
            .collect()
    };
    let shards = world.counters(EDGES[0], "shed_new").len();
    assert_eq!(told(&world).len(), shards, "{:?}", told(&world));
    let refused = world.counter(EDGES[0], "shed_new");
    assert!(refused > 10, "{refused}");
    let began = world.now;
    world.pass(Duration::from_secs(6));
    world.late(EDGES[0], Duration::ZERO, 2);
    world.pass(Duration::from_secs(1));
    let told = told(&world);
    let (began_with, ended_with) = told.split_at(shards);
    let is_begin = |text: &String| text.starts_with("began ");
    assert!(began_with.iter().all(is_begin), "{told:?}");
    let counts = ended_with
        .iter()
        .map(|text| text.split_once(" s, ").unwrap().1);
    let counts: Vec<u64> = counts.map(|count| count.parse().unwrap()).collect();
    assert_eq!(
        (counts.len(), counts.iter().sum()),
        (shards, refused),
        "{told:?}"
    );
    assert!(world.now.since(began) >= Duration::from_secs(6));
}
