//! A store over TLS with a password, one that Sentinel watches, and a cluster.

use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use crate::lab::steadfast;
use crate::process::{Process, poll};

use super::{HOMES, PATIENCE, Pair, Phone, STORE, answers, contact_of, next, until_contacts};

/// A certificate for the address of the store, signed by itself.
fn certificate(pair: &Pair) {
    let mut make = Command::new("openssl");
    make.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    make.args(["-nodes", "-days", "2", "-subj", "/CN=store", "-addext"]);
    make.arg(format!("subjectAltName=IP:{}", STORE.0));
    make.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    make.arg("-keyout").arg(pair.path("store.key"));
    make.arg("-out").arg(pair.path("store.pem"));
    let made = make.output().expect("openssl is there");
    assert!(made.status.success(), "{made:?}");
}

#[test]
fn the_store_is_reached_over_tls_with_a_password_and_nobody_reads_it() {
    let at = format!("valkeys://:pear@{}:{}", STORE.0, STORE.1);
    let pair = Pair::new("tls", &at, "store_ca = \"store.pem\"\n");
    certificate(&pair);
    let file = |name: &str| pair.path(name).display().to_string();
    let (cert, key, port) = (file("store.pem"), file("store.key"), STORE.1.to_string());
    let tls = [
        "--tls-port",
        &port,
        "--port",
        "0",
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
        "--requirepass",
        "pear",
    ];
    let mut store = pair.store(&tls);
    answers(&mut store);
    let check = |index: usize| {
        let mut check = steadfast();
        check.args(["check", "--bind", "--config"]);
        check.arg(pair.path(&format!("h{index}.toml")));
        let checked = check.output().expect("it runs");
        let said = [checked.stdout, checked.stderr].concat();
        (
            checked.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    assert!(check(0).0, "{}", check(0).1);
    let homes = [pair.home(0), pair.home(1)];
    let phone = Phone::new();
    phone.register_here(HOMES[0], "u1", ("tls", 1));
    until_contacts(HOMES[1], "u1", &[contact_of("u1", &phone)]);
    assert!(!homes.iter().any(|home| home.output().contains("pear")));
    // Whom nobody vouches for is not believed, and a wrong password is told of.
    let right = std::fs::read_to_string(pair.path("h0.toml")).expect("it is there");
    for (old, new, want) in [
        (
            ":pear@",
            ":apple@",
            "write the user and the password into `store`",
        ),
        (
            "store_ca = \"store.pem\"\n",
            "",
            "the store valkeys://127.0.0.64:6379/0 cannot be used",
        ),
    ] {
        pair.write("h0.toml", &right.replace(old, new));
        let (is_well, said) = check(0);
        assert!(
            !is_well && said.contains(want) && !said.contains("pear"),
            "{said}"
        );
    }
}

/// A node of a group or a cluster, at one of the next addresses.
fn node(pair: &Pair, number: u8, more: &[&str]) -> Process {
    let mut run = Command::new("redis-server");
    let ip = format!("127.0.0.{number}");
    let folder = pair.path(&format!("data{number}"));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    run.args(["--bind", &ip, "--port", "6379", "--save", ""]);
    // Else the others would take it to be where loopback sends from.
    run.args([
        "--bind-source-addr",
        &ip,
        "--cluster-announce-ip",
        &ip,
        "--protected-mode",
        "no",
    ]);
    run.arg("--dir").arg(&folder).args(more);
    let log = pair.path(&format!("node{number}.log"));
    let mut node = Process::start("redis-server", &mut run, log);
    let up = poll(PATIENCE, || {
        TcpStream::connect((ip.as_str(), 6379))
            .is_ok()
            .then_some(())
    });
    assert!(up.is_some() && node.ended().is_none(), "{}", node.output());
    node
}

#[test]
fn homes_go_to_the_primary_that_sentinel_names() {
    let at = "valkey-sentinel://127.0.0.66/main";
    let pair = Pair::new("sentinel", at, "durable = true\n");
    let primary = node(&pair, 64, &[]);
    let replica = node(&pair, 65, &["--replicaof", "127.0.0.64 6379"]);
    let linked = poll(PATIENCE, || {
        replica
            .output()
            .contains("Finished with success")
            .then_some(())
    });
    assert!(linked.is_some(), "{}", replica.output());
    pair.write(
        "sentinel.conf",
        "bind 127.0.0.66\nprotected-mode no\nport 26379\nsentinel monitor main 127.0.0.64 6379 1\n\
         sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n",
    );
    let mut run = Command::new("redis-server");
    run.arg(pair.path("sentinel.conf")).arg("--sentinel");
    let sentinel = Process::start("redis-sentinel", &mut run, pair.path("sentinel.log"));
    // It has heard of the replica.
    let knows = poll(PATIENCE, || {
        sentinel.output().contains("+slave slave").then_some(())
    });
    assert!(knows.is_some(), "{}", sentinel.output());
    let _homes = [pair.home(0), pair.home(1)];
    pair.until(0, "steadfast_store_failing", |failing| failing == 0);
    let phone = Phone::new();
    phone.register_here(HOMES[0], "u1", ("group", 1));
    until_contacts(HOMES[1], "u1", &[contact_of("u1", &phone)]);
    primary.signal("-KILL");
    drop(primary);
    let since = Instant::now();
    let taken = poll(PATIENCE, || {
        let contact = format!("Contact: <{}>\r\n", contact_of("u2", &phone));
        let answer = phone.register(HOMES[0], "u2", ("group", next()), &contact);
        answer.starts_with("SIP/2.0 200 ").then_some(())
    });
    assert!(taken.is_some(), "{}", sentinel.output());
    println!(
        "registrations are taken {:?} after the primary died",
        since.elapsed()
    );
    for user in ["u1", "u2"] {
        until_contacts(HOMES[1], user, &[contact_of(user, &phone)]);
    }
}

#[test]
fn homes_find_the_node_of_a_cluster_that_has_their_domain() {
    let at = "valkey://127.0.0.64:6379,127.0.0.65:6379,127.0.0.66:6379";
    let pair = Pair::new("cluster", at, "");
    let nodes = [64, 65, 66].map(|number| node(&pair, number, &["--cluster-enabled", "yes"]));
    let mut make = Command::new("redis-cli");
    make.args([
        "--cluster",
        "create",
        "127.0.0.64:6379",
        "127.0.0.65:6379",
        "127.0.0.66:6379",
    ]);
    let made = make
        .arg("--cluster-yes")
        .output()
        .expect("redis-cli is there");
    assert!(made.status.success(), "{made:?}");
    let homes = [pair.home(0), pair.home(1)];
    let phone = Phone::new();
    phone.register_here(HOMES[0], "u1", ("cluster", 1));
    until_contacts(HOMES[1], "u1", &[contact_of("u1", &phone)]);
    pair.until(0, "steadfast_store_unsaved", |unsaved| unsaved == 0);
    pair.until(0, "steadfast_store_failing", |failing| failing == 0);
    drop((homes, nodes));
}
