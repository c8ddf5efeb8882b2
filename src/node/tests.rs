use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use super::*;
use crate::config;

/// What `check` says of an edge at `127.0.1.31` with these lines, and this more
/// in its entry.
fn sentence(root: &str, entry: &str, edge: &str) -> String {
    let text = format!(
        "name = \"e1\"\nlisten = [\"udp:127.0.1.31:0\", \"tcp:127.0.1.31:0\"]\nshards = 1\n{root}\n\
         [edge]\ncluster = \"edge.example.com\"\nhome = [\"sip:127.0.0.10:5060;transport=udp\"]\n\
         members = [{{ name = \"e1\", address = \"127.0.1.31\"{entry} }},\n\
         {{ name = \"e2\", address = \"127.0.1.32\", udp = PORT, tcp = PORT }}]\n{edge}\n"
    );
    let taken = UdpSocket::bind("127.0.1.32:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let _stream = TcpListener::bind(addr).unwrap();
    let port = addr.port().to_string();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = config::parse("e1.toml", &text.replace("PORT", &port), folder);
    let sentence = check_machine(&config.unwrap()).unwrap_err().to_string();
    sentence.replace(&port, "PORT")
}

// 192.0.2.0/24 is nobody's (RFC 5737).
#[test]
fn what_cannot_be_bound_is_named_by_its_own_key() {
    let nobodys = "no interface of this machine has that address; list one that `ip address` \
                   shows";
    let core = ", core = [\"udp:192.0.2.1:5070\", \"tcp:192.0.2.1:5070\"]";
    assert_eq!(
        sentence("", core, ""),
        format!("e1.toml, line 8: `core`: cannot listen on tcp:192.0.2.1:5070: {nobodys}")
    );
    let listens = "core_listen = [\"tcp:192.0.2.1:5080\"]";
    assert_eq!(
        sentence(listens, "", ""),
        format!("e1.toml, line 4: `core_listen`: cannot listen on tcp:192.0.2.1:5080: {nobodys}")
    );
    let dns = "[dns]\nlisten = [\"tcp:192.0.2.1:53\"]";
    assert_eq!(
        sentence("", "", dns),
        format!("e1.toml, line 11: `listen`: cannot answer the DNS on tcp:192.0.2.1:53: {nobodys}")
    );
    assert_eq!(
        sentence("metrics = \"192.0.2.1:9090\"", "", ""),
        format!("e1.toml, line 4: `metrics`: cannot serve metrics on 192.0.2.1:9090: {nobodys}")
    );
    assert_eq!(
        sentence("", "", "covers = [\"e2\"]"),
        "e1.toml, line 10: `covers`: cannot listen on udp:127.0.1.32:PORT: another process has \
         that port; end it, if it is this node running already, or list another port"
    );
}

#[test]
fn the_datagrams_of_the_core_side_are_its_own_business_and_the_others_the_core_port_s() {
    let taken = UdpSocket::bind("127.0.1.33:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let core = format!(", core = [\"udp:{addr}\", \"tcp:{addr}\"]");
    assert_eq!(
        sentence("", &core, ""),
        format!(
            "e1.toml, line 8: `core`: cannot listen on udp:{addr}: another process has that port; \
             end it, if it is this node running already, or list another port"
        )
    );
    let taken = UdpSocket::bind("127.0.1.31:16600").unwrap();
    let sentence = sentence("core_port = 16600", ", core_port = 16600", "");
    drop(taken);
    assert!(
        sentence
            .starts_with("e1.toml, line 4: `core_port`: cannot send from udp:127.0.1.31:16600: "),
        "{sentence}"
    );
}
