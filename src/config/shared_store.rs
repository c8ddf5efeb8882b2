//! Where the registrations of a home are: in a file of its own, or in Valkey or Redis, which
//! several homes share.

use std::fmt::{self, Debug, Display};
use std::path::{Path, PathBuf};

use redis::{ConnectionAddr, IntoConnectionInfo as _};

use super::Mistake;
use super::reader::Section;

/// Where the registrations of a home are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAt {
    /// In this file.
    File(PathBuf),
    /// In a store that several homes share.
    Shared(SharedAt),
}

/// A store that several homes share.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedAt {
    /// Where, one after the other, with the password: nothing that is shown to anybody.
    pub urls: Vec<String>,
    /// Those are Sentinels, which know where it is.
    pub group: Option<SentinelGroup>,
    /// Who vouches for it over TLS; `None`: whom the machine believes.
    pub ca: Option<PathBuf>,
    /// The same without it, for people.
    shown: String,
}

/// A store that Sentinels watch.
#[derive(Clone, PartialEq, Eq)]
pub struct SentinelGroup {
    /// What they call it.
    pub name: String,
    /// How to connect to it, but for the host: with the password.
    pub url: String,
}

impl Display for SharedAt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.shown)
    }
}

impl Debug for SharedAt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, out)
    }
}

impl StoreAt {
    /// The file.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Shared(_) => None,
        }
    }
}

/// What a text begins with that is no file name, and the scheme that it means.
const SCHEMES: [(&str, &str); 4] = [
    ("valkey", "valkey"),
    ("valkeys", "valkeys"),
    ("redis", "valkey"),
    ("rediss", "valkeys"),
];

/// Where the registrations are; `None`: in memory alone.
pub(super) fn read(section: &Section<'_>, folder: &Path) -> Result<Option<StoreAt>, Mistake> {
    let want = "the file that keeps the registrations, such as \"location.redb\", or a store that \
                several homes share, such as \"valkey://192.0.2.7:6379\"";
    let ca = section.text("store_ca", "a file name")?;
    let Some(text) = section.text("store", want)? else {
        return match ca {
            Some(_) => Err(section.mistake("store_ca", "needs a `store` beside it")),
            None => Ok(None),
        };
    };
    if !text.contains("://") {
        if ca.is_some() {
            let text = "is for a `store` over TLS, such as \"valkeys://192.0.2.7:6379\", and \
                        `store` is a file";
            return Err(section.mistake("store_ca", text));
        }
        return Ok(Some(StoreAt::File(folder.join(text))));
    }
    let ca = ca.map(|file| folder.join(file));
    let shared = shared(&text, ca).map_err(|why| section.mistake("store", &why))?;
    Ok(Some(StoreAt::Shared(shared)))
}

fn shared(text: &str, ca: Option<PathBuf>) -> Result<SharedAt, String> {
    // The text itself may have a password in it.
    let should = "should be like \"valkey://192.0.2.7:6379\", with TLS \"valkeys://\", with a \
                  password \"valkey://USER:PASSWORD@HOST:PORT/DATABASE\", for several nodes \
                  \"valkey://HOST:PORT,HOST:PORT\", by Sentinel \
                  \"valkey-sentinel://HOST:26379,HOST:26379/NAME\"";
    let wrong = || format!("names a store that cannot be read: it {should}");
    let parts = Parts::of(text).ok_or_else(wrong)?;
    if ca.is_some() && parts.scheme != "valkeys" {
        let text = "has a `store_ca` beside it, which is for TLS: write \"valkeys://\"";
        return Err(text.to_owned());
    }
    let mut shown = Vec::new();
    for url in &parts.urls {
        let info = url
            .as_str()
            .into_connection_info()
            .map_err(|_why| wrong())?;
        let (host, port) = place(info.addr()).ok_or_else(wrong)?;
        shown.push(format!("{host}:{port}"));
    }
    let (mut scheme, mut path) = (parts.scheme.to_owned(), parts.database.to_owned());
    let mut group = None;
    if let Some(name) = parts.group {
        let url = parts.url("127.0.0.1");
        url.as_str()
            .into_connection_info()
            .map_err(|_why| wrong())?;
        scheme.push_str("-sentinel");
        path = format!("{name}/{path}");
        group = Some(SentinelGroup {
            name: name.to_owned(),
            url,
        });
    }
    let shown = format!("{scheme}://{}/{path}", shown.join(","));
    Ok(SharedAt {
        urls: parts.urls,
        group,
        ca,
        shown,
    })
}

/// What the text of a store says.
struct Parts<'a> {
    /// `valkey`, or `valkeys` for TLS.
    scheme: &'static str,
    /// User and password, with the `@` behind them.
    login: &'a str,
    database: &'a str,
    /// What Sentinel calls it.
    group: Option<&'a str>,
    urls: Vec<String>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (scheme, is_by_sentinel) = match scheme.strip_suffix("-sentinel") {
            Some(scheme) => (scheme, true),
            None => (scheme, false),
        };
        let (_, scheme) = SCHEMES.into_iter().find(|(known, _)| *known == scheme)?;
        let at = rest.rfind('@').map_or(0, |at| at + 1);
        let (login, rest) = rest.split_at(at);
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (group, database) = match path.split_once('/') {
            _ if !is_by_sentinel => (None, path),
            Some((group, database)) => (Some(group), database),
            None => (Some(path), ""),
        };
        if group == Some("") || database.contains(['/', '#', '?']) {
            return None;
        }
        let database = if database.is_empty() { "0" } else { database };
        let mut parts = Self {
            scheme,
            login,
            database,
            group,
            urls: Vec::new(),
        };
        let hosts = hosts.split(',');
        parts.urls = match is_by_sentinel {
            // The password is that of the store.
            true => hosts
                .map(|host| format!("{scheme}://{}", with_port(host)))
                .collect(),
            false => hosts.map(|host| parts.url(host)).collect(),
        };
        Some(parts)
    }

    fn url(&self, host: &str) -> String {
        let Self {
            scheme,
            login,
            database,
            ..
        } = self;
        format!("{scheme}://{login}{host}/{database}")
    }
}

/// A Sentinel with its port.
fn with_port(host: &str) -> String {
    let has_port = host.rfind(':') > host.rfind(']');
    match has_port {
        true => host.to_owned(),
        false => format!("{host}:26379"),
    }
}

/// Host and port of an address over TCP or TLS.
fn place(addr: &ConnectionAddr) -> Option<(&str, u16)> {
    if let ConnectionAddr::Tcp(host, port)
    | ConnectionAddr::TcpTls {
        insecure: false,
        host,
        port,
        ..
    } = addr
    {
        return Some((host, *port));
    }
    None
}
