//! What a node keeps and tells of what passed: `recorder`, `hep`, `events`.

use std::path::{Path, PathBuf};

use super::Mistake;
use super::reader::Section;
use crate::limits;

/// The keys, of which all but `recorder` are taken over by a running node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// Bytes that the shards keep together of what passed; 0: nothing.
    pub recorder: usize,
    /// The file says how many.
    pub is_said: bool,
    /// Where every message goes as well.
    pub hep: Option<Hep>,
    /// Where a line goes for each call and registration that ended.
    pub events: Option<Events>,
}

/// A collector that speaks HEPv3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hep {
    /// Over TCP; else over UDP.
    pub is_tcp: bool,
    /// `host:port`, as it stands in the file.
    pub server: String,
    /// The number that the collector knows this node by.
    pub id: u32,
    /// What it wants to hear from whoever sends.
    pub password: Option<String>,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Events {
    /// They are appended to this file.
    File(PathBuf),
    /// They are written to whoever listens on this socket.
    Socket(PathBuf),
}

/// The number of a node in HEP where `hep_id` says nothing: Homer's own agents begin there.
const HEP_ID: u32 = 2_001;

pub(super) fn read(root: &Section<'_>, shards: usize, folder: &Path) -> Result<Recording, Mistake> {
    let want = "how much to keep, such as \"64M\", or \"0\" for nothing";
    let recorder = root.parsed("recorder", want, |text| size(text, shards))?;
    let is_said = recorder.is_some();
    let recorder = recorder.unwrap_or(limits::RECORDER_BYTES);
    let want = "a collector such as \"udp:192.0.2.9:9060\" or \"tcp:homer.example.com:9060\"";
    let hep = root.parsed("hep", want, collector)?;
    let want = "the number that the collector knows this node by";
    let id = root.number("hep_id", 1..=u32::MAX, want)?;
    let password = root.text("hep_password", "the password of the collector")?;
    let hep = hep.map(|(is_tcp, server)| Hep {
        is_tcp,
        server,
        id: id.unwrap_or(HEP_ID),
        password: password.clone(),
    });
    let want =
        "where lines go, such as \"file:/var/log/steadfast/events\" or \"unix:/run/events.sock\"";
    let events = root.parsed("events", want, |text| destination(text, folder))?;
    for key in ["hep_id", "hep_password"] {
        if hep.is_none() && root.has(key) {
            return Err(root.mistake(
                key,
                "is for the collector that `hep` names, and there is none",
            ));
        }
    }
    for key in ["hep", "events"] {
        if recorder == 0 && root.has(key) {
            return Err(root.mistake(
                key,
                "is told what the recorder keeps, and `recorder` is \"0\": give it some memory",
            ));
        }
    }
    Ok(Recording {
        recorder,
        is_said,
        hep,
        events,
    })
}

/// A number of bytes, of which each shard gets its part.
fn size(text: &str, shards: usize) -> Result<usize, String> {
    let least = limits::RECORDER_BYTES_MIN * shards;
    let digits = text.trim_end_matches(['K', 'M', 'G']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err(format!("is {text:?}, which should be like \"64M\"")),
    };
    let number: usize = digits
        .parse()
        .map_err(|_no_number| format!("is {text:?}, which should be like \"64M\""))?;
    let bytes = number.checked_mul(1 << shift);
    match bytes {
        Some(0) => Ok(0),
        Some(bytes) if (least..=limits::RECORDER_BYTES_MAX).contains(&bytes) => Ok(bytes),
        Some(_) | None => Err(format!(
            "is {text:?}, which should be \"0\" or between \"{}M\" and \"{}G\"",
            least >> 20,
            limits::RECORDER_BYTES_MAX >> 30
        )),
    }
}

fn collector(text: &str) -> Result<(bool, String), String> {
    let wrong = || {
        format!(
            "is {text:?}, which should be like \"udp:192.0.2.9:9060\" or \"tcp:homer.example.com:9060\""
        )
    };
    let (transport, server) = text.split_once(':').ok_or_else(wrong)?;
    let is_tcp = match transport {
        "udp" => false,
        "tcp" => true,
        _ => return Err(wrong()),
    };
    let (host, port) = server.rsplit_once(':').ok_or_else(wrong)?;
    let is_port = port.parse::<u16>().is_ok_and(|port| port != 0);
    if host.is_empty() || !is_port {
        return Err(wrong());
    }
    Ok((is_tcp, server.to_owned()))
}

fn destination(text: &str, folder: &Path) -> Result<Events, String> {
    let path = |path: &str| (!path.is_empty()).then(|| folder.join(path));
    match text.split_once(':') {
        Some(("file", rest)) => path(rest).map(Events::File),
        Some(("unix", rest)) => path(rest).map(Events::Socket),
        Some(_) | None => None,
    }
    .ok_or_else(|| {
        format!("is {text:?}, which should be like \"file:/var/log/steadfast/events\" or \"unix:/run/events.sock\"")
    })
}
