//! Whose Via it is over TLS where every edge has a name in the DNS, which its
//! certificate is for: that of this very edge, to which an answer comes back over a
//! connection of its own (RFC 3261 §18.2.2, RFC 3263 §5, RFC 5922 §7.3).

use super::phone::Phone;
use super::tls::{E1_TLS, FAR, HOME_TLS, plain_phone, tls_with};
use super::world::{EDGES, World};

const AGAIN: &str = "203.0.113.9:40002";
const ANN: &str = "127.0.0.1:6002";

/// The topmost Via of the first such message that went there.
#[track_caller]
fn via_towards(world: &World, to: &str, start: &str) -> String {
    let mut trace = world.trace.iter();
    let seen = trace.find(|seen| seen.to.to_string() == to && seen.text.starts_with(start));
    let seen = seen.unwrap_or_else(|| panic!("nothing for {to}\n{}", world.ladder()));
    Phone::values(&seen.text, "Via").remove(0)
}

#[test]
fn the_via_over_tls_names_this_very_edge() {
    // M-3, P-19
    let mut world = tls_with("example.com", |edge| edge.member_names = true);
    plain_phone(&mut world);
    let mut ann = Phone::new("ann", ANN, true);
    ann.register(&mut world, EDGES[1]);
    let via = via_towards(&world, HOME_TLS, "REGISTER ");
    let own = "SIP/2.0/TLS e1.edge.example.com:5061;alias;keep;";
    assert!(via.starts_with(own), "{via}");
    for (number, from, sent_by, passes) in [
        (1, FAR, "e1.edge.example.com:5061", true),
        (2, AGAIN, "E1.Edge.example.com.:5061", true),
        // It stood there before the edges had names of their own.
        (3, AGAIN, "edge.example.com:5061", true),
        (4, AGAIN, "e3.edge.example.com:5061", false),
        (5, AGAIN, "e1.edge.example.com:5060", false),
    ] {
        let text = ann.request("MESSAGE", "sip:joe@example.com", 20 + number, "", "");
        ann.send(&mut world, EDGES[1], &text);
        let request = world.receive(FAR).text;
        let via = Phone::values(&request, "Via").remove(0);
        assert!(
            via.starts_with("SIP/2.0/TLS e1.edge.example.com:5061;branch="),
            "{via}"
        );
        if from == AGAIN && !world.is_connected(AGAIN, E1_TLS) {
            world.connect(AGAIN, E1_TLS);
        }
        let ok = Phone::new("joe", FAR, false).response(&request, 200, "OK");
        let received = format!("{sent_by};received=127.0.0.11;");
        let ok = ok.replacen("e1.edge.example.com:5061;", &received, 1);
        world.send(from, E1_TLS, &ok);
        assert_eq!(world.has(ANN), passes, "{sent_by}");
        world.forget();
    }
}

#[test]
fn over_anything_else_it_is_an_address() {
    // a name in a Via over UDP or TCP is asked of the DNS and proves nothing.
    let mut world = super::named_edges::named();
    let mut ann = Phone::new("ann", ANN, true);
    ann.register(&mut world, EDGES[1]);
    let via = via_towards(&world, super::world::HOME, "REGISTER ");
    assert!(via.starts_with("SIP/2.0/UDP 127.0.0.12:40000;"), "{via}");
}
