//! Certificates that are not valid: who is told of it, and that the node is not ready.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};

use crate::lab::{metric, steadfast};
use crate::node;
use crate::process::{Process, poll};

/// How long anything of this may take.
const PATIENCE: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(86_400);
/// Where the home is, beside every lab.
const HOME: &str = "127.0.0.62";

/// Writes a certificate and its key that begin and end so many days from now.
fn issue(folder: &Path, from: i32, until: i32) {
    let at = |days: i32| {
        let span = DAY * days.unsigned_abs();
        let now = SystemTime::now();
        if days < 0 { now - span } else { now + span }
    };
    let mut params = CertificateParams::new(["example.com".to_owned()]).expect("a name");
    (params.not_before, params.not_after) = (at(from).into(), at(until).into());
    let key = KeyPair::generate().expect("there is randomness");
    let certificate = params.self_signed(&key).expect("it signs itself");
    // The key first: what is looked at in between fits to neither.
    let write = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).expect("a file can be written");
    };
    write("node.key", key.serialize_pem());
    write("node.pem", certificate.pem());
}

fn page(folder: &Path, path: &str) -> String {
    node::get(&folder.join("home.sock"), path, "").expect("it answers")
}

fn folder() -> PathBuf {
    let name = format!("certificates-{}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let text = format!(
        "name = \"home\"\nlisten = [\"udp:{HOME}:5060\", \"tcp:{HOME}:5060\", \"tls:{HOME}:5061\"]\n\
         shards = 1\ncontrol = \"home.sock\"\n[tls]\nrequire_client_cert = \"never\"\ncerts = [{{ cert = \"node.pem\", key = \"node.key\" }}]\n\
         [home]\ndomain = \"example.com\"\nsubscribers = \"users.txt\"\n\
         edges = \"sip:edge.example.com;lr\"\nedge_peers = [\"127.0.0.61\"]\n"
    );
    std::fs::write(folder.join("home.toml"), text).expect("a file can be written");
    std::fs::write(folder.join("users.txt"), "").expect("a file can be written");
    folder
}

/// What `check` warns of, on its standard error.
fn checked(folder: &Path) -> String {
    let mut command = steadfast();
    command.args(["check", "--config"]);
    let check = command.arg(folder.join("home.toml")).output();
    let check = check.expect("the program starts");
    let words = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(check.status.success(), "{words}");
    words
}

#[test]
fn of_a_certificate_that_is_not_valid_everybody_is_told_until_there_is_another() {
    let folder = folder();
    issue(&folder, 1, 90);
    assert!(checked(&folder).contains("the certificate is not valid before "));
    issue(&folder, -60, 20);
    let soon = checked(&folder);
    let is_told = ["in 19 days", "in 20 days"]
        .iter()
        .any(|days| soon.contains(days));
    assert!(
        soon.contains("the certificate ends on ") && is_told,
        "{soon}"
    );
    issue(&folder, -60, 90);
    assert!(!checked(&folder).contains("the certificate"));
    issue(&folder, -60, -1);
    assert!(checked(&folder).contains("node.pem: the certificate has expired on "));

    let mut run = steadfast();
    run.args(["run", "--config"]).arg(folder.join("home.toml"));
    let mut home = Process::start("home", &mut run, folder.join("home.log"));
    let said = |words: &str| poll(PATIENCE, || home_says(&folder, words).then_some(()));
    assert!(said("listening for SIP").is_some(), "{}", home.output());
    assert!(
        said("node.pem: the certificate has expired on ").is_some(),
        "{}",
        home.output()
    );
    let ready = page(&folder, "/readyz");
    assert!(ready.starts_with("HTTP/1.0 503 "), "{ready}");
    assert!(
        ready.ends_with("\r\n\r\nnone of its certificates is valid\n"),
        "{ready}"
    );
    assert!(page(&folder, "/livez").starts_with("HTTP/1.0 200 "));
    let until = |page: &str| metric(page, "steadfast_certificate_not_after_seconds");
    let expired = until(&page(&folder, "/metrics"));

    issue(&folder, -60, 90);
    let is_ready = || page(&folder, "/readyz").ends_with("\r\n\r\nready\n");
    assert!(
        poll(PATIENCE, || is_ready().then_some(())).is_some(),
        "{}",
        home.output()
    );
    let renewed = until(&page(&folder, "/metrics"));
    assert!((91..92).contains(&((renewed - expired) / DAY.as_secs())));
    home.stop();
    std::fs::remove_dir_all(&folder).expect("it is ours");
}

fn home_says(folder: &Path, words: &str) -> bool {
    let log = std::fs::read_to_string(folder.join("home.log"));
    log.is_ok_and(|log| log.contains(words))
}
