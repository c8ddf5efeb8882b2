//! What a running node is told to change, it changes without an end.

use crate::lab::{EDGES, HOME, Lab};

#[test]
fn a_hang_up_has_the_files_read_again_and_ends_nobody() {
    let lab = Lab::start("hangup");
    let read = |log: &str| log.matches("read the subscribers").count();
    let before = read(&lab.log_until("home", |log| read(log) >= 2));
    let ids = [HOME, EDGES[0]].map(|node| lab.process_of(node));
    for node in [HOME, EDGES[0]] {
        lab.signal("-HUP", node);
    }
    lab.log_until("home", |log| read(log) > before);
    // What is added from here on is noticed as ever.
    let users = lab.path("lab/users.txt");
    let mut text = std::fs::read_to_string(&users).expect("the lab wrote it");
    text.push_str("new example.com password=secret\n");
    std::fs::write(&users, text).expect("a file can be written");
    lab.until_known("new");
    assert_eq!([HOME, EDGES[0]].map(|node| lab.process_of(node)), ids);
    assert!(lab.page("e1", "/healthz").ends_with("shards answer\n"));
}
