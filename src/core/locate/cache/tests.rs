use super::*;
use crate::id::Transport;
use crate::locate::{Query, QueryType, Record, Set};

const AT: Instant = Instant::ZERO;

fn locator() -> Locator {
    let spoken = Transports::over([(Transport::Udp, "192.0.2.9:5060".parse().unwrap())]);
    Locator::new(spoken, [1, 2, 3, 4])
}

fn name(locator: &mut Locator, text: &str) -> LookupId {
    let uri = Uri::of(text.as_bytes()).unwrap();
    locator.name(AT, text.as_bytes(), &uri).unwrap()
}

/// Answers to `sip:HOST:5060`, which asks for addresses only.
fn answer(host: &str, set: Set) -> Records {
    let mut records = Records::default();
    let query = Query {
        name: host.into(),
        kind: QueryType::A,
    };
    records.add(query, set);
    records
}

fn found(ttl_s: u32) -> Set {
    let records = vec![Record::Address("192.0.2.1".parse().unwrap())];
    Set::Found { records, ttl_s }
}

fn seconds(count: u64) -> Instant {
    AT + Duration::from_secs(count)
}

#[test]
fn one_question_for_all_who_ask_the_same() {
    let mut locator = locator();
    let first = name(&mut locator, "sip:Home.example.com:5060");
    assert_eq!(
        first,
        name(&mut locator, "sip:joe@home.EXAMPLE.com.:5060;lr")
    );
    assert_ne!(first, name(&mut locator, "sip:home.example.com"));
    // Who must be there is part of the question.
    let other = name(&mut locator, "sip:other.example;maddr=home.example.com");
    assert_eq!(locator.domain(other), Some("other.example"));
    let (find, question) = locator.find(AT, first);
    assert_eq!(
        (find, &*question.unwrap().name),
        (Find::Asked, "home.example.com")
    );
    assert_eq!(locator.find(AT, first), (Find::Asked, None));
    let waiters = [1, 2].map(|index| Waiter {
        context: Slot {
            index,
            generation: 0,
        },
        branch: 0,
    });
    waiters
        .iter()
        .for_each(|waiter| locator.wait(first, *waiter));
    let (mut due, records) = (Vec::new(), answer("home.example.com", found(10)));
    assert_eq!(
        locator.answer(AT, first, &records, &mut due),
        LookupOutcome::Known
    );
    assert_eq!(due, waiters);
    assert!(matches!(
        locator.find(AT, first),
        (Find::Servers([_]), None)
    ));
}

#[test]
fn an_answer_lives_as_long_as_its_ttl_and_is_renewed_before() {
    // N-11
    let mut locator = locator();
    let id = name(&mut locator, "sip:a.example.com:5060");
    assert!(locator.find(AT, id).1.is_some());
    let records = answer("a.example.com", found(10));
    locator.answer(AT, id, &records, &mut Vec::new());
    assert!(matches!(
        locator.find(seconds(7), id),
        (Find::Servers(_), None)
    ));
    // In use in its last fifth: asked again, served on.
    assert!(matches!(
        locator.find(seconds(8), id),
        (Find::Servers(_), Some(_))
    ));
    assert!(matches!(
        locator.find(seconds(9), id),
        (Find::Servers(_), None)
    ));
    // Over, and the answer is not there yet.
    assert!(matches!(locator.find(seconds(10), id), (Find::Asked, None)));
    locator.answer(seconds(10), id, &records, &mut Vec::new());
    assert!(matches!(
        locator.find(seconds(11), id),
        (Find::Servers(_), None)
    ));
}

#[test]
fn ttls_are_kept_within_bounds() {
    let mut locator = locator();
    let id = name(&mut locator, "sip:a.example.com:5060");
    for (ttl_s, good, over) in [(0, 0, 1), (u32::MAX, 3_599, 3_600)] {
        locator.answer(
            AT,
            id,
            &answer("a.example.com", found(ttl_s)),
            &mut Vec::new(),
        );
        assert!(matches!(
            locator.find(seconds(good), id).0,
            Find::Servers(_)
        ));
        assert!(matches!(locator.find(seconds(over), id).0, Find::Asked));
    }
    let nothing = Set::Nothing { ttl_s: u32::MAX };
    locator.answer(AT, id, &answer("a.example.com", nothing), &mut Vec::new());
    assert_eq!(locator.find(seconds(59), id), (Find::Nothing, None));
    assert!(matches!(
        locator.find(seconds(60), id),
        (Find::Asked, Some(_))
    ));
}

#[test]
fn a_failing_dns_is_left_alone_and_its_last_answer_serves_on() {
    // RFC 8767
    let mut locator = locator();
    let id = name(&mut locator, "sip:a.example.com:5060");
    assert!(locator.find(AT, id).1.is_some());
    let failed = answer("a.example.com", Set::Failed);
    let mut due = Vec::new();
    assert_eq!(
        locator.answer(AT, id, &failed, &mut due),
        LookupOutcome::Failed
    );
    assert_eq!(locator.find(seconds(1), id), (Find::Failed, None));
    assert!(matches!(
        locator.find(seconds(2), id),
        (Find::Asked, Some(_))
    ));
    locator.answer(
        seconds(2),
        id,
        &answer("a.example.com", found(10)),
        &mut due,
    );
    // Over at 12; the DNS is gone by then.
    assert!(matches!(
        locator.find(seconds(13), id),
        (Find::Asked, Some(_))
    ));
    assert_eq!(locator.stale(seconds(13), id).len(), 1);
    assert_eq!(
        locator.answer(seconds(13), id, &failed, &mut due),
        LookupOutcome::Failed
    );
    assert!(matches!(
        locator.find(seconds(14), id),
        (Find::Servers(_), None)
    ));
    assert!(matches!(
        locator.find(seconds(15), id),
        (Find::Servers(_), Some(_))
    ));
    let gone = answer("a.example.com", Set::Nothing { ttl_s: 5 });
    locator.answer(seconds(16), id, &gone, &mut due);
    assert_eq!(locator.find(seconds(17), id), (Find::Nothing, None));
    assert!(locator.stale(seconds(17), id).is_empty());
}

#[test]
fn wrong_and_lost_answers_end_in_another_question() {
    let mut locator = locator();
    let id = name(&mut locator, "sip:a.example.com:5060");
    assert!(locator.find(AT, id).1.is_some());
    assert_eq!(locator.find(seconds(7), id), (Find::Asked, None));
    assert!(matches!(
        locator.find(seconds(8), id),
        (Find::Asked, Some(_))
    ));
    let other = answer("b.example.com", found(10));
    assert_eq!(
        locator.answer(seconds(8), id, &other, &mut Vec::new()),
        LookupOutcome::Failed
    );
    assert_eq!(locator.find(seconds(9), id), (Find::Failed, None));
}

#[test]
fn at_its_bounds_old_names_go_and_questions_wait() {
    let mut locator = locator();
    let text = |number: usize| format!("sip:n{number}.example.com");
    let first = name(&mut locator, &text(0));
    for number in 1..=limits::DNS_NAMES_MAX {
        let id = name(&mut locator, &text(number));
        locator.find(seconds(1), id);
    }
    assert_eq!(locator.len(), limits::DNS_NAMES_MAX);
    assert_eq!(locator.find(AT, first), (Find::Failed, None));
    assert_eq!(locator.questions_out, limits::DNS_QUESTIONS_MAX);
    let late = name(&mut locator, &text(limits::DNS_NAMES_MAX));
    assert_eq!(locator.find(seconds(2), late), (Find::Failed, None));
    let unwanted = locator.answer(AT, first, &Records::default(), &mut Vec::new());
    assert_eq!(unwanted, LookupOutcome::Unwanted);
}
