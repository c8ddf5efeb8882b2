//! Questions to a running node, over its control socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{config, limits};

/// Why there is no answer, each a sentence.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The configuration cannot be read.
    #[error(transparent)]
    Configuration(#[from] config::Mistake),
    /// It names no socket.
    #[error("{} has no `control` key, so the node cannot be asked", .0.display())]
    NoSocket(PathBuf),
    /// Nobody answers.
    #[error("nobody answers on {}: {why}", socket.display())]
    Silent {
        /// The socket.
        socket: PathBuf,
        /// What the kernel said.
        why: std::io::Error,
    },
    /// The node says why not.
    #[error("{0}")]
    Told(String),
    /// The node did not answer with 200.
    #[error("the node answered {0}")]
    Refused(String),
}

/// Asks `node`, its control socket or its configuration file, for a page; the
/// page as it is to be printed.
///
/// # Errors
/// Why there is none.
pub(crate) fn ask(node: &Path, method: &str, page: &str) -> Result<String, Fault> {
    ask_within(node, method, page, limits::ANSWER_MAX + limits::RELOAD_MAX)
}

/// As `ask`, of what may take so long.
///
/// # Errors
/// Why there is no answer.
pub(crate) fn ask_within(
    node: &Path,
    method: &str,
    page: &str,
    patience: Duration,
) -> Result<String, Fault> {
    let socket = socket(node)?;
    let silent = |why| Fault::Silent {
        socket: socket.clone(),
        why,
    };
    let answer = fetch(&socket, method, page, patience).map_err(silent)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| Fault::Refused("without an end of its head".to_owned()))?;
    let status = head.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        // The page is there: it is what was asked for that is not, or what it names is wrong.
        Some("404" | "422") if !body.trim().is_empty() => {
            Err(Fault::Told(body.trim_end().to_owned()))
        }
        Some(_) | None => Err(Fault::Refused(format!("{status}: {}", body.trim_end()))),
    }
}

/// Percent-encodes everything that is not unreserved (RFC 3986 §2.3): in a
/// query a `+` is a space.
pub(crate) fn escaped(uri: &str) -> String {
    let letter = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    uri.bytes().map(letter).collect()
}

fn socket(node: &Path) -> Result<PathBuf, Fault> {
    // A file is a configuration whatever it is called, and a name may say so of one that is missing.
    let is_named_so = node
        .extension()
        .is_some_and(|extension| extension == "toml");
    if !is_named_so && !node.is_file() {
        return Ok(node.to_owned());
    }
    // What else is in the file may be wrong, and is not asked of us.
    config::control_socket(node)?.ok_or_else(|| Fault::NoSocket(node.to_owned()))
}

/// HTTP/1.0, so that the answer ends with the connection.
fn fetch(socket: &Path, method: &str, page: &str, patience: Duration) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(format!("{method} {page} HTTP/1.0\r\nHost: node\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream
        .take(limits::CONTROL_ANSWER_MAX)
        .read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_configuration_and_anything_else_a_socket() {
        let folder = std::env::temp_dir().join(format!("control-client-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let named = file("e1.conf", "control = \"e1.sock\"\nwrong = 1\n");
        assert_eq!(socket(&named).unwrap(), folder.join("e1.sock"));
        let says = |path: &Path| socket(path).unwrap_err().to_string();
        let users = file("users.txt", "joe example.com password=secret\n");
        assert!(
            says(&users).starts_with("users.txt, line 1: the file is not TOML: "),
            "{}",
            says(&users)
        );
        let silent = file("e2.toml", "name = \"e2\"\n");
        assert!(says(&silent).ends_with("has no `control` key, so the node cannot be asked"));
        assert!(says(&folder.join("no.toml")).starts_with("cannot read the configuration "));
        for other in [folder.join("e1.sock"), folder.clone()] {
            assert_eq!(socket(&other).unwrap(), other);
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_token_survives_the_query() {
        assert_eq!(
            escaped("sip:joe+e1@edge.example.com;lr"),
            "sip%3Ajoe%2Be1%40edge.example.com%3Blr"
        );
    }
}
