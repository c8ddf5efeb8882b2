//! An address and port lead to one place.

use super::*;

const SECOND: &str = "{ name = \"e2\", address = \"127.0.0.12\", tcp = 5070 }";

#[test]
fn members_at_one_address_and_port_are_refused() {
    let wrong = |second: &str, want: &str| {
        let want = format!("e1.toml, line 6: [edge] `members`: {want}");
        check(EDGE, SECOND, second, &want);
    };
    let own = ": each member has an address or ports of its own";
    wrong(
        "{ name = \"e2\", address = \"127.0.0.11\" }",
        &format!("`address` leads \"e2\" to 127.0.0.11:5060, where \"e1\" is{own}"),
    );
    // Whatever is spoken there: a Route may not say it.
    wrong(
        "{ name = \"e2\", address = \"127.0.0.11\", udp = 5070, tcp = 5060 }",
        &format!("`address` leads \"e2\" to 127.0.0.11:5060, where \"e1\" is{own}"),
    );
    wrong(
        "{ name = \"e2\", addresses = [\"127.0.0.12\", \"::ffff:127.0.0.11\"] }",
        &format!("`addresses` leads \"e2\" to [::ffff:127.0.0.11]:5060, where \"e1\" is{own}"),
    );
    wrong(
        "{ name = \"e2\", address = \"127.0.0.12\", advertised = [\"127.0.0.11\"] }",
        &format!("`advertised` leads \"e2\" to 127.0.0.11:5060, where \"e1\" is{own}"),
    );
    wrong(
        "{ name = \"e2\", address = \"127.0.0.12\", core = [\"tcp:127.0.0.11:5060\"] }",
        &format!("`core` leads \"e2\" to 127.0.0.11:5060, where \"e1\" is{own}"),
    );
    wrong(
        "{ name = \"e2\", address = \"127.0.0.12\", core = [\"tcp:127.0.0.12:5060\"] }",
        "`core` has \"tcp:127.0.0.12:5060\", where phones meet \"e2\": the core side needs an \
         address or a port of its own",
    );
    wrong(
        "{ name = \"e2\", address = \"127.0.0.12\", core = [\"tcp:10.0.0.1:5070\"] }, \
         { name = \"e3\", address = \"10.0.0.1\", udp = 5070, tcp = 5070 }",
        &format!("`address` leads \"e3\" to 10.0.0.1:5070, where the core side of \"e2\" is{own}"),
    );
}

#[test]
fn members_at_one_address_with_ports_of_their_own_are_as_they_were() {
    let ports = SECOND.replace(
        "127.0.0.12\", tcp = 5070",
        "127.0.0.11\", udp = 5070, tcp = 5070",
    );
    // Neither speaks TLS, whose port is the usual one of both.
    read(&format!("{HEAD}{EDGE}").replace(SECOND, &ports)).unwrap();
    let core = ", core = [\"udp:127.0.0.12:5080\", \"tcp:127.0.0.12:5080\"] }";
    let core = SECOND.replace(" }", core);
    read(&format!("{HEAD}{EDGE}").replace(SECOND, &core)).unwrap();
}

#[test]
fn a_node_listens_once_at_one_place() {
    let wrong = |head: &str, more: &str, want: &str| {
        let text = format!("{HEAD}{head}{EDGE}{more}");
        assert_eq!(read(&text).err().unwrap().to_string(), want);
    };
    let taken = |key: &str| {
        format!(
            "where this node listens by `{key}` already: each listener needs an address or a port of \
             its own"
        )
    };
    let twice = HEAD.replace(']', ", \"tcp:127.0.0.11:5060\"]");
    let said = read(&format!("{twice}{EDGE}")).err().unwrap().to_string();
    assert_eq!(
        said,
        format!(
            "e1.toml, line 2: `listen` has \"tcp:127.0.0.11:5060\", {}",
            taken("listen")
        )
    );
    wrong(
        "core_listen = [\"tcp:127.0.0.11:5060\"]\n",
        "",
        &format!(
            "e1.toml, line 3: `core_listen` has \"tcp:127.0.0.11:5060\", {}",
            taken("listen")
        ),
    );
    wrong(
        "metrics = \"0.0.0.0:5060\"\n",
        "",
        &format!(
            "e1.toml, line 3: `metrics` has \"tcp:0.0.0.0:5060\", {}",
            taken("listen")
        ),
    );
    wrong(
        "core_listen = [\"tcp:127.0.0.11:5080\"]\nmetrics = \"127.0.0.11:5080\"\n",
        "",
        &format!(
            "e1.toml, line 4: `metrics` has \"tcp:127.0.0.11:5080\", {}",
            taken("core_listen")
        ),
    );
    wrong(
        "",
        "[dns]\nlisten = [\"udp:127.0.0.11:5060\", \"tcp:127.0.0.11:5060\"]\n",
        &format!(
            "e1.toml, line 8: [dns] `listen` has \"udp:127.0.0.11:5060\", {}",
            taken("listen")
        ),
    );
    wrong(
        "metrics = \"127.0.0.12:5070\"\n",
        "covers = [\"e2\"]\n",
        &format!(
            "e1.toml, line 3: `metrics` has \"tcp:127.0.0.12:5070\", {}",
            taken("covers")
        ),
    );
    wrong(
        "core_listen = [\"tcp:127.0.0.11:15061\"]\n",
        "",
        "e1.toml, line 3: `core_listen` has \"tcp:127.0.0.11:15061\", but the ports 15060 to 15187 \
         are this node's for sending to its peers: choose another port, or another `core_port`",
    );
    // Where it does not send from.
    read(&format!("{HEAD}metrics = \"127.0.0.1:15061\"\n{EDGE}")).unwrap();
}

#[test]
fn a_node_does_not_listen_where_another_member_is() {
    let twelve = "\"udp:127.0.0.12:5060\", \"tcp:127.0.0.12:5060\"]";
    let text = format!("{HEAD}{EDGE}").replacen(']', &format!(", {twelve}"), 1);
    assert_eq!(
        read(&text).err().unwrap().to_string(),
        "e1.toml, line 2: `listen` has \"udp:127.0.0.12:5060\", where `members` has \"e2\": list \
         this node's own, and for that member's address, should it come here, `covers`"
    );
    let text = format!("{HEAD}core_listen = [\"tcp:127.0.0.12:5070\"]\n{EDGE}");
    assert_eq!(
        read(&text).err().unwrap().to_string(),
        "e1.toml, line 3: `core_listen` has \"tcp:127.0.0.12:5070\", where `members` has \"e2\": \
         list this node's own, and for that member's address, should it come here, `covers`"
    );
}

#[test]
fn a_home_that_is_this_cluster_is_refused() {
    for (home, who) in [
        ("127.0.0.11:5060", "\"e1\" of `members`"),
        ("127.0.0.12:5070", "\"e2\" of `members`"),
    ] {
        let want = format!("e1.toml, line 5: [edge] `home` leads to {home}, which is {who} itself");
        check(EDGE, "127.0.0.10:5060", home, &want);
    }
    for name in ["edge.example.com", "e2.edge.example.com"] {
        let want = format!(
            "e1.toml, line 5: [edge] `home` leads to {name:?}, which is the edges' own name"
        );
        check(EDGE, "sip:127.0.0.10:5060", &format!("sip:{name}"), &want);
    }
}
