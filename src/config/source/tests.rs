//! What a running node takes over of a changed file, and what waits.

use std::path::PathBuf;

use super::super::tests::{EDGE, HEAD, HOME};
use super::*;
use crate::id::Transport;

/// A file in a folder of its own, and the node that it started.
struct Running {
    folder: PathBuf,
    config: Config,
    source: Source,
}

impl Running {
    #[track_caller]
    fn start(test: &str, text: &str) -> Self {
        let folder = format!("steadfast-source-{test}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("Cargo.toml"), "").unwrap();
        let path = folder.join("e1.toml");
        std::fs::write(&path, text).unwrap();
        let (config, source) = open(&path).unwrap();
        Self {
            folder,
            config,
            source,
        }
    }

    fn write(&self, text: &str) {
        std::fs::write(self.folder.join("e1.toml"), text).unwrap();
    }

    /// Takes this text over; which keys changed, and which wait.
    #[track_caller]
    fn take_over(&mut self, text: &str) -> (Vec<String>, Vec<String>) {
        self.write(text);
        let change = self.source.read_again(&self.config).unwrap();
        (self.config, self.source) = (change.config, change.source);
        (change.changed, change.pending)
    }

    /// Why this text is not taken over.
    #[track_caller]
    fn refuse(&self, text: &str) -> String {
        self.write(text);
        let change = self.source.read_again(&self.config);
        change.err().unwrap().to_string()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn edge_of(config: &Config) -> &crate::edge::Settings {
    match &config.role {
        Role::Edge(edge) => edge,
        Role::Home(_) => panic!("not an edge"),
    }
}

#[test]
fn what_may_change_does_and_the_rest_waits() {
    let text = format!("{HEAD}{EDGE}");
    let mut running = Running::start("waits", &text);
    assert_eq!(running.take_over(&text), (Vec::new(), Vec::new()));
    let changed = text
        .replace("name = \"e2\"", "name = \"e2\", retire = true")
        .replace("127.0.0.10", "127.0.0.9")
        + "set_size = 1\nflows = \"flows.table\"\n";
    let head = format!("shards = 1\nlog = \"debug\"\nmetrics = \"127.0.0.11:9090\"\n{changed}");
    let (changed, pending) = running.take_over(&head);
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        changed,
        names(&[
            "`log`",
            "[edge] `home`",
            "[edge] `members`",
            "[edge] `set_size`"
        ])
    );
    assert_eq!(pending, names(&["`shards`", "`metrics`", "[edge] `flows`"]));
    let config = &running.config;
    assert_eq!((config.metrics, &config.flows), (None, &None));
    assert_eq!(config.log.as_deref(), Some("debug"));
    let edge = edge_of(config);
    assert!(!edge.keeps_flows && edge.members[1].retires && edge.set_size == 1);
    assert_eq!(running.source.digest(), digest(&head));
    // Taken back, nothing waits any more.
    let (changed, pending) = running.take_over(&text);
    assert_eq!((changed.len(), pending), (4, Vec::new()));
}

#[test]
fn where_a_node_listens_waits_together_with_its_own_entry() {
    let text = format!("{HEAD}{EDGE}");
    let mut running = Running::start("listens", &text);
    let moved = text
        .replace("127.0.0.11", "127.0.0.21")
        .replace("tcp = 5070", "tcp = 5080");
    let (changed, pending) = running.take_over(&moved);
    assert_eq!(changed, ["[edge] `members`"]);
    assert_eq!(pending, ["`listen`", "[edge] `members`: `address`"]);
    let at = "127.0.0.11:5060".parse().unwrap();
    assert_eq!(running.config.listen[0], (Transport::Udp, at));
    let members = &edge_of(&running.config).members;
    assert_eq!(
        members[0].addresses,
        ["127.0.0.11".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(members[1].tcp, 5080);
}

#[test]
fn the_names_and_addresses_that_others_were_told_wait() {
    let entry = "address = \"127.0.0.11\"";
    let public = |ip: &str| EDGE.replace(entry, &format!("{entry}, advertised = [\"{ip}\"]"));
    let told = |section: &str, rest: &str| format!("{HEAD}{section}{rest}");
    let named = |host: &str| format!("core_name = \"{host}\"\nmember_names = true\n");
    let before = told(&public("198.51.100.1"), &named("core.example.com"));
    let mut running = Running::start("told", &before);
    let [advertised, core, names] = [
        "[edge] `members`: `advertised`",
        "[edge] `core_name`",
        "[edge] `member_names`",
    ];
    for (text, waits) in [
        (
            told(&public("198.51.100.2"), &named("core.example.net")),
            vec![core, advertised],
        ),
        (told(EDGE, ""), vec![core, names, advertised]),
        (before, Vec::new()),
    ] {
        assert_eq!(running.take_over(&text).1, waits);
        let edge = edge_of(&running.config);
        let host = edge.core_name.as_ref().map(|core| core.host.as_str());
        assert_eq!((host, edge.member_names), (Some("core.example.com"), true));
        let advertised: std::net::IpAddr = "198.51.100.1".parse().unwrap();
        assert_eq!(edge.members[0].advertised, [advertised]);
    }
    // What another edge is told of may change.
    let second = "name = \"e2\", advertised = [\"198.51.100.9\"]";
    let text = format!("{HEAD}{EDGE}");
    let mut running = Running::start("told-of-another", &text);
    let (_, pending) = running.take_over(&text.replace("name = \"e2\"", second));
    assert_eq!(pending, Vec::<String>::new());
    assert_eq!(edge_of(&running.config).members[1].advertised.len(), 1);
}

#[test]
fn the_name_of_the_edges_waits_at_a_home_and_the_rest_of_their_uri_does_not() {
    let text = format!("{HEAD}{HOME}");
    let mut running = Running::start("edges", &text);
    for (uri, goes_by, waits) in [
        (
            "sip:Edge.example.com:5062;lr",
            "sip:Edge.example.com:5062;lr",
            Vec::new(),
        ),
        (
            "sip:edge.example.net;lr",
            "sip:edge.example.com;lr",
            vec!["[home] `edges`"],
        ),
    ] {
        let changed = text.replace("sip:edge.example.com;lr", uri);
        assert_eq!(running.take_over(&changed).1, waits);
        match &running.config.role {
            Role::Home(home) => assert_eq!(home.settings.edges, goes_by),
            Role::Edge(_) => panic!("not a home"),
        }
    }
}

#[test]
fn what_does_not_fit_what_waits_is_refused_and_says_so() {
    let text = format!("{HEAD}{EDGE}");
    let running = Running::start("misfit", &text);
    // It moves away, and its home comes to where it still is.
    let moved = text
        .replace("127.0.0.11", "127.0.0.21")
        .replace("127.0.0.10:5060", "127.0.0.11:5060");
    assert_eq!(
        running.refuse(&moved),
        "e1.toml can be taken over by a restart alone: with `listen`, [edge] `members`: `address` as \
         before, `home` leads to 127.0.0.11:5060, which is \"e1\" of `members` itself"
            .replace("before, `home`", "before, [edge] `home`")
    );
    assert_eq!(
        running.refuse(&format!("{HEAD}{HOME}")),
        "e1.toml makes the node [home] instead of [edge]: that takes a restart"
    );
    assert_eq!(
        running.refuse(
            &text
                .replace("set_size", "x")
                .replace("[edge]", "[edge]\nx = 1")
        ),
        "e1.toml, line 4: [edge] `x` is unknown; the keys here are calls_out, \
         challenge_udp_calls, cluster, core_name, covers, deny, flows, flows_max, home, \
         home_domains, identity_headers, member_names, members, names, nat_keepalive, path, peers, \
         reach, set_size, strangers, token_key_file"
    );
    let gone = running.folder.join("e1.toml");
    std::fs::remove_file(&gone).unwrap();
    let why = running.source.read_again(&running.config).err().unwrap();
    assert!(
        why.to_string()
            .starts_with("cannot read the configuration "),
        "{why}"
    );
}

#[test]
fn where_other_members_listen_is_listened_at_from_a_start_on() {
    let text = format!("{HEAD}{EDGE}covers = [\"e2\"]\n");
    let mut running = Running::start("covers", &text);
    let before = running.config.covered.clone();
    let moved = text.replace("127.0.0.12", "127.0.0.22");
    for _ in 0..2 {
        let (_, pending) = running.take_over(&moved);
        assert_eq!(pending, ["[edge] `covers`"]);
        assert_eq!(running.config.covered, before);
    }
    assert_eq!(running.take_over(&text).1.len(), 0);
}

#[test]
fn keys_that_no_file_has_stay() {
    let text = format!("{HEAD}{EDGE}");
    let mut running = Running::start("made", &text);
    let key = edge_of(&running.config).flow_key;
    running.take_over(&format!("{text}set_size = 1\n"));
    assert_eq!(edge_of(&running.config).flow_key, key);
    let nonce = |running: &Running| match &running.config.role {
        Role::Home(home) => home.settings.nonce_key,
        Role::Edge(_) => panic!("not a home"),
    };
    let text = format!("{HEAD}{HOME}").replace("store = \"location.redb\"\n", "");
    let mut home = Running::start("made-home", &text);
    let key = nonce(&home);
    let (changed, pending) = home.take_over(&format!("{text}ring_time = 5\nstore = \"x.redb\"\n"));
    assert_eq!(
        (changed, pending),
        (
            vec!["[home] `ring_time`".to_owned()],
            vec!["[home] `store`".to_owned()]
        )
    );
    assert_eq!(nonce(&home), key);
    std::fs::write(
        home.folder.join("k"),
        "11".repeat(32) + "\n" + &"22".repeat(32),
    )
    .unwrap();
    home.take_over(&format!("{text}nonce_key_file = \"k\"\n"));
    assert_eq!(nonce(&home), [0x11; 32]);
    // What was made is still read, also after a further change.
    let older = |running: &Running| match &running.config.role {
        Role::Home(home) => home.settings.older_nonce_keys.clone(),
        Role::Edge(edge) => edge.older_flow_keys.clone(),
    };
    assert_eq!(older(&home), [[0x22; 32], key]);
    std::fs::write(home.folder.join("k"), "33".repeat(32)).unwrap();
    home.take_over(&format!("{text}nonce_key_file = \"k\"\n"));
    assert_eq!((nonce(&home), older(&home)), ([0x33; 32], vec![key]));
    let made = edge_of(&running.config).flow_key;
    std::fs::write(running.folder.join("k"), "11".repeat(64)).unwrap();
    let keyed = format!("{HEAD}{EDGE}token_key_file = \"k\"\n");
    for _ in 0..2 {
        running.take_over(&keyed);
        assert_ne!(edge_of(&running.config).flow_key, made);
        assert_eq!(older(&running), [made]);
    }
}

#[test]
fn a_name_server_and_tls_begin_and_end_with_a_start() {
    let text = format!("{HEAD}{EDGE}");
    let mut running = Running::start("dns", &text);
    let dns =
        "[dns]\nlisten = [\"udp:127.0.0.11:53\", \"tcp:127.0.0.11:53\"]\nhome_domains = true\n";
    let (changed, pending) = running.take_over(&format!("{text}{dns}"));
    let waits = ["[dns] `listen`", "[dns] `home_domains`"].map(str::to_owned);
    assert_eq!((changed, pending), (Vec::new(), waits.to_vec()));
    assert!(running.config.name_server.is_none());
    let mut serving = Running::start("serves", &format!("{text}{dns}"));
    let (changed, pending) = serving.take_over(&text);
    assert_eq!(
        (changed, pending),
        (Vec::new(), vec!["[dns] `listen`".to_owned()])
    );
    assert!(
        serving
            .config
            .name_server
            .as_ref()
            .is_some_and(|it| it.home_domains)
    );
    let (changed, pending) = serving.take_over(&format!("{text}{}", dns.replace("true", "false")));
    assert_eq!(
        (changed, pending),
        (vec!["[dns] `home_domains`".to_owned()], Vec::new())
    );
    // Left out, the section stays as the node goes by it, not as it was at the start.
    assert_eq!(
        serving.take_over(&text),
        (Vec::new(), vec!["[dns] `listen`".to_owned()])
    );
}
