//! What an edge keeps for its next start, and what it takes over of other members.

use super::*;

#[test]
fn an_edge_covers_what_other_members_listen_at() {
    let text = format!("{HEAD}{EDGE}covers = [\"e2\"]\n");
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    let want = [
        (Transport::Udp, at("127.0.0.12:5060")),
        (Transport::Tcp, at("127.0.0.12:5070")),
    ];
    assert_eq!(read(&text).unwrap().covered, want);
    let with = format!("{EDGE}covers = [\"e2\"]\n");
    let wrong = |new: &str, what: &str| {
        let want = format!("e1.toml, line 7: [edge] `covers` {what}");
        check(&with, "[\"e2\"]", new, &want);
    };
    wrong("[\"e1\"]", "names this node itself");
    wrong("[\"e4\"]", "names \"e4\", which is none of `members`");
}

#[test]
fn an_edge_keeps_its_flows_where_it_is_told_to() {
    let read = |more: &str| read(&format!("{HEAD}{EDGE}{more}")).unwrap();
    let told = |config: &Config| match &config.role {
        Role::Edge(edge) => edge.keeps_flows,
        Role::Home(_) => panic!("not an edge"),
    };
    let config = read("");
    assert_eq!((config.flows.as_ref(), told(&config)), (None, false));
    assert!(
        config
            .warnings()
            .iter()
            .any(|said| said.contains("`flows`"))
    );
    let config = read("flows = \"flows.table\"\n");
    let flows = config.flows.as_ref().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(
        (&flows.path, flows.most),
        (&folder.join("flows.table"), 200_000)
    );
    assert_eq!(
        (flows.at.as_str(), told(&config)),
        ("e1.toml, line 7: `flows`", true)
    );
    assert!(
        !config
            .warnings()
            .iter()
            .any(|said| said.contains("`flows`"))
    );
    let config = read("flows = \"/var/lib/f\"\nflows_max = 1000000\n");
    let flows = config.flows.unwrap();
    assert_eq!(
        (flows.path.as_path(), flows.most),
        (Path::new("/var/lib/f"), 1_000_000)
    );
    let with = |line: &str| format!("[edge]\n{line}");
    for (line, want) in [
        (
            "flows_max = 9",
            "e1.toml, line 4: [edge] `flows_max` says how many flows the file `flows` is to keep, and \
             there is none: name one",
        ),
        (
            "flows = 3",
            "e1.toml, line 4: [edge] `flows` must be the file that keeps the flows of UDP phones, such as \"flows.table\", and is 3",
        ),
        (
            "flows = \"f\"\nflows_max = 0",
            "e1.toml, line 5: [edge] `flows_max` must be the number of flows that are kept at the most, from 1 to 4194304, and is 0",
        ),
    ] {
        check(EDGE, "[edge]", &with(line), want);
    }
}
