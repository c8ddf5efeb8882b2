//! How much longer a call becomes on its way from a phone over its edge, the home
//! and another edge to a phone: over UDP what does not fit into one packet is
//! lost behind many address translations.

use super::phone::{Phone, authorization};
use super::settings::subscribers;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge;
use steadfast::limits;

/// Bytes that may be added on the way over UDP.
const BOUND: usize = 450;
/// Bytes that may be added over TCP, where `;transport=tcp` stands in a value and nothing
/// has to fit into a packet: who is asserted is said twice, and names are written in full.
const BOUND_OVER_TCP: usize = 532;
/// What two users of fifteen digits may add over TCP.
const MORE_OF_NUMBERS: usize = 20;
/// What the name of an edge may add over TCP to what its address has.
const MORE_OF_NAME: usize = "e2.edge.example.com;transport=udp".len() - "127.0.0.12".len();
/// Bytes of an INVITE as phones send it.
const SENT: usize = 883;

/// The two phones of a call.
#[derive(Clone, Copy, Debug)]
struct Case {
    transport: &'static str,
    /// They keep to the flow a route was learned on, and say so.
    is_sticky: bool,
    route: Route,
    users: [&'static str; 2],
    /// The edges have names in the DNS, by which the phones go.
    are_named: bool,
    /// Bytes of the INVITE as the caller sends it.
    sent: usize,
}

/// What the caller puts before its INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// Nothing: the DNS of its domain led it to its edge.
    Nothing,
    /// The outbound proxy that it is configured with.
    Proxy,
    /// The Service-Route of its registration (RFC 3608), as phones do that keep to
    /// their flows.
    Service,
}

const ADDRS: [&str; 2] = ["127.0.0.1:5070", "127.0.0.1:5080"];

impl Case {
    /// Registers a phone; the Route lines of what it sends outside of dialogs.
    fn register(&self, world: &mut World, index: usize) -> String {
        let (user, addr, edge) = (self.users[index], ADDRS[index], EDGES[index]);
        if self.transport == "TCP" {
            world.connect(addr, edge);
        }
        let tags = if self.is_sticky { ", alt-proxies" } else { "" };
        let via = format!("SIP/2.0/{}", self.transport);
        let transport = self.uri_transport();
        let lines = format!(
            "Contact: <sip:{user}@{addr}{transport}>;reg-id=1;\
             +sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf{index}>\"\n\
             Supported: path, outbound{tags}\n"
        );
        let text = |cseq: u32, credentials: &str| {
            format!(
                "REGISTER sip:example.com SIP/2.0\nVia: {via} {addr};rport;branch=z9hG4bK{cseq}{user}\n\
                 Route: <sip:edge.example.com;lr>\nMax-Forwards: 70\nFrom: <sip:{user}@example.com>;tag=f\n\
                 To: <sip:{user}@example.com>\nCall-ID: {user}\nCSeq: {cseq} REGISTER\n{lines}{credentials}Content-Length: 0\n\n"
            )
        };
        world.send(addr, edge, &text(1, ""));
        if !world.has(addr) {
            // An unproven source is asked for its password when it tries again.
            world.pass(limits::T1);
            world.send(addr, edge, &text(1, ""));
        }
        let challenge = world.receive(addr).text;
        world.send(addr, edge, &text(2, &authorization(user, &challenge)));
        let ok = world.receive(addr).text;
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        match self.route {
            Route::Nothing => String::new(),
            Route::Proxy => "Route: <sip:edge.example.com;lr>\n".to_owned(),
            Route::Service => {
                format!("Route: {}\n", Phone::values(&ok, "Service-Route").join(","))
            }
        }
    }

    fn bound(&self) -> usize {
        if self.transport == "UDP" {
            return BOUND;
        }
        // A token has its number in half octets.
        let is_number = self.users[0] != "joe";
        let more = [(is_number, MORE_OF_NUMBERS), (self.are_named, MORE_OF_NAME)];
        BOUND_OVER_TCP
            + more
                .iter()
                .filter(|more| more.0)
                .map(|more| more.1)
                .sum::<usize>()
    }

    /// What its URIs say of the transport.
    fn uri_transport(&self) -> &'static str {
        match self.transport {
            "UDP" => "",
            _ => ";transport=tcp",
        }
    }

    /// What the caller sends and what the called phone gets.
    fn call(&self) -> (String, String) {
        let named = |_, settings: &mut edge::Settings| settings.member_names = self.are_named;
        let mut world = World::with(Tokens::Sealed, |_| (), named);
        let list = self
            .users
            .map(|user| format!("{user} example.com password=secret\n"));
        world.subscribe(HOME, &subscribers(), &list.concat());
        let routes = self.register(&mut world, 0);
        self.register(&mut world, 1);
        world.forget();
        let sent = self.invite(&routes);
        world.send(ADDRS[0], EDGES[0], &sent);
        let got = world.receive(ADDRS[1]).text;
        assert!(got.starts_with("INVITE "), "{got}");
        (sent.replace('\n', "\r\n"), got)
    }

    /// An INVITE as phones send them, of that length.
    fn invite(&self, routes: &str) -> String {
        let ([joe, ann], [addr, _]) = (self.users, ADDRS);
        let body = |padding: usize| {
            format!(
                "v=0\no={joe} 3958744801 3958744801 IN IP4 127.0.0.1\ns=call\nc=IN IP4 127.0.0.1\nt=0 0\n\
                 m=audio 4000 RTP/AVP 96 9 8 0 101\na=rtpmap:96 opus/48000/2\na=rtpmap:101 telephone-event/8000\n\
                 a=sendrecv\na=tool:{}\n",
                "x".repeat(padding)
            )
        };
        let transport = self.uri_transport();
        let text = |padding: usize| {
            let body = body(padding);
            format!(
                "INVITE sip:{ann}@example.com SIP/2.0\nVia: SIP/2.0/{} {addr};rport;branch=z9hG4bK-524287-1---3c5c08\n\
                 {routes}Max-Forwards: 70\nFrom: \"A\" <sip:{joe}@example.com>;tag=b29c4f0e\nTo: <sip:{ann}@example.com>\n\
                 Call-ID: 5FA1C0E8@127.0.0.1\nCSeq: 1 INVITE\n\
                 Contact: <sip:{joe}@{addr}{transport};ob>\nAllow: INVITE, ACK, CANCEL, BYE, UPDATE\n\
                 Supported: replaces, outbound\nUser-Agent: phone\nContent-Type: application/sdp\n\
                 Content-Length: {}\n\n{body}",
                self.transport,
                body.replace('\n', "\r\n").len()
            )
        };
        let least = text(0).replace('\n', "\r\n").len();
        assert!((self.sent - 500..=self.sent).contains(&least), "{least}");
        // With a number of three digits in either.
        text(self.sent - least)
    }
}

#[test]
fn a_call_grows_by_no_more_than_its_bound() {
    // joe and ann, and two numbers of fifteen digits, whose headers are longer as well.
    let mut over = Vec::new();
    for users in [["joe", "ann"], ["491701234567890", "491701234567891"]] {
        for transport in ["UDP", "TCP"] {
            for (is_sticky, route) in [
                (false, Route::Nothing),
                (false, Route::Proxy),
                (false, Route::Service),
                (true, Route::Service),
            ] {
                for are_named in [false, true] {
                    let case = Case {
                        transport,
                        is_sticky,
                        route,
                        users,
                        are_named,
                        sent: SENT,
                    };
                    let (sent, got) = case.call();
                    assert_eq!(sent.len(), SENT);
                    let grown = got.len() - SENT;
                    println!("{grown} {case:?}\n{got}");
                    if grown > case.bound() {
                        over.push((grown, case));
                    }
                }
            }
        }
    }
    assert!(over.is_empty(), "{over:#?}");
}

#[test]
fn a_long_datagram_is_without_what_its_phone_can_do_without() {
    // I-3, RFC 3325 §5: who is asserted is left out where From says it and the datagram would
    // be fragmented; so is Max-Breadth (L-4). Names have their compact form.
    let fields = |transport, sent| {
        let case = Case {
            transport,
            is_sticky: false,
            route: Route::Proxy,
            users: ["joe", "ann"],
            are_named: false,
            sent,
        };
        let (_, got) = case.call();
        let lines = |name: &str| {
            let is_it = |line: &&str| line.starts_with(&format!("{name}: "));
            got.lines().filter(is_it).count()
        };
        let compact = ["v", "f", "t", "i", "m", "k", "c", "l"].map(lines);
        let full = [
            "Via",
            "From",
            "To",
            "Call-ID",
            "Contact",
            "Supported",
            "Content-Type",
            "Content-Length",
        ]
        .map(lines);
        // No header is lost, and none is written twice.
        let (all, none) = ([4, 1, 1, 1, 1, 1, 1, 1], [0; 8]);
        let is_long = compact == all;
        assert!(
            [(all, none), (none, all)].contains(&(compact, full)),
            "{got}"
        );
        let values =
            ["P-Asserted-Identity", "Max-Breadth"].map(|name| Phone::values(&got, name).concat());
        (values, is_long)
    };
    let whole = (["<sip:joe@example.com>", "60"].map(str::to_owned), false);
    assert_eq!(fields("UDP", 720), whole);
    // The names are left alone while that suffices.
    assert_eq!(fields("UDP", 780), (["", "60"].map(str::to_owned), false));
    assert_eq!(fields("UDP", SENT), ([""; 2].map(str::to_owned), true));
    assert_eq!(fields("TCP", SENT), whole);
}
