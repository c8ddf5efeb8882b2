use super::trial::{Trial, UDP};
use crate::limits;

#[test]
fn at_the_bound_nothing_that_runs_is_disturbed() {
    let mut t = Trial::new();
    let ids: Vec<_> = std::iter::from_fn(|| t.txn.reserve(0)).collect();
    assert_eq!(
        (ids.len(), t.txn.reserve_cancel(ids[0], 0)),
        (limits::TRANSACTIONS_MAX, None)
    );
    assert_eq!(t.txn.client_owner(ids[0]), Some(0));
    t.txn.abandon(ids[7]);
    assert_eq!(t.txn.reserve(0).map(|id| id.0.index), Some(7));
}

#[test]
fn buffers_return_as_soon_as_they_cannot_be_needed() {
    let mut t = Trial::new();
    let id = t.client("INVITE", UDP);
    assert_eq!(
        (t.pool.idle(), t.hear(id, 200), t.pool.idle()),
        (0, "pass", 1)
    );
    let id = t.client("INVITE", UDP);
    assert_eq!(
        (t.pool.idle(), t.hear(id, 404), t.pool.idle()),
        (0, "pass and ack", 0)
    );
    assert_eq!((t.ack(id), t.pool.idle()), ("ACK", 1));
    let id = t.server("INVITE", UDP);
    assert_eq!((t.answer(id, 180), t.pool.idle()), ("180", 0));
    assert_eq!((t.answer(id, 200), t.pool.idle()), ("200", 2));
}
