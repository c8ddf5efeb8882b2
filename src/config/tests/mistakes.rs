//! What is wrong with a file is said so that its writer can mend it.

use super::*;

#[test]
fn a_mistyped_key_is_named_with_its_line_and_the_likely_one() {
    check(
        EDGE,
        "listen",
        "listne",
        "e1.toml, line 2: `listne` is unknown; did you mean `listen`?",
    );
    check(
        EDGE,
        "cluster =",
        "clutser =",
        "e1.toml, line 4: [edge] `clutser` is unknown; did you mean `cluster`?",
    );
    check(
        EDGE,
        "tcp = 5070",
        "tpc = 5070",
        "e1.toml, line 6: [edge] `members`: `tpc` is unknown; did you mean `tcp`?",
    );
    check(
        HOME,
        "store =",
        "workers =",
        "e1.toml, line 6: [home] `workers` is unknown; the keys here are algorithms, \
         authenticate, calls_out, challenge_calls, deny, domain, durable, edge_peers, edges, \
         identity_headers, name, nonce_key_file, outbound, path, peers, reach, redirect, ring_time, \
         store, store_ca, subscribers",
    );
}

#[test]
fn a_wrong_type_is_answered_with_the_right_one() {
    check(
        EDGE,
        "\"e1\"\n",
        "7\n",
        "e1.toml, line 1: `name` must be the node's name, such as \"e1\", and is 7",
    );
    check(
        EDGE,
        "[\"sip:127.0.0.10:5060;transport=udp\"]",
        "\"sip:127.0.0.10\"",
        "e1.toml, line 5: [edge] `home` must be a list of next hops such as \
         [\"sip:192.0.2.1:5060;transport=udp\"] or [\"sip:home.example.com\"], and is a text",
    );
    check(
        EDGE,
        "tcp = 5070",
        "tcp = 70000",
        "e1.toml, line 6: [edge] `members`: `tcp` must be a port, from 1 to 65535, and is 70000",
    );
    check(
        EDGE,
        "[edge]\n",
        "[edge]\nset_size = 3\n",
        "e1.toml, line 4: [edge] `set_size` must be the number of edges that serve one \
         subscriber, from 1 to 2, and is 3",
    );
}

#[test]
fn a_missing_key_is_named_with_what_it_must_be() {
    check(
        EDGE,
        "cluster = \"edge.example.com\"\n",
        "",
        "e1.toml, line 3: [edge] `cluster` is missing; it must be the cluster's domain, such \
         as \"edge.example.com\"",
    );
    check(
        HOME,
        "[home]",
        "[other]",
        "e1.toml, line 3: `other` is unknown; the keys here are connections_per_source, control, \
         core_listen, core_port, dns, drain_for, edge, events, hep, hep_id, hep_password, home, listen, log, memory, \
         metrics, name, pages, recorder, shards, source_memory, tls, unlimited, watch",
    );
    assert_eq!(
        read(HEAD).err().unwrap().to_string(),
        "e1.toml, line 1: a section [edge] or [home] is missing: it says which of the two the \
         node is"
    );
}

#[test]
fn a_value_that_means_nothing_is_shown_beside_one_that_does() {
    check(
        EDGE,
        "udp:127.0.0.11:5060",
        "udp:localhost",
        "e1.toml, line 2: `listen` has \"udp:localhost\", which should be like \
         \"udp:192.0.2.1:5060\", \"tcp:[2001:db8::1]:5060\" or \"tls:192.0.2.1:5061\"",
    );
    check(
        EDGE,
        "udp:127.0.0.11:5060",
        "udp:0.0.0.0:5060",
        "e1.toml, line 2: `listen` has \"udp:0.0.0.0:5060\", but peers must be told one \
         address: name the interface's own",
    );
    check(
        EDGE,
        "transport=udp",
        "transport=sctp",
        "e1.toml, line 5: [edge] `home` has \"sip:127.0.0.10:5060;transport=sctp\", which \
         should be like \"sip:192.0.2.1:5060;transport=udp\" or \
         \"sips:home.example.com;maddr=192.0.2.1\"",
    );
    check(
        HOME,
        "127.0.0.12/31",
        "127.0.0.12/33",
        "e1.toml, line 8: [home] `edge_peers` has \"127.0.0.12/33\", which should be like \
         \"192.0.2.1\" or \"192.0.2.0/24\", or say what is spoken, such as \"udp:192.0.2.1\", \
         \"tcp:192.0.2.1:5070\" or \"tls:192.0.2.1\"; with its first core port behind it, such as \
         \"192.0.2.1+20000\", where that is another",
    );
    check(
        HOME,
        "[home]\n",
        "[home]\nredirect = \"sometimes\"\n",
        "e1.toml, line 4: [home] `redirect` is \"sometimes\", which should be \"always\", \
         \"if-supported\" or \"never\"",
    );
    check(
        HOME,
        "[home]\n",
        "[home]\nring_time = 200\n",
        "e1.toml, line 4: [home] `ring_time` must be the seconds that phones ring before others of \
         a lower q are tried, from 0 to 185, and is 200",
    );
    let text = format!("{HEAD}{HOME}").replace("[home]\n", "[home]\nring_time = 0\n");
    let Role::Home(home) = read(&text).unwrap().role else {
        panic!("not a home")
    };
    assert_eq!(home.settings.ring_time, None);
    check(
        HOME,
        "[home]\n",
        "[home]\noutbound = \"maybe\"\n",
        "e1.toml, line 4: [home] `outbound` is \"maybe\", which should be \"ignore\" or \"require\"",
    );
}

#[test]
fn what_does_not_fit_together_is_said() {
    check(
        EDGE,
        "\"e1\"\n",
        "\"e9\"\n",
        "e1.toml, line 6: [edge] `members` must hold this node too: none of its names is \"e9\"",
    );
    check(
        EDGE,
        "name = \"e2\"",
        "name = \"e1\"",
        "e1.toml, line 6: [edge] `members`: `name` is \"e1\" a second time: each member has a \
         name of its own",
    );
    //
    check(
        EDGE,
        ", \"tcp:127.0.0.11:5060\"",
        "",
        "e1.toml, line 2: `listen` has \"udp:127.0.0.11:5060\" without \
         \"tcp:127.0.0.11:5060\", but large messages need both",
    );
    check(
        EDGE,
        "[edge]\n",
        "shards = 1000\n[edge]\n",
        &format!(
            "e1.toml, line 3: `shards` must be how many of the machine's cores to use, from 1 to \
             {}, and is 1000",
            limits::SHARDS_MAX
        ),
    );
    check(
        EDGE,
        "[edge]\n",
        "[home]\n[edge]\n",
        "e1.toml, line 3: [home] and [edge] exclude each other: a node is one of them",
    );
    check(
        EDGE,
        "edge.example.com",
        "edge",
        "e1.toml, line 4: [edge] `cluster` has no parent domain, so `home_domains` must list \
         what the home serves",
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = env!("CARGO_MANIFEST_DIR");
    check(
        HOME,
        "Cargo.toml",
        "users.txt",
        &format!(
            "e1.toml, line 5: [home] `subscribers` names {folder}/users.txt, which cannot be \
             read: No such file or directory (os error 2)"
        ),
    );
    check(
        EDGE,
        "[edge]\n",
        "[edge]\ntoken_key_file = \"Cargo.toml\"\n",
        &format!(
            "e1.toml, line 4: [edge] `token_key_file` names {folder}/Cargo.toml, whose line 1 \
             should be one key of 128 hex digits"
        ),
    );
}

#[test]
fn what_is_not_toml_is_said_with_its_line() {
    check(
        EDGE,
        "cluster = \"edge.example.com\"",
        "cluster = edge.example.com",
        "e1.toml, line 4: the file is not TOML: string values must be quoted, expected literal \
         string",
    );
}
