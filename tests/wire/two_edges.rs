//! Phones that speak RFC 5626 and know two edges by configuration: the edges
//! give them different Paths (B-5), and the registrar alone knows that
//! both lead to one phone (`home::sibling_flows`).

use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";

/// joe, who has a flow to e1 whose token names e3 beside it, and one to e2 with
/// another token; as many times as there are instances like that among the
/// first `instances`.
fn worlds(instances: u32) -> Vec<World> {
    let all = (0..instances).map(|number| {
        let mut world = World::lab(Tokens::Clear);
        let path = |world: &mut World, index: usize| {
            let mut register = Register::new("joe", JOE);
            register.call_id = ["one", "two"][index];
            register.lines = format!(
                "Contact: <sip:joe@{JOE}>;+sip.instance=\"<urn:uuid:joe{number}>\";reg-id={}\n\
                 Supported: path, outbound\n",
                index + 1
            );
            let ok = register.login(world, EDGES[index]);
            Phone::values(&ok, "Path").remove(0)
        };
        let paths = [path(&mut world, 0), path(&mut world, 1)];
        (world, paths[0].contains("+e1+e3+") && paths[0] != paths[1])
    });
    all.filter_map(|(world, fits)| fits.then_some(world))
        .collect()
}

#[test]
fn the_other_edge_serves_the_dialog_of_one_that_died() {
    // H-7, H-10, S-22; RFC 5626 §7: the token names e1 and e3, the phone's other
    // flow is at e2.
    let worlds = worlds(12);
    assert!(worlds.len() > 2, "{}", worlds.len());
    for (turn, mut world) in worlds.into_iter().enumerate() {
        world.icmp = turn % 2 == 0;
        let mut joe = Phone::new("joe", JOE, false);
        let mut ann = Phone::new("ann", ANN, false);
        ann.register(&mut world, EDGES[2]);
        let invite = ann.request("INVITE", "sip:joe@example.com", 1, "", "");
        ann.send(&mut world, EDGES[2], &invite);
        assert_eq!(ann.status(&mut world), 100);
        let invite = joe.receive(&mut world);
        joe.answer(&mut world, EDGES[0], &invite, 200, "OK");
        let ok = ann.receive(&mut world);
        ann.dialog(&ok, true);
        joe.dialog(&invite, false);
        ann.in_dialog(&mut world, EDGES[2], "ACK", 1);
        assert!(joe.receive(&mut world).starts_with("ACK "));
        world.kill(EDGES[0]);
        ann.in_dialog(&mut world, EDGES[2], "BYE", 2);
        if !world.has(JOE) {
            world.pass(steadfast::limits::T1);
        }
        let bye = world.receive(JOE);
        assert!(bye.text.starts_with("BYE "), "{}", world.ladder());
        assert_eq!(bye.from.to_string(), EDGES[1]);
        joe.answer(&mut world, EDGES[1], &bye.text, 200, "OK");
        assert_eq!(ann.status(&mut world), 200, "{}", world.ladder());
        assert_eq!(world.counter(EDGES[2], "relays"), 0, "nobody was asked");
    }
}

#[test]
fn an_edge_is_asked_once_for_both_paths_of_a_phone() {
    // S-22, O-20: it looks for the phone by user and instance.
    for mut world in worlds(6) {
        let mut ann = Phone::new("ann", ANN, false);
        for node in [EDGES[0], EDGES[1], HOME] {
            world.restart(node);
        }
        ann.register(&mut world, EDGES[2]);
        world.forget();
        let invite = ann.request("INVITE", "sip:joe@example.com", 9, "", "");
        ann.send(&mut world, EDGES[2], &invite);
        assert_eq!(ann.status(&mut world), 100);
        assert_eq!(ann.status(&mut world), 480);
        for edge in EDGES {
            let upstream = edge.replace(":5060", ":40000");
            let request = world.trace.iter().filter(|seen| {
                let (from, to) = (seen.from.to_string(), seen.to.to_string());
                from == HOME && (to == edge || to == upstream) && seen.text.starts_with("INVITE ")
            });
            assert_eq!(request.count(), 1, "{edge}\n{}", world.ladder());
        }
    }
}
