//! Digest at the home (A-1 to A-6; RFC 3261 §22, RFC 7616, RFC 8760).

use super::home_registering::{JOE, check, lab, open};
use super::phone::{Login, Register, authorization};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::digest::{self, Algorithm};
use steadfast::home::Subscribers;
use steadfast::limits;
use steadfast::time::Duration;

#[test]
fn only_the_owner_registers() {
    let mut world = lab();
    for (user, status) in [("ann", 403), ("Joe", 401), ("nobody", 401)] {
        let mut joe = Register::new("joe", JOE);
        joe.call_id = user;
        let challenge = joe.send(&mut world, EDGES[0], "");
        check(
            &joe.send(&mut world, EDGES[0], &authorization(user, &challenge)),
            status,
        );
    }
    assert_eq!(world.gauge(HOME, "registered"), 0);
    // Other domains and other hosts are nobody's here.
    for (uri, to) in [
        ("sip:example.net", "sip:joe@example.com"),
        ("sip:example.com", "sip:joe@example.net"),
        ("sip:example.com", "sip:example.com"),
    ] {
        let text = format!(
            "REGISTER {uri} SIP/2.0\nVia: SIP/2.0/UDP {JOE};branch=z9hG4bK{}\nFrom: <{to}>;tag=f\nTo: <{to}>\n\
             Call-ID: {to}\nCSeq: 1 REGISTER\n\n",
            to.len() + uri.len()
        );
        world.send(JOE, EDGES[0], &text);
        check(&world.receive(JOE).text, 404);
    }
}

#[test]
fn every_algorithm_is_offered_and_taken() {
    //
    let all = vec![Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5];
    let mut world = World::with(
        Tokens::Clear,
        |home| home.algorithms.clone_from(&all),
        |_, _| (),
    );
    for (index, algorithm) in all.iter().enumerate() {
        let mut joe = Register::new("joe", JOE);
        joe.call_id = ["a", "b", "c"][index];
        let challenge = joe.send(&mut world, EDGES[0], "");
        let offered: Vec<_> = challenge
            .split("\r\n")
            .filter(|line| line.starts_with("WWW-Authenticate: Digest "))
            .collect();
        assert_eq!(offered.len(), 3, "{challenge}");
        for (line, token) in offered.iter().zip(["SHA-512-256", "SHA-256", "MD5"]) {
            assert!(
                line.contains("realm=\"example.com\"") && line.contains("qop=\"auth\""),
                "{line}"
            );
            assert!(line.contains(&format!("algorithm={token},")), "{line}");
            assert!(!line.contains("stale"), "{line}");
        }
        let login = Login {
            algorithm: *algorithm,
            ..Login::new("joe")
        };
        check(
            &joe.send(&mut world, EDGES[0], &login.answer(&challenge)),
            200,
        );
    }
}

/// What a 401 asks for, in order.
#[track_caller]
fn asked_for(challenge: &str) -> Vec<&str> {
    check(challenge, 401);
    let parts = challenge.split("algorithm=").skip(1);
    parts.map(|part| part.split(',').next().unwrap()).collect()
}

#[test]
fn a_phone_that_cannot_answer_the_first_challenge_is_asked_for_md5() {
    // it reads the first challenge alone, and registers again after a while.
    let mut world = lab();
    let both = ["SHA-256", "MD5"];
    let mut old = Register::new("joe", JOE);
    assert_eq!(asked_for(&old.send(&mut world, EDGES[0], "")), both);
    // A retransmission says nothing.
    old.cseq -= 1;
    assert_eq!(asked_for(&old.send(&mut world, EDGES[0], "")), both);
    world.pass(Duration::from_secs(60));
    let challenge = old.send(&mut world, EDGES[1], "");
    assert_eq!(asked_for(&challenge), ["MD5"]);
    let login = authorization("joe", &challenge);
    check(&old.send(&mut world, EDGES[1], &login), 200);
    // It need not fail once each time it refreshes.
    let challenge = old.send(&mut world, EDGES[1], "");
    assert_eq!(asked_for(&challenge), ["MD5"]);
    // Another phone of his, and one that answers, are asked for everything.
    let mut new = Register::new("joe", JOE);
    new.call_id = "new";
    for _ in 0..2 {
        let challenge = new.send(&mut world, EDGES[0], "");
        assert_eq!(asked_for(&challenge), both);
        let login = Login {
            algorithm: Algorithm::Sha256,
            ..Login::new("joe")
        };
        let login = login.answer(&challenge);
        check(&new.send(&mut world, EDGES[0], &login), 200);
    }
}

#[test]
fn a_password_known_by_its_sha256_alone_is_asked_for_so() {
    let mut world = lab();
    let ha1 = digest::ha1(Algorithm::Sha256, b"joe", b"example.com", b"secret");
    let ha1 = String::from_utf8_lossy(ha1.as_bytes());
    let text = format!("joe example.com sha256={ha1}\n");
    world.subscribe(HOME, &Subscribers::default(), &text);
    let mut joe = Register::new("joe", JOE);
    for _ in 0..2 {
        let challenge = joe.send(&mut world, EDGES[0], "");
        assert_eq!(asked_for(&challenge), ["SHA-256"]);
    }
}

/// joe's answers to one challenge, all for one nonce.
fn challenged(world: &mut World) -> (Register<'static>, String) {
    let mut joe = Register::new("joe", JOE);
    let challenge = joe.send(world, EDGES[0], "");
    let good = authorization("joe", &challenge);
    (joe, good)
}

#[test]
fn wrong_credentials_are_challenged_again() {
    //
    let mut world = lab();
    let (mut joe, good) = challenged(&mut world);
    let nonce = good.split("nonce=\"").nth(1).unwrap();
    let (nonce, _) = nonce.split_once('"').unwrap();
    let (head, tail) = nonce.split_at(1);
    let forged = format!("{}{tail}", if head == "A" { "B" } else { "A" });
    let wrong = Login {
        password: "guess",
        ..Login::new("joe")
    };
    let altered = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    for (credentials, why) in [
        (wrong.with_nonce(nonce), "a wrong password"),
        (Login::new("joe").with_nonce(&forged), "a forged nonce"),
        (
            altered("realm=\"example.com\"", "realm=\"other\""),
            "a realm",
        ),
        (altered("username=\"joe\"", "username=\"bob\""), "a user"),
        (altered("qop=auth", "qop=auth-int"), "an unknown qop"),
        (
            altered("algorithm=MD5", "algorithm=SHA-256"),
            "an algorithm",
        ),
        (altered("nc=00000001", "nc=1"), "a short count"),
        (altered("Digest", "Basic"), "another scheme"),
        (altered("response=\"", "response=\"0"), "a long response"),
    ] {
        let refused = joe.send(&mut world, EDGES[0], &credentials);
        assert!(refused.starts_with("SIP/2.0 401 "), "{why}: {refused}");
        assert!(!refused.contains("stale"), "{why}: {refused}");
    }
}

#[test]
fn what_does_not_matter_is_not_looked_at() {
    // the URI that was signed, and credentials for another realm in front.
    let mut world = lab();
    let (mut joe, good) = challenged(&mut world);
    let elsewhere = good.replace("realm=\"example.com\"", "realm=\"other\"");
    let both = format!("{elsewhere}{good}");
    check(&joe.send(&mut world, EDGES[0], &both), 200);
    let challenge = joe.send(&mut world, EDGES[0], "");
    let login = Login {
        uri: "sip:edge.example.com:5060",
        ..Login::new("joe")
    };
    check(
        &joe.send(&mut world, EDGES[0], &login.answer(&challenge)),
        200,
    );
}

#[test]
fn a_nonce_ages_and_a_count_is_spent() {
    //
    let mut world = lab();
    let mut joe = Register::new("joe", JOE);
    let challenge = joe.send(&mut world, EDGES[0], "");
    let count = |nc| {
        Login {
            nc,
            ..Login::new("joe")
        }
        .answer(&challenge)
    };
    check(&joe.send(&mut world, EDGES[0], &count("00000001")), 200);
    check(&joe.send(&mut world, EDGES[0], &count("00000002")), 200);
    for nc in ["00000002", "00000001"] {
        let replayed = joe.send(&mut world, EDGES[0], &count(nc));
        check(&replayed, 401);
        assert_eq!(replayed.matches("stale=true").count(), 2, "{replayed}");
        assert!(
            !replayed.contains(
                challenge
                    .split("nonce=\"")
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap()
            )
        );
    }
    world.pass(Duration::from_secs(limits::NONCE_S - 1));
    check(&joe.send(&mut world, EDGES[0], &count("00000009")), 200);
    world.pass(Duration::from_secs(2));
    let old = joe.send(&mut world, EDGES[0], &count("0000000a"));
    check(&old, 401);
    assert!(old.contains("stale=true"), "{old}");
    // The fresh nonce of that answer does.
    check(
        &joe.send(&mut world, EDGES[0], &authorization("joe", &old)),
        200,
    );
}

#[test]
fn a_retransmission_gets_the_same_answer() {
    // RFC 3261 §17.2: the count is not spent twice.
    let mut world = lab();
    let mut joe = Register::new("joe", JOE);
    let ok = joe.login(&mut world, EDGES[0]);
    joe.cseq -= 1;
    let sent = world
        .trace
        .iter()
        .rfind(|seen| seen.to.to_string() == EDGES[0] && seen.text.starts_with("REGISTER"));
    let again = sent.unwrap().bytes.clone();
    world.send_bytes(JOE, EDGES[0], &again);
    assert_eq!(world.receive(JOE).text, ok);
    assert_eq!(world.counter(HOME, "registrations"), 1);
}

#[test]
fn any_home_of_the_cluster_takes_the_nonce() {
    //
    let mut world = open();
    let mut joe = Register::new("joe", JOE);
    joe.route = String::new();
    let challenge = joe.send(&mut world, HOME, "");
    world.restart(HOME);
    check(
        &joe.send(&mut world, HOME, &authorization("joe", &challenge)),
        200,
    );
}
