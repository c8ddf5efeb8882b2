//! `steadfast why`: asks a running node over its control socket why a request
//! for a URI goes where it goes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::{config, limits};

/// What is asked of whom.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The URI: a token's, as it stands in a Route, or an address of record
    pub uri: String,
    /// The node's control socket, or its configuration file
    #[arg(long, value_name = "FILE|SOCKET")]
    pub node: PathBuf,
    /// Answer as JSON
    #[arg(long)]
    pub json: bool,
}

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
    /// The node did not answer with 200.
    #[error("the node answered {0}")]
    Refused(String),
}

/// Asks; the answer as it is to be printed.
///
/// # Errors
/// Why there is none.
pub fn ask(options: &Options) -> Result<String, Fault> {
    let socket = socket(&options.node)?;
    let silent = |why| Fault::Silent {
        socket: socket.clone(),
        why,
    };
    let flag = if options.json { "&json" } else { "" };
    let path = format!("/why?uri={}{flag}", escaped(&options.uri));
    let answer = fetch(&socket, &path).map_err(silent)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| Fault::Refused("without an end of its head".to_owned()))?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        Ok(body.to_owned())
    } else {
        Err(Fault::Refused(format!("{status}: {}", body.trim_end())))
    }
}

fn socket(node: &Path) -> Result<PathBuf, Fault> {
    if node.extension().is_none_or(|extension| extension != "toml") {
        return Ok(node.to_owned());
    }
    let config = config::load(node)?;
    config
        .control
        .ok_or_else(|| Fault::NoSocket(node.to_owned()))
}

/// HTTP/1.0, so that the answer ends with the connection.
fn fetch(socket: &Path, path: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    let patience = Some(limits::ANSWER_MAX * 2);
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: node\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream
        .take(limits::CONTROL_ANSWER_MAX)
        .read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Percent-encodes everything that is not unreserved (RFC 3986 §2.3): in a
/// query a `+` is a space.
fn escaped(uri: &str) -> String {
    let letter = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    uri.bytes().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_query() {
        assert_eq!(
            escaped("sip:joe+e1@edge.example.com;lr"),
            "sip%3Ajoe%2Be1%40edge.example.com%3Blr"
        );
    }
}
