//! One connection to the store, and what is said over it.

use std::collections::HashMap;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo as _, RedisError, TlsCertificates, Value, cmd, pipe,
};

use crate::config::SharedAt;
use crate::home::{SharedChange, row_of};
use crate::io::{KeptBindings, Record, SharedAnswer};
use crate::limits;

/// Carries out a change, in the store.
const CHANGE: &str = include_str!("change.lua");
/// The field of a hash that is no binding.
const VERSION_FIELD: &[u8] = b"v";

/// Why the store is of no use at the moment.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It does not answer, or it refuses.
    #[error("{}", words(.0))]
    Failed(#[from] RedisError),
    /// The file of authorities cannot be read.
    #[error("`store_ca` cannot be read: {0}")]
    Authorities(#[from] io::Error),
    /// What it has is what another one tells it.
    #[error("it is a replica")]
    Replica,
    /// Sentinel does not know it.
    #[error("Sentinel knows no store {0:?}: name one that it watches")]
    NoGroup(String),
    /// Somebody has emptied it.
    #[error("it was emptied")]
    Emptied,
    /// It answers what no home has asked for.
    #[error("it answers what no store of this version does")]
    Strange,
}

/// What an error says, and what may be done about it.
fn words(why: &RedisError) -> String {
    let hint = match why.code() {
        _ if why.kind() == ErrorKind::AuthenticationFailed => {
            "; write the user and the password into `store`"
        }
        Some("NOAUTH") => "; write the user and the password into `store`",
        Some("NOPERM") => "; the user may need more rights: `+@all` on `~steadfast:*`",
        Some("OOM") => "; it has no memory left: raise its `maxmemory`",
        Some("READONLY") => "; it is a replica: name the primary in `store`",
        _ => "",
    };
    format!("{}{hint}", why.to_string().replace('\n', " "))
}

/// A connection to the store of one domain.
#[derive(Clone)]
pub(super) struct Link {
    connection: MultiplexedConnection,
    /// What the keys of the domain begin with.
    prefix: String,
    /// The script, as the store knows it.
    script: String,
    /// This home in the list of changes.
    home: String,
}

/// What the store has of an address of record.
pub(super) struct Row {
    /// 0: it has none.
    pub(super) version: u64,
    pub(super) bindings: Option<Box<[u8]>>,
}

impl Link {
    /// Connects, and has the store know the script. In a cluster that is the node which has the
    /// slot of the domain.
    pub(super) async fn open(at: &SharedAt, domain: &str, home: &str) -> Result<Self, Trouble> {
        let mut failed = Trouble::Strange;
        for url in &at.urls {
            match Self::open_by(at, url, domain, home).await {
                Ok(link) => return Ok(link),
                Err(why) => failed = why,
            }
        }
        Err(failed)
    }

    async fn open_by(at: &SharedAt, url: &str, domain: &str, home: &str) -> Result<Self, Trouble> {
        let prefix = format!("steadfast:1:{{{domain}}}:");
        let mut info = url.into_connection_info()?;
        if let Some(group) = &at.group {
            let node = ask_sentinel(at, info, &group.name).await?;
            let store = group.url.as_str().into_connection_info()?;
            info = elsewhere(store, &node).ok_or(Trouble::Strange)?;
        }
        let mut connection = connect(at, info.clone()).await?;
        let key = format!("{prefix}version");
        let asked: Result<Option<String>, _> =
            cmd("GET").arg(&key).query_async(&mut connection).await;
        if let Err(why) = asked {
            let Some((node, _)) = why.redirect_node() else {
                return Err(why.into());
            };
            info = elsewhere(info, node).ok_or(Trouble::Strange)?;
            connection = connect(at, info).await?;
        }
        let role: Vec<Value> = cmd("ROLE").query_async(&mut connection).await?;
        let role = role.into_iter().next().unwrap_or(Value::Nil);
        if redis::from_redis_value::<String>(role).is_ok_and(|role| role != "master") {
            return Err(Trouble::Replica);
        }
        let script = cmd("SCRIPT")
            .arg(&["LOAD", CHANGE])
            .query_async(&mut connection)
            .await?;
        Ok(Self {
            connection,
            prefix,
            script,
            home: home.to_owned(),
        })
    }

    /// The key behind the prefix of the domain.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn row_key(&self, aor: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), b"aor:", aor].concat()
    }

    /// How this run of the home is called.
    pub(super) fn home(&self) -> &str {
        &self.home
    }

    /// Says a command and reads what is expected.
    pub(super) async fn ask<T: FromRedisValue>(&mut self, say: &redis::Cmd) -> Result<T, Trouble> {
        Ok(say.query_async(&mut self.connection).await?)
    }

    /// Carries out changes, and gives what came of each. Those that waited for the store come
    /// `late`.
    pub(super) async fn change(
        &mut self,
        records: &[Record],
        late: bool,
    ) -> Result<Vec<SharedAnswer>, Trouble> {
        let mut all = pipe();
        let changes = records.iter().map(|record| {
            let change = record.value.as_deref().and_then(SharedChange::read);
            change.map(|change| (record, change))
        });
        let changes: Vec<_> = changes.flatten().collect();
        for (record, change) in &changes {
            self.say_change(&mut all, &record.key, change, late);
        }
        let outcomes: Vec<Value> = all.query_async(&mut self.connection).await?;
        if outcomes.len() != changes.len() {
            return Err(Trouble::Strange);
        }
        let each = changes.iter().zip(outcomes);
        each.map(|((record, _), outcome)| outcome_of(record, outcome).ok_or(Trouble::Strange))
            .collect()
    }

    fn say_change(
        &self,
        all: &mut redis::Pipeline,
        aor: &[u8],
        change: &SharedChange<'_>,
        late: bool,
    ) {
        all.cmd("EVALSHA")
            .arg(&self.script)
            .arg(3)
            .arg(self.row_key(aor))
            .arg(self.key("changes"))
            .arg(self.key("version"))
            .arg(change.kind.number())
            .arg(change.base)
            .arg(change.call_id)
            .arg(change.cseq)
            .arg(aor)
            .arg(&self.home)
            .arg(u8::from(late))
            .arg(limits::CONTACTS_MAX)
            .arg(limits::SHARED_CHANGES_MAX);
        for one in change.bindings() {
            all.arg(one.field).arg(one.binding.unwrap_or_default());
        }
    }

    /// Reads what the store has of these addresses of record, in their order.
    pub(super) async fn rows(&mut self, aors: &[Box<[u8]>]) -> Result<Vec<Row>, Trouble> {
        if aors.is_empty() {
            return Ok(Vec::new());
        }
        let mut all = pipe();
        all.cmd("GET").arg(self.key("version"));
        for aor in aors {
            all.cmd("HGETALL").arg(self.row_key(aor));
        }
        let values: Vec<Value> = all.query_async(&mut self.connection).await?;
        let mut values = values.into_iter();
        let last: Option<u64> = redis::from_redis_value(values.next().unwrap_or(Value::Nil))
            .map_err(|_other| Trouble::Strange)?;
        let rows = values.map(|value| {
            let fields: HashMap<Vec<u8>, Vec<u8>> =
                redis::from_redis_value(value).map_err(|_other| Trouble::Strange)?;
            // One that is not there has not been there since this version at the latest.
            Ok(row(&fields, last.unwrap_or(0)))
        });
        rows.collect()
    }

    /// The addresses of record among some keys of the store, and where to go on; 0: there are
    /// no more.
    pub(super) async fn scan(&mut self, cursor: u64) -> Result<(u64, Vec<Box<[u8]>>), Trouble> {
        let start = self.row_key(b"");
        let mut pattern = start.clone();
        pattern.push(b'*');
        let mut say = cmd("SCAN");
        say.arg(cursor).arg("MATCH").arg(pattern);
        say.arg("COUNT").arg(limits::SHARED_BATCH_MAX);
        let (next, keys): (u64, Vec<Vec<u8>>) = self.ask(&say).await?;
        let aors = keys.iter().filter_map(|key| key.strip_prefix(&start[..]));
        Ok((next, aors.map(Into::into).collect()))
    }
}

impl Row {
    /// As a shard is told.
    pub(super) fn told(self, key: Box<[u8]>, ask: u64) -> SharedAnswer {
        SharedAnswer {
            key,
            version: self.version,
            bindings: KeptBindings::Are(self.bindings),
            number: 0,
            is_refused: false,
            ask,
        }
    }
}

async fn connect(at: &SharedAt, info: ConnectionInfo) -> Result<MultiplexedConnection, Trouble> {
    let client = match &at.ca {
        Some(path) => {
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: Some(std::fs::read(path)?),
            };
            Client::build_with_tls(info, certificates)?
        }
        None => Client::open(info)?,
    };
    // Whoever waits for a change hears from the store that there was none.
    let longest = limits::SHARED_BLOCK + limits::SHARED_ANSWER_MAX;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(limits::SHARED_ANSWER_MAX))
        .set_response_timeout(Some(longest));
    Ok(client
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}

/// Where the primary of a group is, as `host:port`.
async fn ask_sentinel(at: &SharedAt, info: ConnectionInfo, name: &str) -> Result<String, Trouble> {
    let mut sentinel = connect(at, info).await?;
    let mut say = cmd("SENTINEL");
    say.arg("get-master-addr-by-name").arg(name);
    let found: Option<(String, u16)> = say.query_async(&mut sentinel).await?;
    let (host, port) = found.ok_or_else(|| Trouble::NoGroup(name.to_owned()))?;
    Ok(format!("{host}:{port}"))
}

/// The same by another node of a cluster, which is named as `host:port`.
fn elsewhere(info: ConnectionInfo, node: &str) -> Option<ConnectionInfo> {
    let (host, port) = node.rsplit_once(':')?;
    let (host, port) = (host.to_owned(), port.parse().ok()?);
    let addr = if let ConnectionAddr::TcpTls {
        insecure,
        tls_params,
        ..
    } = info.addr().clone()
    {
        ConnectionAddr::TcpTls {
            host,
            port,
            insecure,
            tls_params,
        }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    Some(info.set_addr(addr))
}

/// What came of a change.
fn outcome_of(record: &Record, outcome: Value) -> Option<SharedAnswer> {
    let Value::Array(parts) = outcome else {
        return None;
    };
    let mut parts = parts.into_iter();
    let Value::Int(is_done) = parts.next()? else {
        return None;
    };
    let version: u64 = redis::from_redis_value(parts.next()?).ok()?;
    let rest: Vec<Value> = parts.collect();
    let is_refused = is_done == 0;
    let bindings = if rest.is_empty() && !is_refused && version > 0 {
        KeptBindings::AsHere
    } else {
        let fields = redis::from_redis_value(Value::Array(rest)).ok()?;
        KeptBindings::Are(row(&fields, version).bindings)
    };
    Some(SharedAnswer {
        key: record.key.clone(),
        version,
        bindings,
        number: record.number,
        is_refused,
        ask: 0,
    })
}

/// What the fields of a hash come to.
fn row(fields: &HashMap<Vec<u8>, Vec<u8>>, otherwise: u64) -> Row {
    let version = fields.get(VERSION_FIELD);
    let version = version.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let bindings = fields.iter().filter(|(name, _)| *name != VERSION_FIELD);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |passed| passed.as_secs());
    let bindings = row_of(bindings.map(|(_, value)| &value[..]), now);
    Row {
        version: version.unwrap_or(otherwise),
        bindings: bindings.map(Into::into),
    }
}
