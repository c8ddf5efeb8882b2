//! Two ends of TLS that hand each other their bytes, with certificates of an
//! authority that is made for the test.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use rustls::{AlertDescription, CertificateError};

use super::*;

mod key_exchange;
mod resumption;

/// An authority, and a folder for its files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    /// A certificate with these SAN URIs and DNS names, further changed.
    fn pair(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.strip_prefix("dns:") {
                Some(name) => SanType::DnsName(name.try_into().unwrap()),
                None => SanType::URI((*name).try_into().unwrap()),
            })
            .collect();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |kind| {
            self.folder
                .join(format!("{}.{kind}", names.join("+").replace('/', "")))
        };
        let pair = Pair {
            cert: file("pem"),
            key: file("key"),
        };
        std::fs::write(&pair.cert, certificate.pem()).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }

    fn settings(&self, pairs: Vec<Pair>, require: Require) -> Settings {
        Settings {
            pairs,
            ca: Some(self.folder.join("ca.pem")),
            require,
            peers: vec![(PEER, 32)],
            ticket_keys: Vec::new(),
            hybrid_key_exchange: true,
        }
    }

    fn node(&self, pair: Pair, require: Require) -> Tls {
        Tls::load(&self.settings(vec![pair], require)).unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const PHONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));

/// Hands bytes to and fro until nobody has any more; in pieces of `piece`.
fn talk(
    client: &mut Session,
    server: &mut Session,
    piece: usize,
) -> (Result<(), rustls::Error>, Result<(), rustls::Error>) {
    let (mut up, mut down) = (Scratch::default(), Scratch::default());
    let (mut results, mut turns) = ((Ok(()), Ok(())), 0);
    client.begin(&mut up).unwrap();
    while !(up.sealed.is_empty() && down.sealed.is_empty()) {
        for bytes in std::mem::take(&mut up.sealed).chunks_mut(piece) {
            results.1 = results
                .1
                .and_then(|()| server.receive(bytes, &mut down).map(drop));
        }
        for bytes in std::mem::take(&mut down.sealed).chunks_mut(piece) {
            results.0 = results
                .0
                .and_then(|()| client.receive(bytes, &mut up).map(drop));
        }
        turns += 1;
        assert!(turns < 20, "they never stop");
    }
    results
}

fn meet(client: &Tls, server: &Tls, from: IpAddr, name: &str) -> (Session, Session) {
    let (mut near, mut far) = (client.connect(name).unwrap(), server.accept(from).unwrap());
    let results = talk(&mut near, &mut far, 1_000);
    assert_eq!(results, (Ok(()), Ok(())));
    assert!(near.is_established() && far.is_established());
    (near, far)
}

#[track_caller]
fn check_refused(client: &Tls, server: &Tls, from: IpAddr, name: &str, want: &str) {
    let (mut near, mut far) = (client.connect(name).unwrap(), server.accept(from).unwrap());
    let (ours, theirs) = talk(&mut near, &mut far, 1_000);
    let error = match (ours, theirs) {
        (Err(error), _) if !matches!(error, rustls::Error::AlertReceived(_)) => error,
        (_, Err(error)) => error,
        other => panic!("they agreed: {other:?}"),
    };
    assert_eq!(reason(&error), want);
    assert!(is_about_identity(&error));
}

#[test]
fn both_sides_learn_whom_they_talk_to() {
    // S-2, C-1, C-3, C-4
    let ca = Authority::new("both");
    let edge = ca.node(ca.pair(&["sip:edge.example.com"], |_| ()), Require::Peers);
    let home = ca.node(
        ca.pair(&["dns:example.com", "dns:a.example"], |_| ()),
        Require::Peers,
    );
    let (near, far) = meet(&edge, &home, PEER, "Example.COM");
    let names = |tls: &Tls, session| tls.identities(session).unwrap().join(" ");
    assert_eq!(names(&edge, &near), "example.com a.example");
    assert_eq!(names(&home, &far), "edge.example.com");
}

#[test]
fn messages_pass_in_any_pieces_and_nothing_is_held_between_them() {
    let ca = Authority::new("pieces");
    let edge = ca.node(ca.pair(&["sip:e.example"], |_| ()), Require::Peers);
    let home = ca.node(ca.pair(&["sip:h.example"], |_| ()), Require::Peers);
    for piece in [1, 7, 5_000] {
        let (mut near, mut far) = (
            edge.connect("h.example").unwrap(),
            home.accept(PEER).unwrap(),
        );
        assert_eq!(talk(&mut near, &mut far, piece), (Ok(()), Ok(())));
        let long = vec![b'x'; 40_000];
        let mut out = Scratch::default();
        for message in [&b"OPTIONS"[..], &long] {
            near.seal([message], &mut out).unwrap();
        }
        let mut come = Scratch::default();
        for bytes in out.sealed.chunks_mut(piece) {
            assert_eq!(far.receive(bytes, &mut come), Ok(Progress::Established));
        }
        assert_eq!(come.plain, [b"OPTIONS", &long[..]].concat());
        assert_eq!(far.held(), 0);
        // C-14
        out.sealed.clear();
        near.send_close_notify(&mut out);
        assert_eq!(far.receive(&mut out.sealed, &mut come), Ok(Progress::Ended));
    }
}

#[test]
fn a_server_that_is_somebody_else_is_refused() {
    // C-1, C-2, C-3
    let ca = Authority::new("servers");
    let edge = ca.node(ca.pair(&["sip:edge.example.com"], |_| ()), Require::Never);
    let refused = |names: &[&str], want: &str| {
        let home = ca.node(ca.pair(names, |_| ()), Require::Never);
        check_refused(&edge, &home, PEER, "example.com", want);
    };
    refused(
        &["sip:other.example.com"],
        "its certificate names other.example.com, not example.com",
    );
    refused(
        &["dns:*.com"],
        "its certificate names *.com, not example.com",
    );
    // A sip: URI hides the matching DNS name.
    refused(
        &["sip:other.example.com", "dns:example.com"],
        "its certificate names other.example.com, not example.com",
    );
    refused(&["sip:joe@example.com"], "its certificate names no domain");
}

#[test]
fn an_expired_or_foreign_certificate_is_refused_on_either_side() {
    // C-3, C-8
    let (ca, foreign) = (Authority::new("own"), Authority::new("foreign"));
    let edge = ca.node(ca.pair(&["sip:e.example"], |_| ()), Require::Always);
    let day = |days: u64| (SystemTime::now() - Duration::from_secs(days * 86_400)).into();
    let expired = |params: &mut CertificateParams| {
        params.not_before = day(9);
        params.not_after = day(2);
    };
    let home = ca.node(ca.pair(&["sip:h.example"], expired), Require::Always);
    let want = "its certificate has expired";
    check_refused(&edge, &home, PEER, "h.example", want);
    check_refused(&home, &edge, PEER, "e.example", want);
    let stranger = foreign.pair(&["sip:h.example"], |_| ());
    let stranger = Tls::load(&ca.settings(vec![stranger], Require::Always)).unwrap();
    let want = "its certificate is signed by nobody in `ca`";
    check_refused(&edge, &stranger, PEER, "h.example", want);
    check_refused(&stranger, &edge, PEER, "e.example", want);
    let mail = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    };
    let mail = ca.node(ca.pair(&["sip:h.example"], mail), Require::Always);
    let want = "its certificate is not meant for SIP, servers or clients";
    check_refused(&edge, &mail, PEER, "h.example", want);
    let sip = |params: &mut CertificateParams| {
        let oid = vec![1, 3, 6, 1, 5, 5, 7, 3, 20];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(oid)];
    };
    let sip = ca.node(ca.pair(&["sip:h.example"], sip), Require::Always);
    meet(&edge, &sip, PEER, "h.example");
    meet(&sip, &edge, PEER, "e.example");
}

#[test]
fn peers_must_show_a_certificate_and_phones_may() {
    // C-5
    let ca = Authority::new("absent");
    let home = ca.node(ca.pair(&["sip:h.example"], |_| ()), Require::Peers);
    let mut settings = ca.settings(Vec::new(), Require::Never);
    let phone = Tls::load(&settings).unwrap();
    let want = "it shows no certificate";
    check_refused(&phone, &home, PEER, "h.example", want);
    let (_, far) = meet(&phone, &home, PHONE, "h.example");
    assert_eq!(home.identities(&far), Ok(Vec::new()));
    let strict = ca.node(ca.pair(&["sip:h.example"], |_| ()), Require::Always);
    check_refused(&phone, &strict, PHONE, "h.example", want);
    // Nobody is believed without roots.
    settings.ca = None;
    let blind = Tls::load(&settings).unwrap();
    let want = "its certificate is signed by nobody in `ca`";
    check_refused(&blind, &home, PHONE, "h.example", want);
}

#[test]
fn the_name_that_is_asked_for_decides_which_certificate_is_shown() {
    let ca = Authority::new("sni");
    let pairs = vec![
        ca.pair(&["sip:a.example"], |_| ()),
        ca.pair(&["sip:b.example", "sip:c.example"], |_| ()),
    ];
    let node = Tls::load(&ca.settings(pairs, Require::Never)).unwrap();
    for (name, all) in [
        ("a.example", "a.example"),
        ("c.example", "b.example c.example"),
    ] {
        let (near, _) = meet(&node, &node, PHONE, name);
        assert_eq!(node.identities(&near).unwrap().join(" "), all);
    }
    let want = "its certificate names a.example, not d.example";
    check_refused(&node, &node, PHONE, "d.example", want);
}

#[test]
fn the_secrets_of_the_handshake_go_with_the_first_keys() {
    let ca = Authority::new("updated");
    let edge = ca.node(ca.pair(&["sip:e.example"], |_| ()), Require::Peers);
    let home = ca.node(ca.pair(&["sip:h.example"], |_| ()), Require::Peers);
    let mut near = edge.connect("h.example").unwrap();
    let mut far = rustls::ServerConnection::new(Arc::clone(&home.server)).unwrap();
    let mut out = Scratch::default();
    let come = |far: &mut rustls::ServerConnection, near: &mut Session, out: &mut Scratch| {
        far.read_tls(&mut &std::mem::take(&mut out.sealed)[..])
            .unwrap();
        far.process_new_packets().unwrap();
        let mut bytes = Vec::new();
        while far.wants_write() {
            far.write_tls(&mut bytes).unwrap();
        }
        near.receive(&mut bytes, out).unwrap();
    };
    near.begin(&mut out).unwrap();
    for _ in 0..3 {
        come(&mut far, &mut near, &mut out);
    }
    near.seal([&b"INVITE"[..]], &mut out).unwrap();
    come(&mut far, &mut near, &mut out);
    assert!(near.is_established() && near.keeps_tickets());
    far.refresh_traffic_keys().unwrap();
    come(&mut far, &mut near, &mut out);
    assert!(near.is_established() && !near.keeps_tickets());
    near.seal([&b"ACK"[..]], &mut out).unwrap();
    come(&mut far, &mut near, &mut out);
    // What it was given before is kept.
    let (near, _) = meet(&edge, &home, PHONE, "h.example");
    assert!(near.is_resumed());
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let ca = Authority::new("files");
    let (one, two) = (
        ca.pair(&["sip:a.example"], |_| ()),
        ca.pair(&["sip:b.example"], |_| ()),
    );
    let load = |cert: &Path, key: &Path| {
        let (cert, key) = (cert.to_owned(), key.to_owned());
        let settings = ca.settings(vec![Pair { cert, key }], Require::Peers);
        Tls::load(&settings).map(|_| ()).map_err(|bad| bad.why)
    };
    assert_eq!(load(&one.cert, &one.key), Ok(()));
    let want = format!("is not the certificate of the key in {}", two.key.display());
    let said = load(&one.cert, &two.key).unwrap_err();
    assert!(said.starts_with(&want), "{said}");
    let want = Err("holds no certificate in PEM".to_owned());
    assert_eq!(load(&one.key, &one.key), want);
    assert!(
        load(&one.cert, &one.cert)
            .unwrap_err()
            .starts_with("holds no private key in PEM")
    );
    assert!(
        load(&ca.folder.join("none"), &one.key)
            .unwrap_err()
            .starts_with("cannot be read")
    );
}

#[test]
fn what_is_no_tls_is_answered_with_an_alert() {
    let ca = Authority::new("noise");
    let home = ca.node(ca.pair(&["sip:h.example"], |_| ()), Require::Peers);
    let mut far = home.accept(PHONE).unwrap();
    let mut out = Scratch::default();
    let mut noise = *b"OPTIONS sip:h.example SIP/2.0\r\n\r\n";
    let error = far.receive(&mut noise, &mut out).unwrap_err();
    assert!(!is_about_identity(&error));
    let mut near = home.connect("h.example").unwrap();
    let heard = near.receive(&mut out.sealed, &mut Scratch::default());
    assert!(
        matches!(
            heard,
            Err(rustls::Error::AlertReceived(
                AlertDescription::DecodeError
                    | AlertDescription::UnexpectedMessage
                    | AlertDescription::RecordOverflow
                    | AlertDescription::ProtocolVersion
            ))
        ),
        "{heard:?} after {error:?}"
    );
}
