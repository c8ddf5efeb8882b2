//! The store dies, and comes back with or without what it had.

use crate::lab::PHONES;
use crate::process::poll;

use super::{HOMES, PATIENCE, Pair, Phone, answers, contact_of, next, say, until_contacts, url};

#[test]
fn homes_go_on_without_their_store_and_agree_when_it_is_back() {
    let pair = Pair::new("away", &url(), "");
    let mut store = pair.store(&[]);
    answers(&mut store);
    let homes = [pair.home(0), pair.home(1)];
    let phone = Phone::new();
    phone.register_here(HOMES[0], "u1", ("before", 1));
    until_contacts(HOMES[1], "u1", &[contact_of("u1", &phone)]);
    // It dies with all that it had: nothing of it is on disk.
    store.signal("-KILL");
    drop(store);
    pair.until(0, "steadfast_store_failing", |failing| failing == 1);
    pair.until(1, "steadfast_store_failing", |failing| failing == 1);
    assert!(pair.page(0, "/readyz").starts_with("HTTP/1.0 200"));
    assert!(pair.page(0, "/healthz").starts_with("HTTP/1.0 503"));
    // Both go on with what they know, and take what comes.
    let caller = Phone::new();
    caller.call(HOMES[1], "u1", next());
    assert!(
        phone
            .receive()
            .expect("it is called")
            .starts_with("MESSAGE ")
    );
    phone.register_here(HOMES[0], "u2", ("meanwhile", 1));
    phone.register_here(HOMES[1], "u3", ("meanwhile", 1));
    caller.call(HOMES[1], "u2", next());
    let refused = caller.receive().expect("it is answered");
    assert!(refused.starts_with("SIP/2.0 480 "), "{refused}");
    let said = "the store that the homes share cannot be used";
    assert_eq!(
        homes[0].output().matches(said).count(),
        1,
        "{}",
        homes[0].output()
    );

    let mut store = pair.store(&[]);
    answers(&mut store);
    for user in ["u1", "u2", "u3"] {
        for home in HOMES {
            until_contacts(home, user, &[contact_of(user, &phone)]);
        }
        let poll_store = poll(PATIENCE, || {
            let key = format!("EXISTS steadfast:1:{{example.com}}:aor:{user}@example.com");
            say(&key).starts_with(":1").then_some(())
        });
        assert!(poll_store.is_some(), "{user} is not in the store");
    }
    pair.until(0, "steadfast_store_unsaved", |unsaved| unsaved == 0);
    // Emptied by somebody while the homes are connected, it is filled again.
    assert!(say("FLUSHALL").starts_with("+OK"));
    let filled = poll(PATIENCE, || {
        let exists = say("EXISTS steadfast:1:{example.com}:aor:u2@example.com");
        exists.starts_with(":1").then_some(())
    });
    assert!(filled.is_some(), "{}", homes[0].output());
}

#[test]
fn what_a_phone_was_told_is_in_the_store_after_kill_9() {
    const ROUNDS: usize = 10;
    const BURST: usize = 40;
    let pair = Pair::new("durable", &url(), "durable = true\n");
    let aof = ["--appendonly", "yes"];
    let mut told = 0;
    for round in 0..ROUNDS {
        let mut store = pair.store(&aof);
        answers(&mut store);
        let homes = [pair.home(0), pair.home(1)];
        pair.until(0, "steadfast_store_failing", |failing| failing == 0);
        let phone = Phone::new();
        let mut answers_of = Vec::new();
        for number in 0..BURST {
            let user = format!("u{}", round * BURST + number);
            let contact = format!("Contact: <sip:{user}@{PHONES}:{}>\r\n", 1_000 + round);
            phone.ask(HOMES[number % 2], &user, (&user, 1), &contact);
        }
        // The store or a home ends in the middle of them, at another place each time.
        for _ in 0..1 + round * 3 {
            answers_of.push(phone.receive().expect("it is answered"));
        }
        match round % 2 {
            0 => store.signal("-KILL"),
            _ => homes[0].signal("-KILL"),
        }
        while answers_of.len() < BURST
            && let Some(answer) = phone.receive()
        {
            answers_of.push(answer);
        }
        drop(homes);
        drop(store);
        let mut store = pair.store(&aof);
        answers(&mut store);
        let home = pair.home(1);
        for answer in &answers_of {
            if !answer.starts_with("SIP/2.0 200 ") {
                let is_known = ["SIP/2.0 500 ", "SIP/2.0 503 "]
                    .iter()
                    .any(|it| answer.starts_with(it));
                assert!(is_known, "{answer}");
                continue;
            }
            told += 1;
            let (_, after) = answer.split_once("\r\nContact: <").expect("it has one");
            let (contact, _) = after.split_once('>').expect("it ends");
            let user = &contact["sip:".len()..contact.find('@').expect("it has a user")];
            until_contacts(HOMES[1], user, &[contact.to_owned()]);
        }
        drop(home);
    }
    println!("{told} registrations were told of before {ROUNDS} kills, and all were there");
    assert!(told >= ROUNDS, "{told}");
}
