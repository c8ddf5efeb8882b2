//! The page of a node: what its HTTP says, and how a browser shows it while an edge dies.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use steadfast::limits;
use steadfast::view::View;

use crate::browser::Browser;
use crate::lab::{EDGES, HOME, Lab, PHONES, port};
use crate::load::brief_calls;
use crate::process::poll;
use crate::register::register;

const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to the metrics port of a node that has asked for a page.
fn ask(node: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect((node, 9090)).expect("the node listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket takes a time-out");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {node}:9090\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    stream
}

fn fetch(node: &str, path: &str) -> (String, String) {
    let mut answer = String::new();
    ask(node, path)
        .read_to_string(&mut answer)
        .expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("it is an answer");
    (head.to_lowercase(), body.to_owned())
}

/// What has come of a stream once it holds `word`.
fn until(stream: &mut TcpStream, word: &str) -> String {
    let (mut all, mut piece) = (String::new(), [0; 4_096]);
    while !all.contains(word) {
        let count = stream.read(&mut piece).expect("it goes on");
        assert!(count > 0, "it ended: {all}");
        all.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    all
}

fn view(node: &str) -> View {
    let (head, body) = fetch(node, "/view");
    assert!(head.contains("content-type: application/json"), "{head}");
    serde_json::from_str(&body).expect("it is a view")
}

/// Has a home refuse a call for nobody.
fn call_nobody() {
    let from = port();
    let socket = UdpSocket::bind((PHONES, from)).expect("it was seen free");
    let invite = format!(
        "INVITE sip:nobody@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP {PHONES}:{from};rport;branch=z9hG4bK-page\r\nMax-Forwards: 70\r\n\
         From: <sip:eve@elsewhere.example>;tag=a\r\nTo: <sip:nobody@example.com>\r\n\
         Call-ID: page\r\nCSeq: 1 INVITE\r\nContact: <sip:eve@{PHONES}:{from}>\r\n\
         Content-Length: 0\r\n\r\n"
    );
    socket
        .send_to(invite.as_bytes(), (HOME, 5060))
        .expect("it leaves");
}

#[test]
fn the_page_is_read_only_takes_nothing_from_elsewhere_and_has_few_listeners() {
    let lab = Lab::start("page-http");
    for path in ["/", "/page.js", "/page.css", "/view"] {
        let (head, body) = fetch(EDGES[0], path);
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert!(
            head.contains(
                "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; "
            ) && !head.contains("unsafe-inline")
                && head.contains("x-content-type-options: nosniff"),
            "{head}"
        );
        // Nothing of the page names another place, or stands where the policy forbids it.
        let is_clean = ["https://", "style=", "onclick", "javascript:", "<style"]
            .iter()
            .all(|word| !body.contains(word));
        assert!(is_clean, "{path}: {body}");
    }
    let mut post = TcpStream::connect((EDGES[0], 9090)).expect("the node listens");
    let request =
        b"POST /view HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    post.write_all(request).expect("it reads");
    let refused = until(&mut post, "\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 405 "), "{refused}");
    // What may change something is not on this port.
    for path in ["/bindings", "/reload", "/rejected", "/why"] {
        let (head, _) = fetch(EDGES[0], path);
        assert!(head.starts_with("http/1.1 404 "), "{path}: {head}");
    }
    let mut all: Vec<_> = (0..limits::PAGE_LISTENERS_MAX)
        .map(|_| ask(EDGES[0], "/events"))
        .collect();
    for listener in &mut all {
        let said = until(listener, "data: {");
        assert!(
            said.to_lowercase()
                .contains("content-type: text/event-stream"),
            "{said}"
        );
    }
    let (head, _) = fetch(EDGES[0], "/events");
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    // One who goes gives his place back.
    drop(all);
    let free = poll(PATIENCE, || {
        let mut stream = ask(EDGES[0], "/events");
        let said = until(&mut stream, "\r\n");
        said.starts_with("HTTP/1.1 200 ").then_some(())
    });
    assert!(free.is_some(), "{}", lab.last_words());
}

/// A failure that is listed has a ladder, some at a time; nothing else has one.
fn ladders() {
    let (head, body) = fetch(HOME, "/ladder?call_id=page");
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(
        head.contains("content-security-policy: default-src 'none'; script-src 'self'; ")
            && head.contains("content-type: text/html"),
        "{head}"
    );
    for part in [
        "INVITE from eve@elsewhere.example to nobody@example.com",
        "came to     404 ",
        "because     home answers 404 itself: ",
        "steadfast trace --call-id page --node ",
    ] {
        assert!(body.contains(part), "no {part:?}: {body}");
    }
    assert!(
        !body.contains("https://") && !body.contains("style="),
        "{body}"
    );
    for path in ["/ladder", "/ladder?call_id=other"] {
        let (head, _) = fetch(HOME, path);
        assert!(head.starts_with("http/1.1 404 "), "{path}: {head}");
    }
    let waiting = limits::PAGE_LADDERS_WAITING;
    let mut all: Vec<_> = (0..waiting + 3)
        .map(|_| ask(HOME, "/ladder?call_id=page"))
        .collect();
    let began = Instant::now();
    let mut heads: Vec<_> = all.iter_mut().map(|one| until(one, "\r\n")).collect();
    heads.retain(|head| head.starts_with("HTTP/1.1 200 "));
    assert_eq!(heads.len(), waiting);
    assert!(
        began.elapsed() >= limits::PAGE_LADDER_EVERY * 3,
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_view_says_who_is_there_and_what_happened() {
    let lab = Lab::start("page-view");
    let (joe, ann) = (port(), port());
    register(&lab, "joe", EDGES[0], joe);
    register(&lab, "ann", EDGES[1], ann);
    brief_calls(&lab, (20, 20), (joe, ann));
    call_nobody();
    let home = poll(PATIENCE, || {
        Some(view(HOME)).filter(|view| !view.rejected.is_empty())
    });
    let home = home.expect("the home has refused something");
    let refused = home.rejected.last().expect("there is one");
    assert_eq!(
        (&*refused.method, &*refused.target, refused.status),
        ("INVITE", "nobody@example.com", 404)
    );
    let failed = home.failed.last().expect("it is there, too");
    assert_eq!(
        (&*failed.call_id, &*failed.method, failed.status),
        ("page", "INVITE", 404)
    );
    ladders();
    assert_eq!((&*home.role, &*home.cluster), ("home", "example.com"));
    let of = |view: &View| -> Vec<_> {
        let all = view.neighbours.iter();
        all.map(|it| (it.name.clone(), it.kind.clone())).collect()
    };
    let named = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    assert_eq!(of(&home), EDGES.map(|ip| named(ip, "edge")));
    let edge = view(EDGES[0]);
    let want = [
        named(HOME, "home"),
        named("e2", "edge"),
        named("e3", "edge"),
    ];
    assert_eq!(of(&edge), want);
    assert_eq!(edge.neighbours[0].state, "up", "{edge:?}");
    assert_eq!(edge.set_up.iter().sum::<u64>(), 20, "{edge:?}");
    assert!(
        edge.counted.calls >= 20 && edge.not_ready.is_empty(),
        "{edge:?}"
    );
    assert_eq!(edge.held.phones[0], ("udp".to_owned(), 1), "{edge:?}");
}

/// Where pictures of the page are kept.
fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

fn state(name: &str, state: &str) -> String {
    format!("document.querySelector('[data-name=\"{name}\"]')?.dataset.state === '{state}'")
}

#[test]
fn a_browser_shows_the_cluster_and_an_edge_that_dies() {
    let lab = Lab::start("page");
    let Some(mut browser) = Browser::start(&lab.path("chromium")) else {
        return;
    };
    let (joe, ann) = (port(), port());
    register(&lab, "joe", EDGES[0], joe);
    register(&lab, "ann", EDGES[1], ann);
    let folder = pictures();
    browser.look((1_600, 620), false);
    browser.open(&format!("http://{}:9090/", EDGES[0]));
    browser.until("document.getElementById('node').textContent === 'e1'");
    browser.until("document.getElementById('ready').textContent === 'ready'");
    brief_calls(&lab, (20, 60), (joe, ann));
    browser.until(&state(HOME, "up"));
    browser.until(&state("e2", "up"));
    browser.until("document.getElementById('set-up').textContent.includes('s / ')");
    let page = "document.querySelector('#picture [data-name=e2] a')?.getAttribute('href')";
    let url = format!("http://{}:9090/", EDGES[1]);
    assert_eq!(
        browser.value(page),
        url.as_str(),
        "it leads to the page of e2"
    );
    browser.picture(&folder.join("1600-light.png"));
    browser.look((1_600, 620), true);
    browser.picture(&folder.join("1600-dark.png"));
    let light = "rgb(245, 246, 247)";
    let ground = "getComputedStyle(document.body).backgroundColor";
    assert_ne!(browser.value(ground), light, "it is dark");
    for (width, name) in [(360, "360-light.png"), (800, "800-light.png")] {
        browser.look((width, 800), false);
        browser.until(&format!("innerWidth === {width}"));
        // It is drawn anew for the width, and nothing stands out.
        browser.until("document.documentElement.scrollWidth <= innerWidth");
        browser.until(&state("e2", "up"));
        browser.picture(&folder.join(name));
    }
    assert_eq!(browser.value(ground), light);
    browser.look((1_600, 620), false);

    lab.signal("-9", EDGES[1]);
    browser.until(&state("e2", "down"));
    let told = "document.getElementById('told').innerText.includes('e2 (127.0.0.12')";
    browser.until(told);
    browser.picture(&folder.join("edge-killed.png"));
    assert!(browser.value(&state(HOME, "up")) == true);

    // The home sees it too, by the address that it knows.
    browser.open(&format!("http://{HOME}:9090/"));
    call_nobody();
    browser.until(&state(EDGES[1], "down"));
    browser.until(&state(EDGES[0], "up"));
    let refused = "document.getElementById('rejected').innerText.includes('to nobody@example.com')";
    browser.until(refused);
    let listed = "document.getElementById('failures').innerText.includes('404 ')";
    browser.until(listed);
    browser.picture(&folder.join("home.png"));
    // What it is listed by leads to its ladder, and that back to the page.
    browser.value("document.querySelector('#failures a').click()");
    let drawn =
        "document.getElementById('ladder')?.innerText.includes('came to     404 ') === true";
    browser.until(drawn);
    let mono =
        "getComputedStyle(document.getElementById('ladder')).fontFamily.includes('monospace')";
    assert_eq!(
        browser.value(mono),
        true,
        "its columns stand below one another"
    );
    browser.picture(&folder.join("ladder.png"));
    browser.value("document.querySelector('h1 a').click()");
    browser.until(listed);
    assert_eq!(browser.complaints, [""; 0]);
    eprintln!("pictures of the page: {}", folder.display());
}
