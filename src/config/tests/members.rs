//! The addresses of the edges.

use super::*;

const ONE: &str = "{ name = \"e1\", address = \"127.0.0.11\" }";

fn members(own: &str) -> Vec<Member> {
    let text = format!("{HEAD}{EDGE}").replace(ONE, own);
    let Role::Edge(edge) = read(&text).unwrap().role else {
        panic!("not an edge")
    };
    edge.members
}

fn ips<const N: usize>(texts: [&str; N]) -> [IpAddr; N] {
    texts.map(|text| text.parse().unwrap())
}

#[test]
fn a_member_has_one_address_or_several() {
    assert_eq!(members(ONE)[0].addresses, ips(["127.0.0.11"]));
    let two = "{ name = \"e1\", addresses = [\"127.0.0.11\", \"::1\"], advertised = [\"198.51.100.11\"] }";
    let two = members(two).remove(0);
    assert_eq!(two.addresses, ips(["127.0.0.11", "::1"]));
    assert!(two.publics().eq(ips(["198.51.100.11", "::1"])));
}

#[test]
fn addresses_that_contradict_each_other_are_refused() {
    let wrong = |own: &str, want: &str| {
        let want = format!("e1.toml, line 6: [edge] `members`: {want}");
        check(EDGE, ONE, &format!("{{ name = \"e1\", {own} }}"), &want);
    };
    wrong(
        "address = \"127.0.0.11\", addresses = [\"127.0.0.11\"]",
        "`addresses` and `address` exclude each other: `addresses` lists all of them",
    );
    wrong(
        "addresses = [\"e1.example.com\"]",
        "`addresses` has \"e1.example.com\", which should be an IP address such as \"192.0.2.1\"",
    );
    wrong(
        "address = \"127.0.0.11\", advertised = [\"2001:db8::1\"]",
        "`advertised` has \"2001:db8::1\", but none of its addresses is of IPv6: list the one \
         behind the translation in `addresses`",
    );
    wrong(
        "address = \"127.0.0.11\", advertised = [\"192.0.2.1\", \"192.0.2.2\"]",
        "`advertised` has \"192.0.2.2\" too, but phones are told one IPv4 address",
    );
    wrong(
        "address = \"127.0.0.14\", advertised = [\"192.0.2.1\"]",
        "`advertised` has \"192.0.2.1\" for \"127.0.0.14\", but this node does not listen there: \
         `addresses` are those in `listen`",
    );
    let many = ["\"192.0.2.1\""; limits::MEMBER_ADDRESSES_MAX + 1].join(", ");
    wrong(
        &format!("addresses = [{many}]"),
        "`addresses` has 9 addresses, and 8 is the most",
    );
}

const SIDE: &str = "core = [\"udp:10.0.0.1:5070\", \"tcp:10.0.0.1:5070\"]";

#[test]
fn a_core_side_is_read_and_is_this_node_s_where_it_is_its_own() {
    let own = ONE.replace(" }", &format!(", {SIDE} }}"));
    let name = "core_name = \"Core.edge.example.com:5070;transport=tcp\"\n";
    let text = format!("{HEAD}{EDGE}{name}").replace(ONE, &own);
    let config = read(&text).unwrap();
    let addr = "10.0.0.1:5070".parse().unwrap();
    let want = [(Transport::Udp, addr), (Transport::Tcp, addr)];
    assert_eq!(config.core_side, want);
    let Role::Edge(edge) = config.role else {
        panic!("not an edge")
    };
    assert_eq!(edge.members[0].core, want);
    assert!(edge.members[1].core.is_empty());
    let name = edge.core_name.unwrap();
    assert_eq!(name.host, "core.edge.example.com");
    assert_eq!(name.written, "core.edge.example.com:5070;transport=tcp");
    assert!(read(&format!("{HEAD}{EDGE}")).unwrap().core_side.is_empty());
}

#[test]
fn a_core_side_that_is_none_is_refused() {
    let wrong = |core: &str, want: &str| {
        let own = ONE.replace(" }", &format!(", core = [{core}] }}"));
        let want = format!("e1.toml, line 6: [edge] `members`: `core` {want}");
        check(EDGE, ONE, &own, &want);
    };
    wrong(
        "\"udp:10.0.0.1:5070\"",
        "has \"udp:10.0.0.1:5070\" without \"tcp:10.0.0.1:5070\", but large messages need both",
    );
    wrong(
        "\"tcp:10.0.0.1:5070\", \"tcp:10.0.0.2:5070\"",
        "has \"tcp:10.0.0.2:5070\" too, but peers meet it at one address of each transport and \
         family",
    );
    wrong(
        "\"tcp:10.0.0.1:15061\"",
        "has \"tcp:10.0.0.1:15061\", but the ports 15060 to 15187 are its own for sending to its \
         peers: choose another port, or another `core_port`",
    );
    wrong(
        "\"tcp:127.0.0.11:5060\"",
        "has \"tcp:127.0.0.11:5060\", which is in `listen` too: the core side needs an address or a \
         port of its own",
    );
    let tls = ONE.replace(" }", ", core = [\"tls:10.0.0.1:5071\"] }");
    check(
        EDGE,
        ONE,
        &tls,
        "e1.toml, line 2: `listen` needs a \"tls:ADDRESS:PORT\" and the file a section [tls], since \
         the `core` of this node has a \"tls:\" one",
    );
    check(
        &format!("{EDGE}core_name = \"core.example.com;transport=ws\"\n"),
        "ws",
        "ws",
        "e1.toml, line 7: [edge] `core_name` is \"core.example.com;transport=ws\", which should be \
         like \"core.edge.example.com\" or \"core.edge.example.com:5070;transport=tcp\"",
    );
}
