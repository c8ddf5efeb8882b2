//! What somebody who is in one dialog takes from it for another: its mark, and
//! what stands beside it.

use super::super::marks::{called_by, mark_of};
use super::super::phone::{Phone, Register};
use super::super::world::{EDGES, HOME, Tokens, World};
use super::{ANN, EVE, JOE, TO_ANN, in_call, phones, talk};
use steadfast::trust::Strangers;

const BOB: &str = "127.0.0.1:5085";
/// Every method that a phone takes, whatever it thinks of the tag in its To.
const METHODS: [&str; 9] = [
    "INVITE",
    "MESSAGE",
    "OPTIONS",
    "REFER",
    "SUBSCRIBE",
    "NOTIFY",
    "UPDATE",
    "ACK",
    "BYE",
];

/// The user part of a value.
fn user_of(value: &str) -> String {
    let user = value.split("sip:").nth(1).unwrap().split('@').next();
    user.unwrap().to_owned()
}

/// The token of bob, whose phone is at `edge`, as any call of his shows it.
fn bobs_token(world: &mut World, edge: &str) -> String {
    Phone::new("bob", BOB, true).register(world, edge);
    let paths = Phone::values(&world.ladder(), "Path");
    world.forget();
    user_of(paths.last().unwrap())
}

/// A lab of so many shards; bob's flow belongs to the last of them.
fn lab(width: u8, tokens: Tokens) -> World {
    let answers = |_: usize, edge: &mut steadfast::edge::Settings| {
        edge.rules.strangers = Strangers::Answer;
    };
    let mut world = World::wide(width, tokens, |_| (), answers);
    world.steer(JOE, 0);
    world.steer(BOB, usize::from(width) - 1);
    world
}

#[test]
fn a_mark_opens_no_other_phone_than_the_one_it_was_made_for() {
    // Seen: the token beside the mark could be anybody's, and his phone rang.
    for (width, tokens) in [(1, Tokens::Clear), (2, Tokens::Clear), (2, Tokens::Sealed)] {
        for (edge, is_stream) in [(EDGES[0], false), (EDGES[0], true), (EDGES[2], false)] {
            let mut world = lab(width, tokens);
            let (joe, _) = phones(&mut world);
            let bobs = bobs_token(&mut world, EDGES[0]);
            let mut thief = called_by(&mut world, &joe, EDGES[0], ("eve", EVE));
            let own = thief.routes[0].clone();
            let stolen = own.replace(&user_of(&own), &bobs);
            let mark = mark_of(&own);
            let sets = [
                vec![stolen.clone()],
                vec![
                    format!("<sip:edge.example.com;lr;dlg={mark}>"),
                    stolen.clone(),
                ],
                vec![
                    format!("<sip:edge.example.com;lr;dlg={mark}>"),
                    stolen.replace(mark, "x"),
                ],
                vec![own.clone(), stolen.clone()],
                vec![stolen.clone(), own.clone()],
                vec![
                    stolen.replace(&format!(".{mark}"), "x"),
                    format!("<sip:127.0.0.11;lr;dlg={mark}>"),
                ],
            ];
            if is_stream {
                world.connect(EVE, edge);
            }
            let mut cseq = 10;
            for set in sets {
                for method in METHODS {
                    cseq += 1;
                    thief.routes.clone_from(&set);
                    world.forget();
                    thief.in_dialog(&mut world, edge, method, cseq);
                    assert!(!world.has(BOB), "{set:?}\n{}", world.ladder());
                    let is_refused = method == "ACK" || thief.status(&mut world) == 403;
                    assert!(is_refused, "{set:?}\n{}", world.ladder());
                }
            }
            // Where it leads it still leads.
            thief.routes = vec![own];
            thief.in_dialog(&mut world, edge, "INFO", cseq + 1);
            assert!(joe.receive(&mut world).starts_with("INFO "));
        }
    }
}

#[test]
fn a_mark_opens_no_flow_that_is_written_beside_it() {
    // Where a phone is away, the flow token beside its token stood for it.
    const CARL: &str = "127.0.0.1:5087";
    for width in [1, 2] {
        let mut world = lab(width, Tokens::Clear);
        let (joe, mut ann) = phones(&mut world);
        let mut thief = called_by(&mut world, &joe, EDGES[0], ("eve", EVE));
        let mut carl = Phone::foreign("carl", CARL);
        talk(
            &mut world,
            (&mut carl, EDGES[0]),
            (&mut ann, EDGES[1]),
            TO_ANN,
        );
        let flow = user_of(ann.routes.last().unwrap());
        thief.in_dialog(&mut world, EDGES[0], "INFO", 9);
        assert!(joe.receive(&mut world).starts_with("INFO "));
        for (reg, edge) in [("1", EDGES[0]), ("2", &*joe.backup.clone())] {
            let mut leaves = Register::new("joe", JOE);
            leaves.call_id = reg;
            leaves.lines = format!(
                "Contact: <sip:joe@{JOE}>;+sip.instance=\"<urn:uuid:joe>\";reg-id={reg}\n\
                 Expires: 0\nSupported: path, outbound, alt-proxies\n"
            );
            let ok = leaves.login(&mut world, edge);
            assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        }
        let own = thief.routes[0].clone();
        for (cseq, param) in (10..).zip([
            format!("flow={flow};gunk=e1"),
            format!("FLOW={flow};gunk=e1"),
            format!("flow={flow};flow=x;gunk=e1"),
        ]) {
            thief.routes = vec![own.replace("gunk=e1", &param)];
            world.forget();
            thief.in_dialog(&mut world, EDGES[0], "MESSAGE", cseq);
            assert!(!world.has(CARL), "{}", world.ladder());
            let status = thief.status(&mut world);
            assert!(matches!(status, 400 | 403), "{status}\n{}", world.ladder());
        }
        // The guest is reached in his own call.
        ann.in_dialog(&mut world, EDGES[1], "INFO", 2);
        assert!(carl.receive(&mut world).starts_with("INFO "));
    }
}

#[test]
fn an_answer_that_writes_another_flow_into_our_value_gives_nobody_a_way() {
    // The mark for the calling side is made of what the answer brings back.
    let mut world = lab(1, Tokens::Clear);
    let (joe, ann) = phones(&mut world);
    joe.send(
        &mut world,
        EDGES[0],
        &joe.request("INVITE", TO_ANN, 1, "", ""),
    );
    let invite = ann.receive(&mut world);
    let routes = Phone::values(&invite, "Record-Route");
    for (status, value) in (180..).zip([&routes[0], routes.last().unwrap()]) {
        let bent = value.replace(";gunk=", ";flow=f0000000000000000;gunk=");
        assert_ne!(&bent, value);
        ann.answer(
            &mut world,
            EDGES[1],
            &invite.replace(value, &bent),
            status,
            "Bent",
        );
        let joes = std::iter::from_fn(|| world.has(JOE).then(|| joe.receive(&mut world)));
        let answer = joes.last().unwrap();
        assert_eq!(
            Phone::values(&answer, "Record-Route"),
            Vec::<String>::new(),
            "{answer}"
        );
    }
    ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
    let ok = joe.receive(&mut world);
    assert_eq!(Phone::values(&ok, "Record-Route").len(), 3, "{ok}");
}

#[test]
fn a_mark_is_no_password_and_begins_nothing() {
    // Shown with a REGISTER, with a request outside of a dialog, in another
    // dialog, and at a node that did not make it.
    for is_stream in [false, true] {
        let mut world = lab(1, Tokens::Clear);
        let (joe, ann) = in_call(&mut world);
        let mut thief = Phone::new("joe", EVE, false);
        thief.enter(&joe);
        let routes: String = joe
            .routes
            .iter()
            .map(|route| format!("Route: {route}\n"))
            .collect();
        let own = format!("Route: {}\n", joe.routes[0]);
        let home = format!("Route: {}\n", joe.routes[1]);
        if is_stream {
            world.connect(EVE, EDGES[0]);
            world.connect(EVE, HOME);
        }
        let mut register = Register::new("joe", EVE);
        register.route = joe.routes[0].clone();
        register.lines += &super::super::abuse::padding();
        let answer = register.send(&mut world, EDGES[0], "");
        assert!(answer.starts_with("SIP/2.0 401 "), "{answer}");
        let mut number = 100;
        for node in [EDGES[0], HOME] {
            for routes in [&routes, &own, &home, &(home.clone() + &own)] {
                for method in ["INVITE", "MESSAGE", "SUBSCRIBE", "REFER", "OPTIONS"] {
                    number += 1;
                    let text = thief.request(method, "sip:ann@127.0.0.1:5080", number, routes, "");
                    world.forget();
                    world.send(EVE, node, &text);
                    assert!(!world.has(ANN), "{}", world.ladder());
                    let status = thief.status(&mut world);
                    assert!(
                        matches!(status, 100 | 403 | 407),
                        "{status}\n{}",
                        world.ladder()
                    );
                    assert!(status != 100 || thief.status(&mut world) == 407);
                }
            }
        }
        // In its dialog it is good for what the dialog is, after its BYE as before:
        // the phone knows which dialogs it has.
        thief.in_dialog(&mut world, EDGES[0], "BYE", 5);
        let bye = ann.receive(&mut world);
        ann.answer(&mut world, EDGES[1], &bye, 200, "OK");
        thief.in_dialog(&mut world, EDGES[0], "INFO", 6);
        let info = ann.receive(&mut world);
        ann.answer(&mut world, EDGES[1], &info, 481, "No Such Dialog");
        assert_eq!(thief.status(&mut world), 200);
        assert_eq!(thief.status(&mut world), 481);
    }
}
