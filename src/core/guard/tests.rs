//! What a source gets, and what washes nobody out.

use super::*;

const START: Instant = Instant::from_micros(5_000_000);

fn guard() -> Guard {
    let mut guard = Guard::new([1, 2, 3, 4]);
    guard.set_unlimited(vec![("10.0.0.0".parse().unwrap(), 8)]);
    guard
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Tokens that a source gets at one moment.
fn burst(guard: &mut Guard, now: Instant, from: &str, kind: SourceLimit) -> u32 {
    let admitted = (0..1_000_000).take_while(|_| guard.admit(now, ip(from), kind));
    u32::try_from(admitted.count()).unwrap()
}

#[test]
fn a_bucket_gives_its_depth_and_then_its_rate() {
    for kind in [
        SourceLimit::Request,
        SourceLimit::Roaming,
        SourceLimit::Stun,
        SourceLimit::FailedDigest,
        SourceLimit::Connection,
        SourceLimit::Stray,
    ] {
        let (rate, depth) = kind.bound();
        let mut guard = guard();
        assert_eq!(
            burst(&mut guard, START, "192.0.2.1", kind),
            depth,
            "{kind:?}"
        );
        assert!(!guard.has(START, ip("192.0.2.1"), kind));
        let later = START + Duration::from_secs(2);
        assert_eq!(
            burst(&mut guard, later, "192.0.2.1", kind),
            (2 * rate).min(depth)
        );
    }
}

#[test]
fn buckets_and_sources_are_apart() {
    let mut guard = guard();
    let depth = SourceLimit::Roaming.bound().1;
    burst(&mut guard, START, "192.0.2.1", SourceLimit::Roaming);
    assert!(guard.admit(START, ip("192.0.2.1"), SourceLimit::Request));
    assert_eq!(
        burst(&mut guard, START, "192.0.2.2", SourceLimit::Roaming),
        depth
    );
    // One customer has a /64, and IPv4 seen through IPv6 is IPv4.
    assert_eq!(
        burst(&mut guard, START, "2001:db8::1", SourceLimit::Roaming),
        depth
    );
    assert!(!guard.admit(START, ip("2001:db8::ffff:2"), SourceLimit::Roaming));
    assert!(guard.admit(START, ip("2001:db8:0:1::1"), SourceLimit::Roaming));
    assert!(!guard.admit(START, ip("::ffff:192.0.2.1"), SourceLimit::Roaming));
}

#[test]
fn an_unproven_source_is_answered_with_what_it_sent() {
    let mut guard = guard();
    let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
    assert!(!guard.repay(START, one, 1));
    assert!(guard.request(START, one, 500));
    assert!(!guard.repay(START, one, 501));
    assert!(guard.repay(START, one, 300) && guard.repay(START, one, 200));
    assert!(!guard.repay(START, one, 1) && !guard.repay(START, other, 1));
    guard.prove(START, one);
    assert!(guard.is_proven(START, one) && guard.repay(START, one, 60_000));
    let later = START + limits::SOURCE_PROVEN;
    assert!(!guard.is_proven(later, one) && !guard.repay(later, one, 1));
    assert!(guard.repay(START, ip("10.1.2.3"), 60_000));
}

#[test]
fn an_ack_proves_for_a_moment_and_a_registration_for_long() {
    let mut guard = guard();
    let one = ip("192.0.2.1");
    guard.acknowledged(START, one);
    assert!(guard.is_proven(START, one) && !guard.is_known(START, one));
    let over = START + limits::SOURCE_ACKNOWLEDGED;
    assert!(!guard.is_proven(over, one));
    guard.prove(START, one);
    guard.acknowledged(START, one);
    assert!(guard.is_proven(over, one) && guard.is_known(over, one));
    // Who was known is not for ever.
    let later = START + limits::SOURCE_PROVEN;
    guard.acknowledged(later, one);
    assert!(guard.is_proven(later, one) && !guard.is_known(later, one));
}

#[test]
fn a_stranger_keeps_little_and_who_holds_most_stops_first() {
    const ALL: usize = limits::BUFFER_BYTES_MAX;
    let mut guard = guard();
    let (one, near) = (ip("192.0.2.1"), ip("10.1.2.3"));
    let most = |guard: &mut Guard, from, free| {
        let steps = (0..1_024).map(|step| step << 20);
        let kept = steps.take_while(|&bytes| guard.may_keep(START, from, bytes, free));
        kept.last().unwrap_or(0)
    };
    assert_eq!(most(&mut guard, one, ALL), limits::SOURCE_MEMORY);
    guard.set_memory(4 << 20);
    assert_eq!(most(&mut guard, one, ALL), 4 << 20);
    guard.prove(START, one);
    assert_eq!(most(&mut guard, one, ALL), limits::SOURCE_MEMORY_KNOWN);
    let few = 40 << 20;
    assert_eq!(
        most(&mut guard, one, few),
        few / limits::SOURCE_MEMORY_OF_FREE
    );
    assert_eq!(most(&mut guard, near, few), few);
    assert_eq!(most(&mut guard, one, 0), 0);
}

#[test]
fn the_unlimited_are_not_counted() {
    let mut guard = guard();
    assert_eq!(
        burst(&mut guard, START, "10.1.2.3", SourceLimit::Stun),
        1_000_000
    );
    assert!(guard.sets.is_empty());
}

#[test]
fn who_fails_locks_himself_out_and_no_neighbour() {
    let (mut guard, nat) = (guard(), ip("192.0.2.1"));
    let depth = limits::LOGIN_FAILURES.1;
    for _ in 0..depth {
        assert!(guard.may_log_in(START, nat, b"mallory"));
        guard.failed_login(START, nat, b"mallory");
    }
    assert!(!guard.may_log_in(START, nat, b"mallory"));
    assert!(guard.may_log_in(START, nat, b"joe"));
    assert!(guard.may_log_in(START, ip("192.0.2.2"), b"mallory"));
    let later = START + Duration::from_secs(1);
    assert!(guard.may_log_in(later, nat, b"mallory"));
}

#[test]
fn guessing_over_many_users_ends_and_spares_who_has_logged_in() {
    let (mut guard, nat) = (guard(), ip("192.0.2.1"));
    guard.logged_in(START, nat, b"joe");
    let (mut guesses, mut user) = (0, 0_u32);
    while guard.may_log_in(START, nat, &user.to_be_bytes()) {
        guard.failed_login(START, nat, &user.to_be_bytes());
        (guesses, user) = (guesses + 1, user + 1);
    }
    assert_eq!(guesses, limits::SOURCE_FAILED_DIGESTS.1);
    assert!(guard.may_log_in(START, nat, b"joe"));
    assert!(!guard.may_log_in(START, nat, b"ann"));
    let last = START + limits::LOGIN_KNOWN;
    assert_eq!(guard.logins.state(last, nat, b"joe"), LoginState::Unknown);
    // His own mistakes count against him all the same.
    for _ in 0..limits::LOGIN_FAILURES.1 {
        guard.failed_login(START, nat, b"joe");
    }
    assert!(!guard.may_log_in(START, nat, b"joe"));
    // Nobody is locked out on this machine.
    for _ in 0..10_000 {
        guard.failed_login(START, ip("10.0.0.1"), b"joe");
    }
    assert!(guard.may_log_in(START, ip("10.0.0.1"), b"joe"));
}

#[test]
fn many_addresses_do_not_wash_out_the_one_over_its_bound() {
    let mut guard = guard();
    burst(&mut guard, START, "192.0.2.1", SourceLimit::FailedDigest);
    for n in 0..200_000_u32 {
        let spoofed = IpAddr::V4((0x2000_0000 + n).into());
        guard.admit(START, spoofed, SourceLimit::Request);
    }
    assert!(!guard.has(START, ip("192.0.2.1"), SourceLimit::FailedDigest));
}
