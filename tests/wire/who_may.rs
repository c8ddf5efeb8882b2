//! Who may do what: every principal, method, destination and evidence, at an
//! edge and at the home, and what becomes of each such request.
//!
//! A cell says who has received the request in the end, or else the status that
//! its sender got. It holds for INVITE, MESSAGE, SUBSCRIBE, BYE, REFER and
//! OPTIONS (`a|b`: OPTIONS gets `b`). An ACK has no answer, and is delivered where
//! the others are (`a~b`: it gets to `b`; `-`: to nobody). A CANCEL is for the
//! transaction that it names and no other, so that here it is 481.
//!
//! With an empty To tag everything is 400, whoever sends it.

use std::collections::BTreeMap;

use super::marks::{mark_of, unmarked};
use super::peer::CORE;
use super::phone::Phone;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::trust::{Destinations, Strangers};

use tables::{AT_HOME, EDGE, HOSPITABLE, SHUT};

mod tables;

const METHODS: [&str; 8] = [
    "INVITE",
    "MESSAGE",
    "SUBSCRIBE",
    "BYE",
    "REFER",
    "OPTIONS",
    "ACK",
    "CANCEL",
];

/// What a request shows, in the order of the columns: nothing; a To tag; the
/// mark of its dialog; that of another dialog between the two; that of the other
/// side; our own value without one. And an empty To tag.
const EVIDENCE: [&str; 7] = ["none", "tag", "mark", "other", "side", "bare", "empty"];

/// Where it is to go.
const DESTINATIONS: [(&str, &str, &str); 10] = [
    // A subscriber of the home.
    ("served", "sip:ann@example.com", ""),
    // Where its dialog leads.
    ("dialog", "", ""),
    // The home itself.
    ("domain", "sip:example.com", ""),
    ("foreign", "sip:x@203.0.113.9", ""),
    ("loopback", "sip:x@127.0.0.2:6379", ""),
    // A phone, past the services of its home.
    ("phone", "sip:bob@127.0.0.1:5085", "BOB"),
    ("route", "sip:x@203.0.113.9", "<sip:203.0.113.9;lr>"),
    // Whoever stands behind the name of the cluster.
    (
        "cluster",
        "sip:x@203.0.113.9",
        "<sip:edge.example.com;lr>, <sip:203.0.113.9;lr>",
    ),
    ("port", "sip:x@127.0.0.10:6379", ""),
    ("maddr", "sip:ann@example.com;maddr=203.0.113.9", ""),
];

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
/// A third subscriber.
const BOB: &str = "127.0.0.1:5085";
/// Somebody past the edges, of another domain.
const EVE: &str = "127.0.0.1:5090";
/// Where nobody is registered.
const AWAY: &str = "127.0.0.1:5099";

/// One side of a call.
#[derive(Clone, Default)]
struct Side {
    call_id: String,
    own_tag: String,
    peer_tag: String,
    /// The value of the node that is asked, with the mark of this side.
    own: String,
    /// The rest of the route set.
    rest: Vec<String>,
    target: String,
}

/// A call as one side and the other have it.
type Call = [Side; 2];

/// Who asks.
struct Who {
    name: &'static str,
    from: &'static str,
    aor: &'static str,
    /// More of his Via, and header lines of his.
    via: &'static str,
    lines: &'static str,
    /// His side of a call, and that of another call between the two.
    sides: [Side; 2],
    /// The mark of the other side.
    far_mark: String,
}

/// A call that somebody begins through his edge, and somebody takes up through
/// another; `node`: what stands in the value of the node that will be asked.
fn call(
    world: &mut World,
    (caller, its, called, at): (&Phone, &str, &Phone, &str),
    uri: &str,
    call_id: &str,
    node: &str,
) -> Call {
    let invite = caller.request("INVITE", uri, 1, "", "");
    let line = invite
        .lines()
        .find(|line| line.starts_with("Call-ID: "))
        .unwrap();
    let invite = invite
        .replace(line, &format!("Call-ID: {call_id}"))
        .replace(";branch=z9hG4bK", &format!(";branch=z9hG4bK{call_id}"));
    world.forget();
    caller.send(world, its, &invite);
    let invite = called.receive(world);
    called.answer(world, at, &invite, 200, "OK");
    let answers = world.trace.iter().rev();
    let mut answers = answers.filter(|seen| seen.to.to_string() == caller.addr());
    let ok = answers.next().unwrap().text.clone();
    assert!(ok.starts_with("SIP/2.0 200 "), "{}", world.ladder());
    let tag = |name: &str| {
        let value = Phone::values(&ok, name).remove(0);
        value.split(";tag=").nth(1).unwrap().to_owned()
    };
    let side = |text: &str, (own, peer): (&str, &str), is_caller: bool| {
        let mut routes = Phone::values(text, "Record-Route");
        if is_caller {
            routes.reverse();
        }
        let index = routes
            .iter()
            .position(|route| route.contains(node))
            .unwrap();
        Side {
            call_id: call_id.to_owned(),
            own_tag: tag(own),
            peer_tag: tag(peer),
            own: routes[index].clone(),
            rest: routes[index + 1..].to_vec(),
            target: Phone::values(text, "Contact")[0]
                .trim_matches(['<', '>'])
                .to_owned(),
        }
    };
    [
        side(&ok, ("From", "To"), true),
        side(&invite, ("To", "From"), false),
    ]
}

/// A lab where nobody but its phones is reached on this machine, joe at e1, ann
/// and bob at e2; the URI of bob's Path.
fn lab(strangers: Strangers) -> (World, [Phone; 2], String) {
    let open = || Destinations {
        reach: vec![("127.0.0.1".parse().unwrap(), 32)],
        deny: Vec::new(),
    };
    let mut world = World::with(
        Tokens::Clear,
        |home| home.destinations = open(),
        |_, edge| {
            edge.rules.destinations = open();
            edge.rules.strangers = strangers;
        },
    );
    let mut phones = [Phone::new("joe", JOE, true), Phone::new("ann", ANN, true)];
    phones[0].register(&mut world, EDGES[0]);
    phones[1].register(&mut world, EDGES[1]);
    Phone::new("bob", BOB, true).register(&mut world, EDGES[1]);
    let paths = Phone::values(&world.ladder(), "Path");
    let path = paths
        .into_iter()
        .rfind(|path| path.starts_with("<sip:bob+"))
        .unwrap();
    (world, phones, path)
}

fn swapped([one, other]: Call) -> Call {
    [other, one]
}

/// Whoever asks the edge of joe.
fn at_edge(world: &mut World, [joe, ann]: &[Phone; 2]) -> Vec<Who> {
    let node = "gunk=e1";
    let out = (joe, EDGES[0], ann, EDGES[1]);
    let back = (ann, EDGES[1], joe, EDGES[0]);
    let (to_ann, to_joe) = ("sip:ann@example.com", "sip:joe@example.com");
    let began = ["one", "two"].map(|id| call(world, out, to_ann, id, node));
    let taken = ["three", "four"].map(|id| call(world, back, to_joe, id, node));
    let stolen = began.clone().map(|[mut caller, called]| {
        caller.own_tag = "stolen".to_owned();
        [caller, called]
    });
    let inward = || began.clone().map(swapped);
    let who = |name, from, aor, calls: [Call; 2]| who(name, (from, aor), ("", ""), calls);
    vec![
        who("home", HOME, "ann@example.com", inward()),
        who("edge", "127.0.0.13:40001", "ann@example.com", inward()),
        who("subscriber", JOE, "joe@example.com", began.clone()),
        who("subscriber-as-ann", JOE, "ann@example.com", began.clone()),
        who("caller-away", AWAY, "joe@example.com", began),
        who("called-away", AWAY, "joe@example.com", taken.map(swapped)),
        who("stranger", AWAY, "joe@example.com", stolen.clone()),
        who("foreigner", AWAY, "x@elsewhere.example", stolen),
    ]
}

/// Whoever asks the home: edges for somebody, and those who come past them.
fn of_home(world: &mut World, [joe, ann]: &[Phone; 2]) -> Vec<Who> {
    let eve = Phone::foreign("eve", EVE);
    let node = "<sip:example.com;";
    let out = (joe, EDGES[0], ann, EDGES[1]);
    let began = ["one", "two"].map(|id| call(world, out, "sip:ann@example.com", id, node));
    let from_eve = (&eve, HOME, joe, EDGES[0]);
    let hers = ["three", "four"].map(|id| call(world, from_eve, "sip:joe@example.com", id, node));
    let to_eve = (joe, EDGES[0], &eve, HOME);
    let uri = &format!("sip:eve@{EVE}");
    let taken = ["five", "six"].map(|id| call(world, to_eve, uri, id, node));
    let stolen = began.clone().map(|[mut caller, called]| {
        caller.own_tag = "stolen".to_owned();
        [caller, called]
    });
    let vouched = super::peer::VOUCHED;
    let (joes, foreign) = ("joe@example.com", "x@elsewhere.example");
    vec![
        who("subscriber", (CORE, joes), ("", vouched), began.clone()),
        who(
            "subscriber-as-ann",
            (CORE, "ann@example.com"),
            ("", vouched),
            began,
        ),
        who("unvouched", (CORE, joes), ("", ""), stolen.clone()),
        who(
            "unvouched-foreigner",
            (CORE, foreign),
            ("", ""),
            stolen.clone(),
        ),
        who("guest", (CORE, joes), (";guest", ""), stolen.clone()),
        who(
            "guest-foreigner",
            (CORE, foreign),
            (";guest", ""),
            stolen.clone(),
        ),
        who("caller", (EVE, "eve@elsewhere.example"), ("", ""), hers),
        who(
            "called",
            (EVE, "eve@elsewhere.example"),
            ("", ""),
            taken.map(swapped),
        ),
        who("stranger", (AWAY, joes), ("", ""), stolen.clone()),
        who("foreigner", (AWAY, foreign), ("", vouched), stolen),
    ]
}

fn who(
    name: &'static str,
    (from, aor): (&'static str, &'static str),
    (via, lines): (&'static str, &'static str),
    [[side, far], [other, _]]: [Call; 2],
) -> Who {
    let far_mark = mark_of(&far.own).to_owned();
    Who {
        name,
        from,
        aor,
        via,
        lines,
        sides: [side, other],
        far_mark,
    }
}

/// The Route values, and the dialog, of a request.
fn request(
    who: &Who,
    method: &str,
    (destination, uri, routes): (&str, &str, &str),
    (evidence, number): (&str, usize),
) -> String {
    let [side, other] = &who.sides;
    let marked = |mark: &str| side.own.replace(mark_of(&side.own), mark);
    let (own, is_fresh) = match evidence {
        "mark" => (side.own.clone(), false),
        "other" => (marked(mark_of(&other.own)), false),
        "side" => (marked(&who.far_mark), false),
        "bare" => (unmarked(&side.own), false),
        "tag" => (String::new(), false),
        _ => (String::new(), true),
    };
    let (mut routes, mut uri) = (vec![routes.to_owned()], uri);
    if destination == "dialog" {
        (routes, uri) = (side.rest.clone(), &side.target);
    }
    routes.insert(0, own);
    routes.retain(|route| !route.is_empty());
    let routes: String = routes
        .iter()
        .map(|route| format!("Route: {route}\n"))
        .collect();
    let (call_id, tag) = match is_fresh {
        true => (format!("fresh{number}"), "fresh"),
        false => (side.call_id.clone(), &*side.own_tag),
    };
    let to_tag = match evidence {
        "none" => String::new(),
        "empty" => ";tag=".to_owned(),
        _ => format!(";tag={}", side.peer_tag),
    };
    let Who {
        from,
        aor,
        via,
        lines,
        ..
    } = who;
    format!(
        "{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP {from};rport{via};branch=z9hG4bKn{number}n\n{routes}\
         Max-Forwards: 70\nFrom: <sip:{aor}>;tag={tag}\nTo: <sip:to@example.com>{to_tag}\nCall-ID: {call_id}\n\
         CSeq: {number} {method}\nContact: <sip:{from}>\n{lines}Content-Length: 0\n\n"
    )
}

/// Who has received it, or what its sender got.
fn outcome(world: &World, from: &str, number: usize) -> String {
    let branch = format!("z9hG4bKn{number}n");
    let is_node = |to: &str| {
        to == HOME || EDGES.contains(&to) || to.starts_with("127.0.0.1") && to.contains(":400")
    };
    let trace = world.trace.iter().skip(1);
    let trace = trace.filter(|seen| seen.text.contains(&branch));
    let mut got: Vec<String> = Vec::new();
    let mut status = "-".to_owned();
    for seen in trace {
        let to = seen.to.to_string();
        match seen.text.strip_prefix("SIP/2.0 ") {
            Some(answer) if to == from && !answer.starts_with('1') => {
                status = answer[..3].to_owned()
            }
            Some(_) => {}
            None if is_node(&to) => {}
            None => got.push(match &*to {
                JOE => "joe".to_owned(),
                ANN => "ann".to_owned(),
                BOB => "bob".to_owned(),
                EVE => "eve".to_owned(),
                "203.0.113.9:5060" => "victim".to_owned(),
                _ => to,
            }),
        }
    }
    got.dedup();
    if got.is_empty() {
        status
    } else {
        got.join("+")
    }
}

/// What a method must come to where the table says `cell`.
fn expected<'a>(cell: &'a str, method: &str, evidence: &str) -> &'a str {
    let cell = if evidence == "empty" { "400" } else { cell };
    let (cell, ack) = cell.split_once('~').unwrap_or((cell, ""));
    let (others, options) = cell.split_once('|').unwrap_or((cell, cell));
    let is_status = others.parse::<u16>().is_ok();
    match method {
        "CANCEL" if others == "400" => "400",
        "CANCEL" => "481",
        "ACK" if !ack.is_empty() => ack,
        "ACK" if is_status => "-",
        "OPTIONS" => options,
        _ => others,
    }
}

/// The cells of each principal and destination; `*`: every other destination.
fn table(text: &str) -> BTreeMap<(&str, &str), Vec<&str>> {
    let mut table = BTreeMap::new();
    let mut principals = "";
    for line in text.lines() {
        if !line.starts_with(' ') {
            principals = line;
        }
        let Some((destinations, cells)) = line.split_once(':') else {
            continue;
        };
        let cells: Vec<_> = cells.split_whitespace().collect();
        for principal in principals.split_whitespace() {
            for destination in destinations.split_whitespace() {
                if destination == "*" {
                    for (other, ..) in DESTINATIONS {
                        let row = table.entry((principal, other));
                        row.or_insert_with(|| cells.clone());
                    }
                    continue;
                }
                let twice = table.insert((principal, destination), cells.clone());
                assert_eq!(twice, None, "{principal} {destination}");
            }
        }
    }
    table
}

fn check(
    (node, strangers): (&str, Strangers),
    text: &str,
    askers: impl Fn(&mut World, &[Phone; 2]) -> Vec<Who>,
) {
    let (mut table, mut number) = (table(text), 100);
    let (mut world, phones, _) = lab(strangers);
    for index in 0..askers(&mut world, &phones).len() {
        for (destination, uri, routes) in DESTINATIONS {
            let (mut world, phones, bobs) = lab(strangers);
            let who = askers(&mut world, &phones).remove(index);
            let routes = routes.replace("BOB", &bobs);
            let cells = table.remove(&(who.name, destination));
            let cells = cells.unwrap_or_else(|| panic!("{} {destination}", who.name));
            for (evidence, cell) in EVIDENCE.iter().zip(cells.iter().chain([&""])) {
                for method in METHODS {
                    number += 1;
                    world.forget();
                    let to = (destination, uri, &*routes);
                    let text = request(&who, method, to, (evidence, number));
                    world.send(who.from, node, &text);
                    let got = outcome(&world, who.from, number);
                    let want = expected(cell, method, evidence);
                    let what = format!("{} {method} {destination} {evidence}", who.name);
                    assert_eq!(got, want, "{what}\n{}", world.ladder());
                }
            }
        }
    }
    assert!(table.is_empty(), "{:?}", table.keys());
}

/// Whoever asks it without being registered there.
fn outside(world: &mut World, phones: &[Phone; 2]) -> Vec<Who> {
    at_edge(world, phones).split_off(4)
}

#[test]
fn at_the_edge() {
    check((EDGES[0], Strangers::Challenge), EDGE, at_edge);
}

#[test]
fn at_an_edge_that_lets_strangers_call() {
    check((EDGES[0], Strangers::Answer), HOSPITABLE, outside);
}

#[test]
fn at_an_edge_that_refuses_strangers() {
    check((EDGES[0], Strangers::Refuse), SHUT, outside);
}

#[test]
fn at_the_home() {
    check((HOME, Strangers::Challenge), AT_HOME, of_home);
}
