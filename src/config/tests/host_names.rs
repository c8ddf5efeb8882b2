//! `member_names` and `names`.

use super::*;

fn edge_of(text: &str) -> edge::Settings {
    match read(text).unwrap().role {
        Role::Edge(edge) => edge,
        Role::Home(_) => panic!("not an edge"),
    }
}

#[test]
fn the_names_of_an_edge_are_read() {
    let edge = edge_of(&format!("{HEAD}{EDGE}"));
    assert_eq!((edge.member_names, edge.names.len()), (false, 0));
    let lines = "member_names = true\nnames = [\"SBC.example.net\", \"e4.edge.example.com\"]\n";
    let edge = edge_of(&format!("{HEAD}{EDGE}{lines}"));
    assert!(edge.member_names);
    assert_eq!(edge.names, ["sbc.example.net", "e4.edge.example.com"]);
}

#[track_caller]
fn refused(section: &str, want: &str) {
    let said = read(&format!("{HEAD}{section}")).err().unwrap().to_string();
    assert_eq!(said, want);
}

#[test]
fn member_names_are_names_that_the_dns_can_have() {
    // RFC 1035 §2.3.1, RFC 1123 §2.1
    const SAYS: &str = "e1.toml, line 7: [edge] `member_names` says that the DNS has a name for \
                        each of `members`, and";
    let with = |name: &str| {
        let edge = EDGE.replace("\"e2\"", &format!("{name:?}"));
        format!("{edge}member_names = true\n")
    };
    let long = "e".repeat(64);
    for name in ["-e2", "e2-", &long] {
        let why = "is no label of the DNS: 1 to 63 letters, digits and hyphens, and no hyphen \
                   first or last";
        refused(&with(name), &format!("{SAYS} {name:?} {why}"));
        // Without it they are what they always were.
        let without = with(name).replace("member_names = true", "");
        assert!(!edge_of(&format!("{HEAD}{without}")).member_names);
    }
    let same = "\"e1\" and \"E1\" are the same there: it knows no case";
    refused(&with("E1"), &format!("{SAYS} {same}"));
    let served = format!("{}home_domains = [\"e2.edge.example.com\"]\n", with("e2"));
    let home = "\"e2.edge.example.com\" is a home's: give that member another name";
    refused(&served, &format!("{SAYS} {home}"));
    let labels = [
        "a".repeat(63),
        "b".repeat(63),
        "c".repeat(63),
        "d".repeat(59),
    ];
    let deep = with("e2").replace("edge.example.com", &labels.join("."));
    let full = format!("e1.{}", labels.join("."));
    let why = format!("{full:?} is longer than the 253 characters of a name there");
    refused(&deep, &format!("{SAYS} {why}"));
}

#[test]
fn further_names_are_names_and_not_a_homes() {
    const SAYS: &str = "e1.toml, line 7: [edge] `names` has";
    let with = |name: &str| format!("{EDGE}names = [{name:?}]\n");
    refused(
        &with("192.0.2.1"),
        &format!(
            "{SAYS} \"192.0.2.1\", an address: what the DNS resolves stands here, such as \
             \"sbc.example.net\""
        ),
    );
    refused(
        &with("a..b"),
        &format!("{SAYS} \"a..b\", which should be a domain such as \"example.com\""),
    );
    for name in ["example.com", "Example.com"] {
        refused(
            &with(name),
            &format!("{SAYS} {name:?}, which is a home's: what is for the home would end here"),
        );
    }
    let home = with("home.example.net")
        .replace("sip:127.0.0.10:5060;transport=udp", "sip:home.example.net");
    refused(
        &home,
        &format!(
            "{SAYS} \"home.example.net\", which is a home's: what is for the home would end here"
        ),
    );
}

/// Writes a certificate for these names, and says where it is.
fn certificate(folder: &Path, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(folder.join("edge.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("edge.key"), made.signing_key.serialize_pem()).unwrap();
}

#[test]
fn certificates_prove_the_names_that_phones_resolve() {
    // C-6, M-3
    let folder = std::env::temp_dir().join(format!("steadfast-names-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let tls = "[tls]\ncerts = [{ cert = \"edge.pem\", key = \"edge.key\" }]\n\
               require_client_cert = \"never\"\n";
    let head = HEAD.replace("\"tcp:", "\"tls:127.0.0.11:5061\", \"tcp:");
    let text = format!("{head}{EDGE}member_names = true\n{tls}");
    let read = |text: &str| parse("e1.toml", text, &folder);
    certificate(&folder, &["edge.example.com", "E1.edge.example.com"]);
    let config = read(&text).unwrap();
    assert_eq!(config.unproven, ["e2.edge.example.com"]);
    let said = config.warnings().pop().unwrap();
    assert_eq!(
        said,
        "none of the certificates in `certs` is for e2.edge.example.com: phones over TLS whose \
         own edge is dead, and that come here by its name, will not believe this one"
    );
    let without = text.replace("member_names = true\n", "");
    assert_eq!(read(&without).unwrap().unproven.len(), 0);
    // How keys are agreed on.
    let is_hybrid = |more: &str| {
        let config = read(&format!("{without}{more}"))?;
        Ok::<_, Mistake>(config.tls.unwrap().hybrid_key_exchange)
    };
    assert!(is_hybrid("").unwrap());
    assert!(is_hybrid("hybrid_key_exchange = true\n").unwrap());
    assert!(!is_hybrid("hybrid_key_exchange = false\n").unwrap());
    let said = is_hybrid("hybrid_key_exchange = \"no\"\n").err().unwrap();
    assert_eq!(
        said.to_string(),
        "e1.toml, line 10: [tls] `hybrid_key_exchange` must be true or false, and is a text"
    );
    certificate(
        &folder,
        &[
            "edge.example.com",
            "e1.edge.example.com",
            "e2.edge.example.com",
        ],
    );
    assert_eq!(read(&text).unwrap().unproven.len(), 0);
    certificate(&folder, &["edge.example.com", "*.edge.example.com"]);
    assert_eq!(
        read(&text).err().unwrap().to_string(),
        "e1.toml, line 9: [tls] `certs` needs a certificate for \"e1.edge.example.com\", which \
         `member_names` has phones resolve: as a DNS name, and as the URI \
         \"sip:e1.edge.example.com\" where the certificate has such URIs"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_home_shows_its_own_certificate_and_not_the_edges() {
    // S-35
    let folder = std::env::temp_dir().join(format!("steadfast-shown-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("Cargo.toml"), "").unwrap();
    let tls = "[tls]\ncerts = [{ cert = \"edge.pem\", key = \"edge.key\" }]\n\
               require_client_cert = \"never\"\n";
    let head = HEAD.replace("\"tcp:", "\"tls:127.0.0.11:5061\", \"tcp:");
    let read = || parse("home.toml", &format!("{head}{HOME}{tls}"), &folder);
    certificate(&folder, &["edge.example.com", "e1.edge.example.com"]);
    assert_eq!(
        read().err().unwrap().to_string(),
        "home.toml, line 10: [tls] `certs` has a certificate for \"edge.example.com\", the edges' \
         name, which is not for \"example.com\": whoever shows it is an edge, so the home needs one \
         of its own"
    );
    // One of its own beside it does not help: which is shown depends on who asks.
    for end in ["pem", "key"] {
        let edge = folder.join(format!("edge.{end}"));
        std::fs::copy(edge, folder.join(format!("shared.{end}"))).unwrap();
    }
    certificate(&folder, &["example.com"]);
    let [own, shared] =
        ["edge", "shared"].map(|name| format!("{{ cert = \"{name}.pem\", key = \"{name}.key\" }}"));
    for both in [format!("{own}, {shared}"), format!("{shared}, {own}")] {
        let text = format!("{head}{HOME}{}", tls.replace(&own, &both));
        let fault = parse("home.toml", &text, &folder)
            .err()
            .unwrap()
            .to_string();
        assert!(
            fault.contains("has a certificate for \"edge.example.com\""),
            "{fault}"
        );
    }
    for names in [
        &["example.com"][..],
        &["h1.example.net"],
        &["example.com", "edge.example.com"],
    ] {
        certificate(&folder, names);
        assert!(read().is_ok(), "{names:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_key_of_the_cluster_seals_session_tickets_too() {
    let folder = std::env::temp_dir().join(format!("steadfast-tickets-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    certificate(&folder, &["edge.example.com"]);
    let head = HEAD.replace("\"tcp:", "\"tls:127.0.0.11:5061\", \"tcp:");
    let tls = "[tls]\ncerts = [{ cert = \"edge.pem\", key = \"edge.key\" }]\n\
               require_client_cert = \"never\"\n";
    let keys = |more: &str| {
        let config = parse("e1.toml", &format!("{head}{EDGE}{more}{tls}"), &folder);
        config.unwrap().tls.unwrap().ticket_keys
    };
    assert_eq!(keys(""), []);
    let key_file = "token_key_file = \"cluster.key\"\n";
    let (new, old) = ("ab".repeat(64), "cd".repeat(64));
    std::fs::write(folder.join("cluster.key"), &old).unwrap();
    let before = keys(key_file);
    assert_eq!(before.len(), 1);
    // The bytes stand nowhere in what they are made of, nor in the log.
    assert_ne!(before[0].0, [0xcd; 32]);
    assert_eq!(format!("{before:?}"), "[TicketKey { .. }]");
    std::fs::write(folder.join("cluster.key"), format!("{new}\n{old}\n")).unwrap();
    let after = keys(key_file);
    assert_eq!((after.len(), &after[1]), (2, &before[0]));
    std::fs::remove_dir_all(&folder).unwrap();
}
