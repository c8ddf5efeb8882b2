use crate::txn::trial::{TCP, Trial, UDP};

// T-1
#[test]
fn an_invite_is_repeated_until_timer_b() {
    let mut t = Trial::new();
    t.client("INVITE", UDP);
    let want = [500, 1_500, 3_500, 7_500, 15_500, 31_500].map(|at| (at, "resend INVITE"));
    t.check(31_999, &want);
    t.check(99_000, &[(32_000, "client timeout, heard: false")]);
    assert_eq!(t.txn.clients(), 0);
}

// T-1
#[test]
fn another_request_is_repeated_until_timer_f() {
    let mut t = Trial::new();
    t.client("BYE", UDP);
    let want = [
        500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
    ];
    t.check(31_999, &want.map(|at| (at, "resend BYE")));
    t.check(99_000, &[(32_000, "client timeout, heard: false")]);
}

// T-1
#[test]
fn a_stream_repeats_nothing() {
    for method in ["INVITE", "BYE"] {
        let mut t = Trial::new();
        t.client(method, TCP);
        t.check(99_000, &[(32_000, "client timeout, heard: false")]);
    }
}

// T-1
#[test]
fn a_provisional_calms_timer_e_and_leaves_timer_f() {
    let mut t = Trial::new();
    let id = t.client("BYE", UDP);
    t.check(600, &[(500, "resend BYE")]);
    assert_eq!(t.hear(id, 100), "pass");
    let want = [1_500, 5_500, 9_500, 13_500, 17_500, 21_500, 25_500, 29_500];
    t.check(31_999, &want.map(|at| (at, "resend BYE")));
    t.check(99_000, &[(32_000, "client timeout, heard: true")]);
}

// T-1
#[test]
fn a_provisional_stops_timers_a_and_b() {
    let mut t = Trial::new();
    let id = t.client("INVITE", UDP);
    assert_eq!((t.hear(id, 100), t.hear(id, 180)), ("pass", "pass"));
    t.check(180_000, &[]);
    assert_eq!(
        t.txn.client_request(id).map(|request| request.to_vec()),
        Some(b"INVITE".to_vec())
    );
    assert_eq!(t.hear(id, 200), "pass");
    t.check(300_000, &[(212_000, "client done")]);
}

// T-1
#[test]
fn a_refusal_is_acknowledged_each_time_until_timer_d() {
    let mut t = Trial::new();
    let id = t.client("INVITE", UDP);
    t.check(1_000, &[(500, "resend INVITE")]);
    assert_eq!(t.hear(id, 486), "pass and ack");
    assert_eq!(t.hear(id, 486), "absorb");
    assert_eq!(
        t.txn.client_request(id).map(|request| request.to_vec()),
        Some(b"INVITE".to_vec())
    );
    assert_eq!(t.ack(id), "ACK");
    assert_eq!(
        (t.ack(id), t.txn.client_request(id).is_none()),
        ("nothing", true)
    );
    t.check(32_999, &[]);
    assert_eq!(
        (t.hear(id, 486), t.hear(id, 503)),
        ("again ACK", "again ACK")
    );
    assert_eq!((t.hear(id, 180), t.hear(id, 200)), ("absorb", "pass"));
    t.check(99_000, &[(33_000, "client done")]);
    assert_eq!(t.hear(id, 486), "absorb");
}

// T-1, P-27
#[test]
fn on_a_stream_timer_d_waits_for_a_2xx_only() {
    let mut t = Trial::new();
    let id = t.client("INVITE", TCP);
    t.check(20, &[]);
    assert_eq!(
        (t.hear(id, 486), t.ack(id), t.hear(id, 486)),
        ("pass and ack", "ACK", "absorb")
    );
    t.check(32_019, &[]);
    assert_eq!((t.hear(id, 180), t.hear(id, 200)), ("absorb", "pass"));
    t.check(99_000, &[(32_020, "client done")]);
    assert_eq!(t.hear(id, 200), "absorb");
}

// T-1
#[test]
fn on_a_stream_timer_k_is_zero() {
    let mut t = Trial::new();
    let id = t.client("BYE", TCP);
    assert_eq!(t.hear(id, 200), "pass");
    t.check(99_000, &[(0, "client done")]);
}

// T-1
#[test]
fn a_final_to_another_request_waits_for_timer_k() {
    let mut t = Trial::new();
    let id = t.client("BYE", UDP);
    t.check(700, &[(500, "resend BYE")]);
    assert_eq!(
        (t.hear(id, 481), t.hear(id, 481), t.hear(id, 100)),
        ("pass", "absorb", "absorb")
    );
    assert!(t.txn.client_request(id).is_none());
    t.check(99_000, &[(5_700, "client done")]);
}

// T-5
#[test]
fn every_2xx_passes_until_timer_m() {
    for flow in [UDP, TCP] {
        let mut t = Trial::new();
        let id = t.client("INVITE", flow);
        t.check(100, &[]);
        assert_eq!((t.hear(id, 180), t.hear(id, 200)), ("pass", "pass"));
        assert!(t.txn.client_request(id).is_none());
        assert_eq!(t.ack(id), "nothing");
        t.check(32_099, &[]);
        assert_eq!((t.hear(id, 200), t.hear(id, 202)), ("pass", "pass"));
        assert_eq!((t.hear(id, 183), t.hear(id, 486)), ("absorb", "absorb"));
        t.check(99_000, &[(32_100, "client done")]);
        assert_eq!(t.hear(id, 200), "absorb");
    }
}

// T-1
#[test]
fn a_provisional_that_meets_a_late_wake_up_ends_nothing() {
    let mut t = Trial::new();
    let id = t.client("BYE", UDP);
    t.now = Trial::ms(2_000);
    assert_eq!(t.hear(id, 100), "pass");
    t.check(2_000, &[(2_000, "resend BYE")]);
    t.check(9_000, &[(4_500, "resend BYE"), (8_500, "resend BYE")]);
}

// T-10
#[test]
fn a_dead_flow_names_those_that_wait_on_it() {
    let mut t = Trial::new();
    let calling = t.client("INVITE", TCP);
    let trying = t.client("BYE", TCP);
    let answered = t.client("INVITE", TCP);
    let elsewhere = t.client("BYE", UDP);
    t.txn.reserve(9).unwrap();
    assert_eq!(
        (t.hear(calling, 180), t.hear(answered, 200)),
        ("pass", "pass")
    );
    let mut found = Vec::new();
    t.txn.clients_on(TCP, &mut found);
    assert_eq!(found, [(calling, 0), (trying, 0)]);
    for id in [calling, trying, answered] {
        t.txn.fail(id);
    }
    let alive = [calling, trying, answered, elsewhere].map(|id| t.txn.client_owner(id).is_some());
    assert_eq!(alive, [false, false, true, true]);
    t.txn.abandon(elsewhere);
    t.check(99_000, &[(32_000, "client done")]);
}
