use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::config::{Role, reference};
use crate::id::Transport;

fn options(dir: &Path) -> Options {
    Options {
        domain: "example.net".to_owned(),
        dir: Some(dir.to_owned()),
        home: HOME,
        edges: EDGES.to_vec(),
        service: false,
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("steadfast-init-{name}-{}", std::process::id()));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    folder
}

#[test]
fn what_is_written_can_be_run_and_is_its_owners_alone() {
    let dir = folder("written");
    let said = run(&options(&dir)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let mut names = Vec::new();
    for file in std::fs::read_dir(&dir).unwrap() {
        let file = file.unwrap();
        assert_eq!(mode(&file.path()), 0o600, "{file:?}");
        if file.path().extension().is_some_and(|end| end == "toml") {
            reference::tests::fits(&std::fs::read_to_string(file.path()).unwrap());
        }
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    let want = "ca.key ca.pem cluster.key e1.toml e2.toml e3.toml edge.key edge.pem home.key \
                home.pem home.toml nonce.key users.txt";
    assert_eq!(names.join(" "), want);
    let config = config::load(&dir.join("e2.toml")).unwrap();
    assert_eq!(config.warnings(), Vec::<&str>::new());
    let Role::Edge(edge) = config.role else {
        panic!("not an edge")
    };
    assert_eq!((edge.members.len(), edge.token_keys.len()), (3, 1));
    assert_eq!(
        config.listen[2],
        (Transport::Tls, "127.0.0.22:5061".parse().unwrap())
    );
    let config = config::load(&dir.join("home.toml")).unwrap();
    assert_eq!(config.warnings(), Vec::<&str>::new());
    assert!(said.contains(&format!(
        "steadfast run --config {}/$node.toml",
        dir.display()
    )));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn nothing_is_written_over() {
    let dir = folder("over");
    std::fs::create_dir(&dir).unwrap();
    // The last one of those that would be written; a link that leads nowhere is there too.
    std::os::unix::fs::symlink("nowhere", dir.join("e3.toml")).unwrap();
    let why = run(&options(&dir)).unwrap_err().to_string();
    let want = format!(
        "{}/e3.toml is there already, and nothing was written: name another folder with --dir",
        dir.display()
    );
    assert_eq!(why, want);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn addresses_of_ipv6_and_the_folders_of_a_service_are_written() {
    let dir = folder("service");
    let said = run(&Options {
        home: "2001:db8::10".parse().unwrap(),
        edges: vec!["2001:db8::11".parse().unwrap()],
        service: true,
        ..options(&dir)
    })
    .unwrap();
    let edge = config::load(&dir.join("e1.toml")).unwrap();
    assert_eq!(edge.control, Some("/run/steadfast/e1.sock".into()));
    assert_eq!(
        edge.flows.unwrap().path,
        Path::new("/var/lib/steadfast/e1.flows")
    );
    let Role::Home(home) = config::load(&dir.join("home.toml")).unwrap().role else {
        panic!("not a home")
    };
    assert_eq!(
        home.store,
        Some(config::StoreAt::File("/var/lib/steadfast/home.redb".into()))
    );
    let want = "install -o steadfast -m 600 -t /etc/steadfast e1.toml ca.pem edge.pem edge.key \
                cluster.key\n  systemctl enable --now steadfast@e1\n";
    assert!(said.contains(want), "{said}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn who_names_an_address_twice_is_told() {
    let dir = folder("twice");
    let options = Options {
        edges: vec![HOME],
        ..options(&dir)
    };
    let why = run(&options).unwrap_err().to_string();
    assert_eq!(
        why,
        "127.0.0.20 is named twice: each node has an address of its own"
    );
    assert!(!dir.exists());
}
