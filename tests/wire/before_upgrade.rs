//! Dialogs that the nodes of a release before began, which wrote two Record-Route values
//! at an edge and marks of 17 characters: the calls that are up go on when the edges and
//! the home are replaced, one by one or all at once (I-11, R-6). The values are as they
//! stood on the wire then, under the secrets of the lab.

use super::phone::Phone;
use super::world::{EDGES, Tokens, World};

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
const AWAY: &str = "203.0.113.9:5070";

/// The route sets of joe, who has called, and of ann: of phones that resolve their
/// routes, and of phones that keep to their flows.
const CALLS: [(bool, [&[&str]; 2]); 2] = [
    (
        false,
        [
            &[
                "<sip:127.0.0.11:5060;lr>",
                "<sip:tBQPh89J81OB3bMjdkufmXAsVQ80sg7_GrTeNeHP9_A@edge.example.com;lr;gunk=e1;dlg=trfi68mcsucaen3fa>",
                "<sip:example.com;lr;dlg=sa5dv32bdu8urtpq4>",
                "<sip:tBVH3WdxQKBAGYDH1W0NWmUeNZGGngEoIkKoMTe_D5A@edge.example.com;lr;gunk=e2;dlg=s991oqouu8mgdq37l>",
                "<sip:127.0.0.12:5060;lr>",
            ],
            &[
                "<sip:127.0.0.12:5060;lr>",
                "<sip:tBVH3WdxQKBAGYDH1W0NWmUeNZGGngEoIkKoMTe_D5A@edge.example.com;lr;gunk=e2;dlg=qe7fqrl2cnjqhf5ru>",
                "<sip:example.com;lr;dlg=qmjglnrd4qgmjj5tt>",
                "<sip:tBQPh89J81OB3bMjdkufmXAsVQ80sg7_GrTeNeHP9_A@edge.example.com;lr;gunk=e1;dlg=pvb6mj65gkeosfe64>",
                "<sip:127.0.0.11:5060;lr>",
            ],
        ],
    ),
    (
        true,
        [
            &[
                "<sip:tBXK2UO-HQwWf_70u0enN7QcDEgfWbTF-mkGMCIHrx9yfnzEF@edge.example.com;lr;gunk=e1;dlg=titdluvlelmv71r0t>",
                "<sip:example.com;lr;dlg=s7e29vu8fe1cbvqai>",
                "<sip:tBRgPURWIFSZyq0Dr7wyTS22DrypHwS9PIZiSFqeo-fW071eo@edge.example.com;lr;gunk=e2;dlg=sroprju7k5led27j0>",
            ],
            &[
                "<sip:tBRgPURWIFSZyq0Dr7wyTS22DrypHwS9PIZiSFqeo-fW071eo@edge.example.com;lr;gunk=e2;dlg=qvm2nj76j17e3uk5p>",
                "<sip:example.com;lr;dlg=qadloicsvto2jbedu>",
                "<sip:tBXK2UO-HQwWf_70u0enN7QcDEgfWbTF-mkGMCIHrx9yfnzEF@edge.example.com;lr;gunk=e1;dlg=pjs0c51g3i5p0svji>",
            ],
        ],
    ),
];

/// Both phones, registered with the nodes of now, in a call that there was before.
fn call((keeps, routes): (bool, [&[&str]; 2])) -> (World, Phone, Phone) {
    let mut world = World::lab(Tokens::Sealed);
    let (mut joe, mut ann) = (Phone::new("joe", JOE, keeps), Phone::new("ann", ANN, keeps));
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    for (phone, is_caller, contact) in [(&mut joe, true, ANN), (&mut ann, false, JOE)] {
        let far = if is_caller { "ann" } else { "joe" };
        let message = format!(
            "From: <sip:joe@example.com>;tag=joe\r\nTo: <sip:ann@example.com>;tag=ann\r\n\
             Call-ID: call-joe\r\nContact: <sip:{far}@{contact}>\r\n"
        );
        phone.dialog(&message, is_caller);
        phone.routes = routes[usize::from(!is_caller)]
            .iter()
            .map(|&route| route.to_owned())
            .collect();
    }
    world.forget();
    (world, joe, ann)
}

/// What is sent gets to the other side, by whichever edge of it, and the answer back.
#[track_caller]
fn arrives(
    world: &mut World,
    (from, edge): (&Phone, &str),
    to: &Phone,
    (method, cseq): (&str, u32),
) {
    from.in_dialog(world, edge, method, cseq);
    let request = world.receive(to.addr());
    let (edge, request) = (request.from.to_string(), request.text);
    assert!(request.starts_with(&format!("{method} ")), "{request}");
    to.answer(world, &edge, &request, 200, "OK");
    while from.status(world) != 200 {}
}

#[test]
fn a_call_that_began_before_an_upgrade_goes_on() {
    for before in CALLS {
        let (mut world, joe, ann) = call(before);
        arrives(&mut world, (&joe, EDGES[0]), &ann, ("INFO", 2));
        arrives(&mut world, (&ann, EDGES[1]), &joe, ("INFO", 3));
        let lines = format!("Contact: <sip:joe@{JOE}>\n");
        joe.in_dialog_with(&mut world, EDGES[0], ("INVITE", 4), &lines);
        let invite = world.receive(ANN);
        let (edge, invite) = (invite.from.to_string(), invite.text);
        assert!(invite.starts_with("INVITE "), "{invite}");
        ann.answer(&mut world, &edge, &invite, 200, "OK");
        while joe.status(&mut world) != 200 {}
        joe.in_dialog(&mut world, EDGES[0], "ACK", 4);
        assert!(ann.receive(&mut world).starts_with("ACK "));
        arrives(&mut world, (&ann, EDGES[1]), &joe, ("BYE", 5));
    }
}

#[test]
fn its_mark_proves_what_it_did() {
    for before in CALLS {
        for edge in [EDGES[0], EDGES[2]] {
            let (mut world, joe, ann) = call(before);
            let mut moved = Phone::new("joe", AWAY, before.0);
            moved.enter(&joe);
            arrives(&mut world, (&moved, edge), &ann, ("INFO", 2));
            // Of neither length is there a mark without its MAC.
            let index = joe.routes.iter().position(|route| route.contains("dlg="));
            let index = index.unwrap();
            let own = joe.routes[index].clone();
            let at = own.find("dlg=").unwrap() + 4;
            for (cseq, forged) in [
                (3, format!("{}>", &own[..own.len() - 4])),
                (4, own.replacen(&own[at..at + 3], "t00", 1)),
                (5, own.replacen(";dlg=t", ".t", 1)),
            ] {
                moved.routes[index] = forged;
                moved.in_dialog(&mut world, edge, "INFO", cseq);
                assert_eq!(moved.status(&mut world), 403, "{}", world.ladder());
            }
        }
    }
}

#[test]
fn it_survives_its_edge() {
    let (mut world, joe, ann) = call(CALLS[1]);
    world.icmp = true;
    let backup = joe.backup.clone();
    world.kill(EDGES[0]);
    arrives(&mut world, (&joe, &backup), &ann, ("INFO", 2));
    arrives(&mut world, (&ann, EDGES[1]), &joe, ("BYE", 3));
}
