use std::sync::LazyLock;

use jsonschema::Validator;
use toml::{Table, Value as Toml};

use super::super::tests::{EDGE, HEAD, HOME, read};
use super::*;

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(&schema().to_value()).unwrap());

/// What the schema has against a file.
fn objections(text: &str) -> Vec<String> {
    let table: Table = text.parse().unwrap();
    let json = serde_json::to_value(&table).unwrap();
    let errors = VALIDATOR.iter_errors(&json);
    let at = |path: &dyn std::fmt::Display, why: &dyn std::fmt::Display| format!("{path}: {why}");
    errors
        .map(|error| at(&error.instance_path(), &error))
        .collect()
}

/// Holds a file that the reader takes to the schema.
#[track_caller]
pub(crate) fn fits(text: &str) {
    assert_eq!(objections(text), Vec::<String>::new(), "{text}");
}

#[test]
fn the_readme_has_the_reference() {
    const FROM: &str = "<!-- steadfast config reference -->\n";
    const TO: &str = "<!-- the end of it -->\n";
    let readme = include_str!("../../../README.md");
    let block = readme
        .split_once(FROM)
        .and_then(|(_, rest)| rest.split_once(TO));
    let (block, _) = block.expect("the README has a place for the reference");
    assert_eq!(
        block.trim(),
        markdown().trim(),
        "put what `steadfast config reference` prints between the two marks"
    );
}

#[test]
fn what_is_no_configuration_does_not_fit() {
    let whole = format!("{HEAD}{EDGE}");
    fits(&whole);
    fits(&format!("{HEAD}{HOME}"));
    for (old, new, want) in [
        ("cluster =", "clutser =", "clutser"),
        ("name = \"e1\"\n", "", "name"),
        ("tcp = 5070", "tcp = 70000", "/edge/members/1/tcp"),
        ("tcp = 5070", "address = \"::1\", x = 1", "/edge/members/1"),
        (
            "\"udp:127.0.0.11:5060\"",
            "\"127.0.0.11:5060\"",
            "/listen/0",
        ),
        ("[edge]", "[edge]\nstrangers = \"maybe\"", "/edge/strangers"),
        ("[edge]", "[edge]\nset_size = \"2\"", "/edge/set_size"),
        ("[edge]", "[other]", "other"),
        ("[edge]", "[home]\n[edge]", "/home"),
    ] {
        assert!(whole.contains(old), "{old} is not there");
        let text = whole.replacen(old, new, 1);
        let text = text.replace("\"127.0.0.12\", address", "\"127.0.0.12\", advertised");
        let found = objections(&text);
        assert!(
            found.iter().any(|one| one.contains(want)),
            "{new}: {found:?}"
        );
    }
}

/// Puts a date where none is wanted, which whoever reads the key refuses.
fn with_date(base: &str, path: &[&str], key: &str) -> String {
    let mut table: Table = base.parse().unwrap();
    let mut at = &mut table;
    for step in path {
        at = match at.get_mut(*step) {
            Some(Toml::Table(table)) => table,
            Some(Toml::Array(items)) => items[0].as_table_mut().unwrap(),
            _ => panic!("{base} has no {step}"),
        };
    }
    at.insert(
        key.to_owned(),
        Toml::Datetime("1979-05-27".parse().unwrap()),
    );
    toml::to_string(&table).unwrap()
}

#[test]
fn every_key_of_the_types_is_read() {
    let head = HEAD.replace("]\n", ", \"tls:127.0.0.11:5061\"]\n");
    let tls = "[tls]\ncerts = [{ cert = \"Cargo.toml\", key = \"Cargo.toml\" }]\n";
    let dns = "[dns]\nlisten = [\"udp:127.0.0.11:53\", \"tcp:127.0.0.11:53\"]\n";
    let (edge, home) = (format!("{HEAD}{EDGE}"), format!("{HEAD}{HOME}"));
    let (secured, named) = (format!("{head}{tls}{EDGE}"), format!("{edge}{dns}"));
    let root = schema().to_value();
    let mut read_keys = 0;
    for (path, name, _) in SECTIONS {
        let base = match name {
            "home" => &home,
            "tls" | "tls.certs" => &secured,
            "dns" => &named,
            _ => &edge,
        };
        let about = section(&root, path).unwrap();
        for key in about.get("properties").unwrap().as_object().unwrap().keys() {
            let why = read(&with_date(base, path, key)).err().unwrap().to_string();
            let refused = format!("`{key}` must be ");
            assert!(
                why.contains(&refused) && why.ends_with("is a date"),
                "{key}: {why}"
            );
            read_keys += 1;
        }
    }
    assert!(read_keys > 70, "only {read_keys}");
}

#[test]
fn a_key_says_what_it_holds_and_whether_it_waits() {
    let text = markdown();
    for row in [
        "| `shards` | 1 to 128 |  | yes | How many of the machine's cores it uses, each by a shard \
         of its own; all of them where nothing is said. |",
        "| `domain` | text | needed | yes | The domain served. |",
        "| `outbound` | `\"ignore\"`, `\"require\"` | `\"ignore\"` |  | What becomes of a phone \
         that wants RFC 5626 where its first hop has no part in it. \"ignore\": it is registered \
         without. \"require\": it is refused with 439. |",
        "| `udp` | 1 to 65535 | `5060` | yes | Its UDP port. |",
    ] {
        assert!(text.contains(row), "{row}\n{text}");
    }
}
