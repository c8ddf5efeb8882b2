//! `[dns]`: whom a node asks, and what it answers.

use super::*;

const DNS: &str = "\
[dns]
listen = [\"udp:127.0.0.11:5300\", \"tcp:127.0.0.11:5300\"]
home_domains = true
";

#[test]
fn a_name_server_is_read() {
    let config = read(&format!("{HEAD}{EDGE}{DNS}")).unwrap();
    let addr = "127.0.0.11:5300".parse().unwrap();
    let server = config.name_server.unwrap();
    let both = [(Transport::Udp, addr), (Transport::Tcp, addr)];
    assert_eq!((&server.listen[..], server.home_domains), (&both[..], true));
    assert_eq!(server.at, "e1.toml, line 8: `listen`");
    assert_eq!(server.zone.cluster(), "edge.example.com");
    assert_eq!(config.dns_servers, []);
    let alone = DNS.replace("home_domains = true\n", "servers = [\"192.0.2.53\"]\n");
    let config = read(&format!("{HEAD}{EDGE}{alone}")).unwrap();
    assert!(
        config
            .name_server
            .is_some_and(|server| !server.home_domains)
    );
    assert_eq!(config.dns_servers, ["192.0.2.53:53".parse().unwrap()]);
}

#[test]
fn a_name_server_that_cannot_be_is_a_mistake() {
    let edge = format!("{EDGE}{DNS}");
    check(
        &edge,
        ", \"tcp:127.0.0.11:5300\"",
        "",
        "e1.toml, line 8: [dns] `listen` has \"udp:127.0.0.11:5300\" without \
         \"tcp:127.0.0.11:5300\", but long answers need both",
    );
    check(
        &edge,
        "\"udp:127.0.0.11:5300\"",
        "\"tls:127.0.0.11:5300\"",
        "e1.toml, line 8: [dns] `listen` has \"tls:127.0.0.11:5300\", which should be like \
         \"udp:192.0.2.1:53\" or \"tcp:192.0.2.1:53\"",
    );
    check(
        &edge,
        "listen = [\"udp:127.0.0.11:5300\", \"tcp:127.0.0.11:5300\"]\n",
        "servers = [\"192.0.2.53\"]\n",
        "e1.toml, line 9: [dns] `home_domains` needs a `listen` beside it",
    );
    check(
        &edge,
        "\"e2\"",
        "\"E1\"",
        "e1.toml, line 8: [dns] `listen` cannot be served: two members are both \
         \"e1.edge.example.com\" in the DNS, which has no capital letters",
    );
    check(
        &format!("{HOME}{DNS}"),
        "home_domains = true\n",
        "",
        "e1.toml, line 10: [dns] `listen` is for edges: a home has no names in the DNS",
    );
}
