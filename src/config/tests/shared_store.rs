//! A store that several homes share.

use super::*;

fn home(store: &str) -> Result<Home, Mistake> {
    let text = format!("{HEAD}{HOME}").replace("\"location.redb\"", store);
    read(&text).map(|config| match config.role {
        Role::Home(home) => home,
        Role::Edge(_) => panic!("not a home"),
    })
}

/// The sentence about a store, in a file that names keys or not.
fn mistake(store: &str) -> String {
    home(store).unwrap_err().to_string()
}

/// A home with this store and a file of keys, which a test has for itself.
fn with_keys(test: &str, store: &str) -> Result<Home, Mistake> {
    let keys = std::env::temp_dir().join(format!("keys-{test}-{}", std::process::id()));
    std::fs::write(&keys, "5a".repeat(32)).unwrap();
    let name = keys.display().to_string();
    let read = home(&format!("{store}\nnonce_key_file = {name:?}\n"));
    std::fs::remove_file(&keys).unwrap();
    read
}

#[test]
fn a_store_is_a_file_or_a_place_that_homes_share() {
    let read = |store: &str| with_keys("place", store);
    for (store, shown) in [
        ("valkey://192.0.2.7", "valkey://192.0.2.7:6379/0"),
        (
            "redis://:pear@192.0.2.7:7000/3",
            "valkey://192.0.2.7:7000/3",
        ),
        (
            "valkeys://joe:pear@store.example.com",
            "valkeys://store.example.com:6379/0",
        ),
        (
            "rediss://store.example.com:6380",
            "valkeys://store.example.com:6380/0",
        ),
    ] {
        let home = read(&format!("{store:?}")).unwrap();
        assert!(
            home.settings.is_shared && home.settings.is_stored,
            "{store}"
        );
        let Some(StoreAt::Shared(at)) = home.store else {
            panic!("{store} is a file")
        };
        assert_eq!(at.to_string(), shown);
        // No password is shown to anybody.
        assert!(!format!("{at:?}").contains("pear"), "{at:?}");
    }
}

#[test]
fn a_store_may_have_several_nodes_or_sentinels() {
    let read = |store: &str| with_keys("nodes", store);
    for (store, shown) in [
        (
            "valkey://:pear@192.0.2.7,192.0.2.8:7000/1",
            "valkey://192.0.2.7:6379,192.0.2.8:7000/1",
        ),
        (
            "rediss-sentinel://joe:pear@[2001:db8::1],192.0.2.8:7000/main",
            "valkeys-sentinel://2001:db8::1:26379,192.0.2.8:7000/main/0",
        ),
    ] {
        let home = read(&format!("{store:?}")).unwrap();
        let Some(StoreAt::Shared(at)) = home.store else {
            panic!("{store} is a file")
        };
        assert_eq!((at.urls.len(), at.to_string().as_str()), (2, shown));
        // Sentinels are not given the password of the store.
        let sentinel = at.group.map(|group| {
            assert!(group.url.contains("joe:pear@") && group.name == "main");
            at.urls.iter().any(|url| url.contains("pear"))
        });
        assert_ne!(sentinel, Some(true));
    }
}

#[test]
fn what_is_no_store_is_said_without_its_password() {
    let read = |store: &str| with_keys("wrong", store);
    for store in [
        "valkey-sentinel://192.0.2.7",
        "http://192.0.2.7",
        "valkey://",
        "valkeys://192.0.2.7/#insecure",
        "valkey://h:pear",
    ] {
        let said = read(&format!("{store:?}")).unwrap_err().to_string();
        let should = "`store` names a store that cannot be read: it should be like \"valkey://192.0.2.7:6379\"";
        assert!(said.contains(should), "{said}");
        assert!(!said.contains("pear"), "{said}");
    }
    let said = read("\"valkey://192.0.2.7\"\nstore_ca = \"ca.pem\"")
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("has a `store_ca` beside it, which is for TLS"),
        "{said}"
    );
    let home = read("\"valkeys://192.0.2.7\"\nstore_ca = \"ca.pem\"").unwrap();
    let Some(StoreAt::Shared(at)) = home.store else {
        panic!("it is a file")
    };
    assert!(at.ca.is_some_and(|path| path.is_absolute()));
}

#[test]
fn homes_that_share_a_store_share_the_keys_of_their_nonces() {
    let said = mistake("\"valkey://192.0.2.7\"");
    assert!(
        said.contains("name the file of their keys in `nonce_key_file`"),
        "{said}"
    );
    let said = mistake("\"location.redb\"\nstore_ca = \"ca.pem\"");
    assert!(said.contains("and `store` is a file"), "{said}");
}
