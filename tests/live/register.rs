//! Registrations: the redirect, the edge leg, refresh, backup flow, many at once.

use std::time::Duration;

use crate::lab::{EDGES, HOME, LOAD_USERS, Lab, PASSWORD, load_user, port};
use crate::sipp::{Sipp, Transport};

/// An outbound phone: one instance, the flow numbered.
fn outbound(reg_id: u8) -> String {
    format!(";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000000000001>\";reg-id={reg_id}")
}

/// A phone of `user` registers at `edge` from `port`, as a phone without outbound does.
#[track_caller]
pub(crate) fn register(lab: &Lab, user: &'static str, edge: &'static str, port: u16) {
    Sipp::new(lab, "register_plain", user)
        .to(edge)
        .port(port)
        .run();
}

/// D-H1, D-U3, D-U5: redirected by the home, then the same Call-ID one CSeq on at an edge.
fn follow_the_redirect(transport: Transport, call_id: &str) {
    let lab = Lab::start(call_id);
    let port = port();
    Sipp::new(&lab, "register_redirect", "joe")
        .to(HOME)
        .port(port)
        .over(transport)
        .option("-cid_str", call_id)
        .run();
    // A connection to the home must not keep the port from the edge leg.
    let port = match transport {
        Transport::Udp => port,
        Transport::Tcp => crate::lab::port(),
    };
    let edge = Sipp::new(&lab, "register_plain", "joe")
        .to(EDGES[0])
        .port(port)
        .over(transport);
    edge.option("-cid_str", call_id)
        .option("-base_cseq", "2")
        .run();
}

#[test]
fn a_phone_follows_the_redirect_over_udp() {
    follow_the_redirect(Transport::Udp, "redirect-udp");
}

#[test]
fn a_phone_follows_the_redirect_over_tcp() {
    follow_the_redirect(Transport::Tcp, "redirect-tcp");
}

// D-E9, D-E10, D-U10
#[test]
fn an_outbound_phone_refreshes_and_opens_its_backup_flow() {
    let lab = Lab::start("outbound");
    let first = Sipp::new(&lab, "register_outbound", "joe")
        .to(EDGES[0])
        .params(&outbound(1))
        .run();
    let path = logged(&first, "path ");
    let proxy = logged(&first, "proxy ");
    let backup = EDGES
        .into_iter()
        .find(|edge| proxy.contains(&format!("maddr={edge}")));
    let backup = backup.unwrap_or_else(|| panic!("Outbound-Proxy names no edge: {proxy}"));
    assert_ne!(
        backup, EDGES[0],
        "D-E9: the backup is another edge: {proxy}"
    );
    let second = Sipp::new(&lab, "register_backup", "joe")
        .to(backup)
        .params(&outbound(2))
        .route(proxy)
        .run();
    assert_eq!(logged(&second, "path "), path, "both flows have one Path");
}

#[test]
fn an_outbound_phone_refreshes_over_tcp() {
    let lab = Lab::start("outbound-tcp");
    let phone = Sipp::new(&lab, "register_outbound", "joe")
        .to(EDGES[1])
        .params(&outbound(1));
    phone.over(Transport::Tcp).run();
}

#[test]
fn five_hundred_users_register_at_once() {
    let lab = Lab::start("register-load");
    let rows: Vec<String> = (1..=LOAD_USERS)
        .map(load_user)
        .map(|user| format!("{user};[authentication username={user} password={PASSWORD}]\n"))
        .collect();
    let table = lab.path("users.csv");
    std::fs::write(&table, format!("SEQUENTIAL\n{}", rows.concat()))
        .expect("the table can be written");
    let calls = u32::try_from(LOAD_USERS).expect("a few hundred");
    let phones = Sipp::new(&lab, "register_load", "joe")
        .to(EDGES[2])
        .calls(calls, Duration::from_secs(20));
    phones
        .option("-r", "200")
        .option("-inf", &table.display().to_string())
        .run();
}

/// The rest of the first log line that starts so.
#[track_caller]
fn logged<'a>(log: &'a str, start: &str) -> &'a str {
    let line = log.lines().find_map(|line| line.strip_prefix(start));
    line.unwrap_or_else(|| panic!("nothing logged after {start:?}: {log}"))
        .trim()
}
