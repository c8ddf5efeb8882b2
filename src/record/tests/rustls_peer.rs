//! rustls on the other side, with a connection of its own to the end.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection, Error, RootCertStore,
    ServerConfig, ServerConnection, SupportedCipherSuite,
};

use super::*;
use crate::{Finished, Handshake, KeyLog, Progress};

/// A server and a client that trust one another, with this suite alone or with all.
struct Configs {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Configs {
    fn new(suites: &[SupportedCipherSuite]) -> Self {
        Self::with_fragments(suites, None)
    }

    /// Both ends send no longer records than this.
    fn with_fragments(suites: &[SupportedCipherSuite], most: Option<usize>) -> Self {
        let made = rcgen::generate_simple_self_signed(["h.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(CryptoProvider {
            cipher_suites: suites.to_vec(),
            ..aws_lc_rs::default_provider()
        });
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        (
            client.enable_secret_extraction,
            server.enable_secret_extraction,
        ) = (true, true);
        (client.max_fragment_size, server.max_fragment_size) = (most, most);
        (client.key_log, server.key_log) = (Arc::new(KeyLog), Arc::new(KeyLog));
        server.ticketer = aws_lc_rs::Ticketer::new().unwrap();
        Self {
            client: Arc::new(client),
            server: Arc::new(server),
        }
    }

    fn ours(&self, role: Role) -> Handshake {
        match role {
            Role::Client => Handshake::client(Arc::clone(&self.client), name()).unwrap(),
            Role::Server => Handshake::server(Arc::clone(&self.server)).unwrap(),
        }
    }

    /// The end that ours is not.
    fn theirs(&self, ours: Role) -> Connection {
        match ours {
            Role::Server => ClientConnection::new(Arc::clone(&self.client), name())
                .unwrap()
                .into(),
            Role::Client => ServerConnection::new(Arc::clone(&self.server))
                .unwrap()
                .into(),
        }
    }

    /// Both ends, once they have shaken hands in pieces of this length.
    fn meet(&self, role: Role, piece: usize) -> (Finished, Connection, Vec<u8>) {
        let (mut ours, mut theirs) = (self.ours(role), self.theirs(role));
        let (mut held, mut out) = (Vec::new(), Vec::new());
        if role == Role::Client {
            ours.begin(&mut out).unwrap();
        }
        for _ in 0..10 {
            give(&mut theirs, &std::mem::take(&mut out)).unwrap();
            let mut bytes = &taken(&mut theirs)[..];
            while !bytes.is_empty() {
                let (now, later) = bytes.split_at(piece.min(bytes.len()));
                held.extend_from_slice(now);
                bytes = later;
                let (used, progress) = ours.receive(&mut held, &mut out).unwrap();
                held.drain(..used);
                if progress == Progress::Complete {
                    give(&mut theirs, &out).unwrap();
                    held.extend_from_slice(bytes);
                    return (ours.finish().unwrap(), theirs, held);
                }
            }
        }
        panic!("they never agree");
    }
}

fn name() -> ServerName<'static> {
    "h.example".try_into().unwrap()
}

fn give(theirs: &mut Connection, mut bytes: &[u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        theirs.read_tls(&mut bytes).unwrap();
        theirs.process_new_packets()?;
    }
    Ok(())
}

/// What it has to send.
fn taken(theirs: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while theirs.wants_write() {
        theirs.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn heard_by(theirs: &mut Connection, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    for bytes in bytes.chunks(4_000) {
        give(theirs, bytes).unwrap();
        let mut room = [0; 40_000];
        while let Ok(len) = theirs.reader().read(&mut room)
            && len > 0
        {
            plain.extend_from_slice(&room[..len]);
        }
    }
    plain
}

fn said_by(theirs: &mut Connection, message: &[u8]) -> Vec<u8> {
    theirs.set_buffer_limit(None);
    theirs.writer().write_all(message).unwrap();
    taken(theirs)
}

const ROLES: [Role; 2] = [Role::Client, Role::Server];

#[test]
fn every_suite_is_taken_over_and_spoken() {
    for suite in aws_lc_rs::ALL_CIPHER_SUITES {
        if suite
            .suite()
            .as_str()
            .is_some_and(|name| name.contains("RSA"))
        {
            // As its namesake with ECDSA, after the handshake.
            continue;
        }
        let configs = Configs::new(&[*suite]);
        for (role, piece) in ROLES
            .into_iter()
            .flat_map(|role| [(role, 1), (role, 5_000)])
        {
            let (finished, mut theirs, early) = configs.meet(role, piece);
            let mut ours = finished.session;
            let heard = hear(&mut ours, &early);
            assert_eq!((heard.stand, &heard.plain[..]), (Stand::Open, &b""[..]));
            for len in [1, 5, 800, 16_384, 16_385, 50_000] {
                let message = counting(len);
                assert_eq!(heard_by(&mut theirs, &data(&mut ours, &message)), message);
                let bytes = said_by(&mut theirs, &message);
                assert_eq!(hear_pieces(&mut ours, &bytes, 3_001).plain, message);
            }
            // Both close_notify alerts.
            let mut out = Vec::new();
            ours.close(&mut out);
            give(&mut theirs, &out).unwrap();
            assert_eq!(theirs.reader().read(&mut [0; 9]).unwrap(), 0);
            theirs.send_close_notify();
            assert_eq!(hear(&mut ours, &taken(&mut theirs)).stand, Stand::Ended);
        }
    }
}

#[test]
fn a_handshake_may_come_in_many_records() {
    for suite in [
        aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ] {
        let configs = Configs::with_fragments(&[suite], Some(40));
        for (role, piece) in ROLES
            .into_iter()
            .flat_map(|role| [1, 30, 5_000].map(|piece| (role, piece)))
        {
            let (finished, mut theirs, early) = configs.meet(role, piece);
            let mut ours = finished.session;
            assert_eq!(hear(&mut ours, &early).stand, Stand::Open);
            let bytes = said_by(&mut theirs, &[b'x'; 300]);
            assert_eq!(hear(&mut ours, &bytes).plain, [b'x'; 300]);
        }
    }
}

#[test]
fn a_message_that_comes_with_the_end_of_the_handshake_is_the_sessions() {
    for suite in aws_lc_rs::ALL_CIPHER_SUITES {
        if suite
            .suite()
            .as_str()
            .is_some_and(|name| name.contains("RSA"))
        {
            continue;
        }
        let configs = Configs::new(&[*suite]);
        let (mut ours, mut theirs) = (configs.ours(Role::Server), configs.theirs(Role::Server));
        // Whatever it may say before it has heard our last word, in one piece with its own.
        theirs.writer().write_all(b"REGISTER").unwrap();
        let (mut held, mut out) = (Vec::new(), Vec::new());
        loop {
            held.extend(taken(&mut theirs));
            let (used, progress) = ours.receive(&mut held, &mut out).unwrap();
            held.drain(..used);
            give(&mut theirs, &std::mem::take(&mut out)).unwrap();
            if progress == Progress::Complete {
                break;
            }
        }
        held.extend(taken(&mut theirs));
        let mut session = ours.finish().unwrap().session;
        assert_eq!(hear(&mut session, &held).plain, b"REGISTER");
    }
}

#[test]
fn keys_are_updated_with_rustls_both_ways() {
    for suite in aws_lc_rs::ALL_CIPHER_SUITES {
        if suite.tls13().is_none() {
            continue;
        }
        let configs = Configs::new(&[*suite]);
        for role in ROLES {
            let (finished, mut theirs, early) = configs.meet(role, 5_000);
            let mut ours = finished.session;
            let _tickets = hear(&mut ours, &early);
            for _ in 0..5 {
                // It asks; we answer with our next data.
                theirs.refresh_traffic_keys().unwrap();
                let bytes = said_by(&mut theirs, b"INVITE");
                assert_eq!(hear(&mut ours, &bytes).plain, b"INVITE");
                assert!(ours.owes_update);
                assert_eq!(heard_by(&mut theirs, &data(&mut ours, b"200")), b"200");
                assert_eq!((ours.tx.sequence, ours.rx.sequence), (1, 1));
                // We ask, as a key does that is used up; it answers with its next data.
                let mut bytes = forge(&mut ours, 22, &[24, 0, 0, 1, 1], 0);
                ours.tx.update(ours.suite);
                bytes.extend(data(&mut ours, b"ACK"));
                assert_eq!(heard_by(&mut theirs, &bytes), b"ACK");
                let bytes = said_by(&mut theirs, b"BYE");
                assert_eq!(hear(&mut ours, &bytes).plain, b"BYE");
                assert_eq!((ours.rx.sequence, ours.owes_update), (1, false));
            }
        }
    }
}

#[test]
fn rustls_hears_why_and_is_heard() {
    for suite in [
        aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ] {
        let configs = Configs::new(&[suite]);
        for role in ROLES {
            let (finished, mut theirs, early) = configs.meet(role, 5_000);
            let mut ours = finished.session;
            let _tickets = hear(&mut ours, &early);
            let mut bytes = said_by(&mut theirs, b"INVITE");
            bytes[20] ^= 1;
            let heard = hear(&mut ours, &bytes);
            assert_eq!(heard.stand, Stand::Failed(Failure::BadRecordMac));
            let told = give(&mut theirs, &heard.out).unwrap_err();
            assert_eq!(told, Error::AlertReceived(AlertDescription::BadRecordMac));

            let (finished, mut theirs, early) = configs.meet(role, 5_000);
            let mut ours = finished.session;
            let _tickets = hear(&mut ours, &early);
            let mut bytes = data(&mut ours, b"INVITE");
            bytes[20] ^= 1;
            assert_eq!(give(&mut theirs, &bytes), Err(Error::DecryptError));
            let heard = hear(&mut ours, &taken(&mut theirs));
            let why = Failure::Alerted(crate::Alert::BAD_RECORD_MAC);
            assert_eq!(heard.stand, Stand::Failed(why));
        }
    }
}

#[test]
fn tickets_resume_sessions_in_both_roles() {
    for suite in [
        aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
        aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ] {
        let configs = Configs::new(&[suite]);
        for round in 0..3 {
            let (finished, mut theirs, mut early) = configs.meet(Role::Client, 1_000);
            assert_eq!(finished.is_resumed, round > 0);
            let (mut ours, mut tickets) = (finished.session, finished.tickets.unwrap());
            early.extend(taken(&mut theirs));
            let heard = hear(&mut ours, &early);
            let is_new = suite.tls13().is_some();
            assert_eq!(heard.tickets.len(), if is_new { 2 } else { 0 });
            for ticket in &heard.tickets {
                assert_eq!(tickets.keep(ticket), Ok(()));
                let cut = &ticket[..ticket.len() - 1];
                for unreadable in [cut, &[&ticket[..], &[0]].concat(), b"no ticket"] {
                    assert_eq!(tickets.keep(unreadable), Err(Failure::DecodeError));
                }
            }
            let bytes = said_by(&mut theirs, b"x");
            assert_eq!(hear(&mut ours, &bytes).plain, b"x");
        }
        let configs = Configs::new(&[suite]);
        for round in 0..3 {
            let (finished, mut theirs, _) = configs.meet(Role::Server, 1_000);
            assert_eq!(finished.is_resumed, round > 0);
            assert!(finished.tickets.is_none());
            let mut ours = finished.session;
            assert_eq!(heard_by(&mut theirs, &data(&mut ours, b"x")), b"x");
        }
    }
}

#[test]
fn secrets_of_another_connection_are_refused() {
    let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let configs = Configs::new(&[suite]);
    let complete = || {
        let (mut ours, mut theirs) = (configs.ours(Role::Server), configs.theirs(Role::Server));
        let mut out = Vec::new();
        loop {
            let mut bytes = taken(&mut theirs);
            if ours.receive(&mut bytes, &mut out).unwrap().1 == Progress::Complete {
                return ours;
            }
            give(&mut theirs, &std::mem::take(&mut out)).unwrap();
        }
    };
    let (mut one, mut other) = (complete(), complete());
    std::mem::swap(&mut one.logged, &mut other.logged);
    assert!(one.finish().is_err());
    other.logged = Box::default();
    assert!(other.finish().is_err());
    // Nor is one that is not complete.
    assert!(configs.ours(Role::Server).finish().is_err());
    // A secret that nobody has asked for waits for no other connection.
    let foreign = |label| rustls::KeyLog::log(&KeyLog, label, &[], &[1; 32]);
    foreign("CLIENT_TRAFFIC_SECRET_0");
    foreign("SERVER_TRAFFIC_SECRET_0");
    let mut ours = configs.ours(Role::Client);
    ours.begin(&mut Vec::new()).unwrap();
    assert!(ours.logged.is_empty());
    assert!(!complete().logged.is_empty());
}

#[test]
fn what_is_no_tls_is_refused_by_its_first_bytes() {
    let configs = Configs::new(aws_lc_rs::ALL_CIPHER_SUITES);
    let mut ours = configs.ours(Role::Server);
    let (mut bytes, mut out) = (*b"OPTIONS sip:h.example SIP/2.0\r\n", Vec::new());
    ours.receive(&mut bytes, &mut out).unwrap_err();
    // An alert in the clear.
    assert_eq!((out.len(), out[0]), (7, 21));
}
