//! `recorder`, `hep` and `events`.

use super::*;
use crate::config::recording::{Events, Hep};

fn read_with(keys: &str) -> Result<Recording, String> {
    let config = read(&format!("{HEAD}shards = 1\n{keys}{EDGE}"));
    config
        .map(|config| config.recording)
        .map_err(|mistake| mistake.to_string())
}

#[test]
fn what_is_kept_and_told_is_read_with_its_defaults() {
    let plain = read_with("").unwrap();
    assert_eq!(plain.recorder, 64 << 20);
    assert_eq!((plain.hep, plain.events), (None, None));
    assert_eq!(read_with("recorder = \"0\"\n").unwrap().recorder, 0);
    assert_eq!(read_with("recorder = \"2G\"\n").unwrap().recorder, 2 << 30);
    let keys = "hep = \"tcp:homer.example.com:9060\"\nhep_id = 7\nhep_password = \"pw\"\nevents = \"file:events\"\n";
    let all = read_with(keys).unwrap();
    let hep = Hep {
        is_tcp: true,
        server: "homer.example.com:9060".to_owned(),
        id: 7,
        password: Some("pw".to_owned()),
    };
    assert_eq!(all.hep, Some(hep));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    assert_eq!(all.events, Some(Events::File(file)));
    let all =
        read_with("hep = \"udp:[2001:db8::9]:9060\"\nevents = \"unix:/run/e.sock\"\n").unwrap();
    assert_eq!(all.events, Some(Events::Socket("/run/e.sock".into())));
    let hep = all.hep.unwrap();
    assert_eq!(
        (hep.is_tcp, hep.id, hep.server.as_str()),
        (false, 2_001, "[2001:db8::9]:9060")
    );
}

#[test]
fn what_cannot_be_kept_or_told_is_a_mistake() {
    let wrong = |keys: &str, want: &str| {
        let said = read_with(keys).unwrap_err();
        assert_eq!(said, format!("e1.toml, line {want}"));
    };
    wrong(
        "recorder = \"64\"\n",
        "4: `recorder` is \"64\", which should be \"0\" or between \"1M\" and \"16G\"",
    );
    wrong(
        "recorder = \"much\"\n",
        "4: `recorder` is \"much\", which should be like \"64M\"",
    );
    wrong(
        "hep = \"sctp:192.0.2.9:9060\"\n",
        "4: `hep` is \"sctp:192.0.2.9:9060\", which should be like \"udp:192.0.2.9:9060\" or \
         \"tcp:homer.example.com:9060\"",
    );
    wrong(
        "hep_id = 7\n",
        "4: `hep_id` is for the collector that `hep` names, and there is none",
    );
    wrong(
        "events = \"/var/log/events\"\n",
        "4: `events` is \"/var/log/events\", which should be like \"file:/var/log/steadfast/events\" or \
         \"unix:/run/events.sock\"",
    );
    wrong(
        "recorder = \"0\"\nevents = \"file:events\"\n",
        "5: `events` is told what the recorder keeps, and `recorder` is \"0\": give it some memory",
    );
}

#[test]
fn the_recorder_has_an_eighth_of_the_memory_at_the_most() {
    let config = |keys: &str| read(&format!("{HEAD}shards = 1\n{keys}{EDGE}")).unwrap();
    let mib = |keys: &str| config(keys).recorder() >> 20;
    assert_eq!(mib("memory = \"none\"\n"), 64);
    assert_eq!(mib("memory = \"2G\"\n"), 64);
    assert_eq!(mib("memory = \"256M\"\n"), 32);
    assert_eq!(mib("memory = \"256M\"\nrecorder = \"8M\"\n"), 8);
    assert_eq!(mib("memory = \"256M\"\nrecorder = \"0\"\n"), 0);
    // A shard keeps something all the same.
    let config = |shards: usize| {
        let keys = format!("{HEAD}shards = {shards}\nmemory = \"64M\"\n{EDGE}");
        read(&keys).unwrap()
    };
    assert_eq!(config(16).recorder(), 16 * limits::RECORDER_BYTES_MIN);
    let says = |keys: &str| {
        let warnings = read(&format!("{HEAD}shards = 1\n{keys}{EDGE}"))
            .unwrap()
            .warnings();
        warnings
            .iter()
            .any(|it| it.starts_with("the recorder keeps 32 MiB and not what"))
    };
    assert!(says("memory = \"256M\"\nrecorder = \"64M\"\n"));
    // What nobody has named is less without a word but that of the log.
    assert!(!says("memory = \"256M\"\n"));
}
