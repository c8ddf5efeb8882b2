//! What tokens tell, and to whom (B-7, B-8, O-5, D-E15).

use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";

/// joe registered at e1, and the user part of his token.
fn lab(keys: &[[u8; 64]]) -> (World, String) {
    let mut world = World::with(
        Tokens::Sealed,
        |_| (),
        |_, edge| edge.token_keys = keys.to_vec(),
    );
    Phone::new("joe", JOE, true).register(&mut world, EDGES[0]);
    let path = Phone::values(world.last(HOME), "Path").remove(0);
    let token = path["<sip:".len()..].split('@').next().unwrap().to_owned();
    (world, token)
}

/// An in-dialog request from the home with this token; the home's answer, if any.
fn try_token(world: &mut World, edge: &str, token: &str, cseq: u32) -> Option<String> {
    let home = Phone::new("ann", HOME, false);
    let route = format!("Route: <sip:{token}@edge.example.com;lr>\n");
    let text = home.request("MESSAGE", "sip:joe@127.0.0.1:5070", cseq, &route, "");
    world.forget();
    home.send(world, edge, &text);
    let mut answers = world
        .trace
        .iter()
        .filter(|seen| seen.to.to_string() == HOME);
    answers.next_back().map(|seen| seen.text.clone())
}

#[test]
fn a_sealed_token_names_neither_user_nor_edge() {
    // B-8
    let mut world = World::lab(Tokens::Sealed);
    let mut joe = Phone::new("joe", JOE, true);
    let mut ann = Phone::new("ann", ANN, true);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    joe.send(
        &mut world,
        EDGES[0],
        &joe.request("INVITE", "sip:ann@example.com", 1, "", ""),
    );
    let invite = ann.receive(&mut world);
    let routes = Phone::values(&invite, "Record-Route");
    let user = |value: &String| value["<sip:".len()..].split('@').next().unwrap().to_owned();
    let (anns, joes) = (user(&routes[0]), user(&routes[2]));
    assert_ne!(anns, joes);
    for token in [&anns, &joes] {
        assert!(token.starts_with('t') && token.len() > 40, "{token}");
        // No reserved character (B-7).
        assert!(
            token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')),
            "{token}"
        );
        for word in ["joe", "ann", "e1", "e2", "e3", "urn", "uuid"] {
            let plain = data_encoding::BASE32_DNSSEC.encode(word.as_bytes());
            assert!(
                word.len() < 3 || !token.contains(&plain[..plain.len() - 1]),
                "{word} in {token}"
            );
            assert!(word.len() < 3 || !token.contains(word), "{word} in {token}");
        }
    }
}

#[test]
fn one_subscriber_has_one_token_at_every_edge_and_time() {
    // H-3
    let (mut world, token) = lab(&[[9; 64]]);
    let ladder = world.ladder();
    let mut paths = Phone::values(&ladder, "Path");
    paths.retain(|path| path.contains(&token));
    assert!(
        paths.len() >= 4,
        "both edges, request and answer: {paths:?}"
    );
    world.restart(EDGES[0]);
    let mut joe = Register::new("joe", JOE);
    joe.call_id = "later";
    joe.lines = format!(
        "Contact: <sip:joe@{JOE}>;+sip.instance=\"<urn:uuid:joe>\";reg-id=1\nSupported: path, outbound, alt-proxies\n"
    );
    joe.login(&mut world, EDGES[0]);
    assert!(world.last(HOME).contains(&token), "{}", world.last(HOME));
}

#[test]
fn every_changed_character_is_noticed() {
    // O-5
    let (mut world, token) = lab(&[[9; 64]]);
    let bad = world.counter(EDGES[0], "bad_tokens");
    for index in 0..token.len() {
        let mut forged = token.clone().into_bytes();
        forged[index] = if forged[index] == b'4' { b'5' } else { b'4' };
        let forged = String::from_utf8(forged).unwrap();
        let answer = try_token(
            &mut world,
            EDGES[0],
            &forged,
            u32::try_from(index).unwrap() + 10,
        );
        let answer = answer.unwrap_or_else(|| panic!("{index}: {}", world.ladder()));
        assert!(answer.starts_with("SIP/2.0 403 "), "{index}: {answer}");
        assert!(!world.has(JOE), "{index}");
    }
    let refused = world.counter(EDGES[0], "bad_tokens") - bad;
    assert_eq!(refused, u64::try_from(token.len()).unwrap());
    // Nobody else was asked.
    assert_eq!(world.counter(EDGES[0], "relays"), 0);
    assert_eq!(try_token(&mut world, EDGES[0], &token, 9), None);
    assert!(world.has(JOE));
}

#[test]
fn one_flipped_bit_is_refused() {
    // O-5, D-E14: whatever the bit makes of the character, as long as it can
    // stand in a user part.
    let (mut world, token) = lab(&[[9; 64]]);
    let mut cseq = 10;
    for index in 0..token.len() {
        for bit in 0..7 {
            let mut forged = token.clone().into_bytes();
            forged[index] ^= 1 << bit;
            if !forged[index].is_ascii_alphanumeric() {
                continue;
            }
            let forged = String::from_utf8(forged).unwrap();
            cseq += 1;
            let answer = try_token(&mut world, EDGES[0], &forged, cseq);
            let answer = answer.unwrap_or_else(|| panic!("{index}/{bit}: {}", world.ladder()));
            assert!(
                answer.starts_with("SIP/2.0 403 "),
                "{index}/{bit}: {answer}"
            );
            assert!(!world.has(JOE), "{index}/{bit}");
        }
    }
    assert!(cseq > 10 + 2 * u32::try_from(token.len()).unwrap());
    assert_eq!(world.counter(EDGES[0], "relays"), 0);
}

#[test]
fn an_older_key_still_opens_and_the_new_one_mints() {
    let (old, new) = ([9; 64], [8; 64]);
    let (_, minted) = lab(&[old]);
    let (mut world, fresh) = lab(&[new, old]);
    assert_ne!(minted, fresh);
    // Both name the same phone.
    for (cseq, token) in [(1, &minted), (2, &fresh)] {
        assert_eq!(try_token(&mut world, EDGES[0], token, cseq), None);
        assert!(world.has(JOE), "{}", world.ladder());
    }
    // A key that is gone opens nothing.
    let (mut world, _) = lab(&[new]);
    let refused = try_token(&mut world, EDGES[0], &minted, 1).unwrap();
    assert!(refused.starts_with("SIP/2.0 403 "), "{refused}");
}

#[test]
fn a_clear_token_is_nothing_to_a_cluster_that_seals() {
    let (mut world, _) = lab(&[[9; 64]]);
    let refused = try_token(&mut world, EDGES[0], "joe+e1+e2+urn_3Auuid_3Ajoe", 1).unwrap();
    assert!(refused.starts_with("SIP/2.0 403 "), "{refused}");
}
