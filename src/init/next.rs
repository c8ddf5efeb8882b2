//! What comes next, as commands that can be pasted.

use std::path::Path;

use super::files::Domain;

/// The page printed at the end; `passwords` are for joe and ann, whom it proposes.
pub(super) fn steps(domain: &Domain, folder: &Path, passwords: &[String; 2]) -> String {
    let dir = quoted(folder);
    let name = &domain.name;
    let nodes: Vec<String> = domain.nodes().collect();
    let list = nodes.join(" ");
    let mut text = format!(
        "
Written to {dir}: a home for {name}, {edges} of {cluster},
their keys, and an authority with certificates for ten years. Whoever has ca.key can make
himself an edge or a home: keep it off the nodes. All files are their owner's alone.

Look that each can run:

  for node in {list}; do steadfast check --config {dir}/$node.toml; done

Subscribers, with passwords that were made for this page and are kept nowhere else:

  echo 'joe {name} password={joe}' >>{dir}/users.txt
  echo 'ann {name} password={ann}' >>{dir}/users.txt
",
        edges = match domain.edges.len() {
            1 => "an edge".to_owned(),
            many => format!("{many} edges"),
        },
        cluster = domain.cluster(),
        joe = passwords[0],
        ann = passwords[1],
    );
    text.push_str(&if domain.service {
        installing(domain, &dir)
    } else {
        running(domain, &dir, &list, passwords)
    });
    text.push_str(&format!(
        "
What the DNS should say of them, and after that whether it does:

  steadfast zone --config {dir}/e1.toml
  steadfast check --dns --config {dir}/e1.toml

"
    ));
    text
}

/// On machines of their own.
fn installing(domain: &Domain, dir: &str) -> String {
    let mut text = "\nOn each machine, with the files named here from that folder and the package \
                    installed:\n\n"
        .to_owned();
    let addresses = std::iter::once(&domain.home).chain(&domain.edges);
    for (node, ip) in domain.nodes().zip(addresses) {
        let files = Domain::files_of(&node).join(" ");
        text.push_str(&format!(
            "  # {ip}, in {dir}\n  \
             install -o steadfast -m 600 -t /etc/steadfast {files}\n  \
             systemctl enable --now steadfast@{node}\n"
        ));
    }
    text
}

/// On this one.
fn running(domain: &Domain, dir: &str, list: &str, passwords: &[String; 2]) -> String {
    let (name, cluster) = (&domain.name, domain.cluster());
    let first = domain.edges.first().copied().unwrap_or(domain.home);
    let last = domain.edges.last().copied().unwrap_or(domain.home);
    let [home, first, last] =
        [domain.home, first, last].map(|ip| std::net::SocketAddr::new(ip, 5061));
    let phone =
        |at| format!("--home {home} --resolve {cluster}={at} --transport tls --ca {dir}/ca.pem");
    let (joe, ann) = (&passwords[0], &passwords[1]);
    format!(
        "
Run them, each with its log beside its file:

  for node in {list}; do steadfast run --config {dir}/$node.toml 2>{dir}/$node.log & done; sleep 2

A call between two phones without media:

  steadfast ua listen sip:ann@{name} --password {ann} {ann_at} --calls 1 & sleep 2
  steadfast ua call sip:joe@{name} sip:ann@{name} --password {joe} {joe_at} --for 2 --verbose

Where a call to joe would go, and what was refused:

  steadfast why sip:joe@{name} --node {dir}/home.toml
  steadfast rejected --node {dir}/home.toml
",
        ann_at = phone(last),
        joe_at = phone(first),
    )
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%:".contains(c);
    if path.chars().all(is_plain) {
        path
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}
