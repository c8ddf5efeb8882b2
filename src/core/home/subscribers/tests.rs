//! The file of the subscribers: what is read, found and revoked.

use super::*;

const MD5: &str = "3d78807defe7de2157e2b0b6573a855f";
const SHA256: &str = "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232";

fn hex(subscriber: &SubscriberEntry, algorithm: Algorithm) -> Option<String> {
    subscriber
        .ha1(algorithm)
        .map(|h| String::from_utf8(h.as_bytes().to_vec()).unwrap())
}

// A-2
#[test]
fn a_password_gives_every_hash() {
    let list =
        Subscribers::parse("# all of them\n\n  joe http-auth@example.org password=x=y#z\r\n")
            .unwrap();
    assert_eq!(list.len(), 1);
    let joe = list.find(b"joe", b"http-auth@example.org").unwrap();
    assert_eq!(
        joe.algorithms().collect::<Vec<_>>(),
        Algorithm::STRONGEST_FIRST
    );
    for algorithm in Algorithm::STRONGEST_FIRST {
        let want = digest::ha1(algorithm, b"joe", b"http-auth@example.org", b"x=y#z");
        assert_eq!(joe.ha1(algorithm), Some(want));
    }
}

// A-2: only what the subscriber can answer is offered.
#[test]
fn hashes_are_taken_as_given() {
    let upper = SHA256.to_ascii_uppercase();
    let text = format!("Mufasa r md5={MD5}\nnala r sha256={upper} md5={MD5}\n");
    let list = Subscribers::parse(&text).unwrap();
    let mufasa = list.find(b"Mufasa", b"r").unwrap();
    assert_eq!(mufasa.algorithms().collect::<Vec<_>>(), [Algorithm::Md5]);
    assert_eq!(hex(mufasa, Algorithm::Md5).as_deref(), Some(MD5));
    assert_eq!(hex(mufasa, Algorithm::Sha256), None);
    let nala = list.find(b"nala", b"r").unwrap();
    assert_eq!(
        nala.algorithms().collect::<Vec<_>>(),
        [Algorithm::Sha256, Algorithm::Md5]
    );
    assert_eq!(hex(nala, Algorithm::Sha512_256), None);
    assert_eq!(hex(nala, Algorithm::Sha256).as_deref(), Some(SHA256));
    assert_eq!(hex(nala, Algorithm::Md5).as_deref(), Some(MD5));
}

#[test]
fn a_subscriber_is_found_by_user_and_realm_alone() {
    let list = Subscribers::parse("joe a password=1\njoe b password=2\nJoe a password=3").unwrap();
    assert_eq!(list.len(), 3);
    let names = |s: &SubscriberEntry| (s.user().to_vec(), s.realm().to_vec());
    assert_eq!(
        list.find(b"joe", b"b").map(names),
        Some((b"joe".to_vec(), b"b".to_vec()))
    );
    assert_eq!(
        list.find(b"Joe", b"a").map(names),
        Some((b"Joe".to_vec(), b"a".to_vec()))
    );
    assert_eq!(list.find(b"joe", b"c").map(names), None);
    assert_eq!(list.find(b"jo", b"ea").map(names), None);
    assert_eq!(list.find(b"", b"").map(names), None);
}

#[test]
fn who_is_gone_or_has_another_password_is_revoked() {
    let old = "joe A.example password=1\nann A.example password=1\nbob A.example password=1\n";
    let old = Subscribers::parse(&format!("{old}eve r md5={MD5}\nzoe r md5={MD5}")).unwrap();
    let revoked = |text: &str| {
        let newer = Subscribers::parse(text).unwrap();
        let all = old.revoked_by(&newer);
        let names = all.iter().map(|aor| String::from_utf8_lossy(aor));
        let mut names: Vec<_> = names.map(std::borrow::Cow::into_owned).collect();
        names.sort_unstable();
        names
    };
    let newer = format!(
        "joe A.example password=1\nann A.example password=2\nnew A.example password=1\n\
         eve r md5={MD5} sha256={SHA256}\nzoe r sha256={SHA256}"
    );
    assert_eq!(revoked(&newer), ["ann@a.example", "bob@a.example", "zoe@r"]);
    assert_eq!(revoked("").len(), 5);
}

#[test]
fn a_bad_line_is_named() {
    #[track_caller]
    fn check(text: &str, line: usize, why: &str) {
        let bad = Subscribers::parse(text).unwrap_err();
        assert_eq!((bad.line, bad.why), (line, why));
    }
    check("joe", 1, "a line is: user realm password=...");
    check("\n#\njoe password=x", 3, "the realm is missing");
    check("joe r", 1, "neither a password nor a hash");
    check("joe r password=", 1, "the password is empty");
    check(
        "joe r password=a b",
        1,
        "what follows the realm is name=value, without spaces",
    );
    check(
        "joe r password=a password=a",
        1,
        "the password is there twice",
    );
    check(
        "joe r pasword=a",
        1,
        "only password, md5, sha256 and sha512-256 are known",
    );
    check("joe r md5=3d78", 1, "a hash has the wrong length");
    check("joe r md5=xyz", 1, "a hash is not in hex");
    check(
        &format!("joe r md5={MD5} md5={MD5}"),
        1,
        "a hash is there twice",
    );
    check(
        &format!("joe r md5={MD5} password=a"),
        1,
        "a password already gives every hash",
    );
    check(
        &format!("joe r sha256={MD5}"),
        1,
        "a hash has the wrong length",
    );
    check(
        "a r password=1\nb r password=1\na r password=2",
        3,
        "this user of this realm is already there",
    );
    let long = format!("{} r password=1", "x".repeat(70_000));
    check(&long, 1, "a name is too long");
}

#[test]
fn a_bad_line_reads_as_a_sentence() {
    let bad = Subscribers::parse("joe r").unwrap_err();
    assert_eq!(bad.to_string(), "line 1: neither a password nor a hash");
}

#[test]
fn the_list_is_shared_and_shows_no_secret() {
    fn shared<T: Send + Sync>(_: &T) {}
    let list = Subscribers::parse("joe r password=secret").unwrap();
    shared(&list);
    assert_eq!(
        format!("{:?}", list.find(b"joe", b"r")),
        "Some(Subscriber(joe r))"
    );
}
