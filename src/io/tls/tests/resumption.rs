//! Sessions that are resumed: by whom, at which edge, and how long what they have shown is believed.

use rustls::server::ProducesTickets;

use super::*;

#[test]
fn a_resumed_session_is_verified_all_the_same() {
    let ca = Authority::new("resumed");
    let edge = ca.node(ca.pair(&["sip:e.example"], |_| ()), Require::Peers);
    let home = ca.node(ca.pair(&["sip:h.example"], |_| ()), Require::Peers);
    let (first, _) = meet(&edge, &home, PEER, "h.example");
    assert!(!first.is_resumed());
    let (near, far) = meet(&edge, &home, PEER, "h.example");
    assert!(near.is_resumed() && far.is_resumed());
    assert_eq!(home.identities(&far).unwrap().join(" "), "e.example");
    // An authority that is believed no more.
    let other = Authority::new("other");
    let later = Tls {
        trust: other
            .node(other.pair(&["sip:h.example"], |_| ()), Require::Peers)
            .trust,
        ..home
    };
    let found = later.identities(&far).unwrap_err();
    assert_eq!(found, CertificateError::UnknownIssuer.into());
}

#[test]
fn a_phone_resumes_at_its_backup_edge() {
    let ca = Authority::new("backup");
    let edge = |keys: &[u8], require| {
        let pair = ca.pair(&["sip:edge.example"], |_| ());
        let mut settings = ca.settings(vec![pair], require);
        let keys = keys.iter().map(|&key| TicketKey([key; 32]));
        settings.ticket_keys = keys.collect();
        Tls::load(&settings).unwrap()
    };
    let phone = || Tls::load(&ca.settings(Vec::new(), Require::Never)).unwrap();
    let resumes = |phone: &Tls, edge: &Tls| {
        let (near, far) = meet(phone, edge, PHONE, "edge.example");
        assert_eq!(near.is_resumed(), far.is_resumed());
        far.is_resumed()
    };
    let (first, backup) = (edge(&[1], Require::Peers), edge(&[2, 1], Require::Peers));
    let one = phone();
    let seen = [&first, &backup, &first, &backup].map(|edge| resumes(&one, edge));
    // What the second one seals with its new key the first one has not yet; its own still.
    assert_eq!(seen[..2], [false, true]);
    // Edges of other clusters, and those without a key in common, know nothing of it.
    for keys in [&[3][..], &[]] {
        let (one, other) = (phone(), edge(keys, Require::Peers));
        assert_eq!([&first, &other].map(|edge| resumes(&one, edge)), [false; 2]);
    }
    // Who must show a certificate cannot come by a ticket of one who need not (C-5).
    let one = phone();
    assert!(!resumes(&one, &first));
    check_refused(
        &one,
        &backup,
        PEER,
        "edge.example",
        "it shows no certificate",
    );
}

/// Opens and seals nothing, and keeps what rustls wanted to have sealed.
#[derive(Debug, Default)]
struct Spy(std::sync::Mutex<Vec<Vec<u8>>>);

impl ProducesTickets for Spy {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        60
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().unwrap().push(plain.to_vec());
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

#[test]
fn the_key_in_common_makes_nobody_a_home() {
    // C-4: the layout of a session is rustls' own; one with a client's certificates is refused
    // however it was sealed.
    let ca = Authority::new("forged");
    let mut edge = ca.node(ca.pair(&["sip:edge.example"], |_| ()), Require::Peers);
    let home = ca.node(ca.pair(&["sip:h.example"], |_| ()), Require::Peers);
    let phone = Tls::load(&ca.settings(Vec::new(), Require::Never)).unwrap();
    let spy = Arc::new(Spy::default());
    let mut config = ServerConfig::clone(&edge.server);
    config.ticketer = Arc::clone(&spy) as Arc<dyn ProducesTickets>;
    edge.server = Arc::new(config);
    let keys = [TicketKey([1; 32])];
    let own = || aws_lc_rs::Ticketer::new().unwrap();
    let made = || Tickets::new(&keys, own(), false, edge.trust.clone());
    for (client, is_taken) in [(&phone, true), (&home, false)] {
        let (_, far) = meet(client, &edge, PHONE, "edge.example");
        assert_eq!(far.peer().is_empty(), is_taken);
        let sessions = std::mem::take(&mut *spy.0.lock().unwrap());
        assert!(!sessions.is_empty());
        for session in sessions {
            let forged = made().seal(tickets::period(), &session).unwrap();
            assert_eq!(made().decrypt(&forged).is_some(), is_taken);
            // And none is given.
            let given = made().encrypt(&session).unwrap();
            assert_eq!(made().decrypt(&given).is_some(), is_taken);
        }
    }
}

#[test]
fn a_client_with_a_certificate_resumes_where_it_has_shown_it() {
    let ca = Authority::new("shown");
    let edge = || {
        let mut settings =
            ca.settings(vec![ca.pair(&["sip:edge.example"], |_| ())], Require::Peers);
        settings.ticket_keys = vec![TicketKey([1; 32])];
        Tls::load(&settings).unwrap()
    };
    let (first, backup) = (edge(), edge());
    // From a peer's address, where it must, and from any other, where it may.
    for from in [PEER, PHONE] {
        for (second, is_resumed) in [(&first, true), (&backup, false)] {
            let home = ca.node(ca.pair(&["sip:h.example"], |_| ()), Require::Peers);
            let (_, far) = meet(&home, &first, from, "edge.example");
            assert!(!far.is_resumed());
            let (_, far) = meet(&home, second, from, "edge.example");
            assert_eq!(far.is_resumed(), is_resumed);
            assert_eq!(second.identities(&far).unwrap().join(" "), "h.example");
        }
    }
}

#[test]
fn a_session_of_tls_12_is_resumed_where_it_was() {
    let ca = Authority::new("older");
    let edge = || {
        let pair = ca.pair(&["sip:edge.example"], |_| ());
        let mut settings = ca.settings(vec![pair], Require::Peers);
        settings.ticket_keys = vec![TicketKey([1; 32])];
        Tls::load(&settings).unwrap()
    };
    let mut phone = Tls::load(&ca.settings(Vec::new(), Require::Never)).unwrap();
    let trust = Arc::clone(phone.trust.as_ref().unwrap());
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Servers(trust)));
    let mut config = config.with_no_client_auth();
    (config.enable_secret_extraction, config.key_log) = (true, Arc::new(KeyLog));
    phone.client = Arc::new(config);
    let (first, backup) = (edge(), edge());
    let resumed = [&first, &first, &backup, &first].map(|edge| {
        let (near, far) = meet(&phone, edge, PHONE, "edge.example");
        assert_eq!(near.is_resumed(), far.is_resumed());
        far.is_resumed()
    });
    assert_eq!(resumed[..3], [false, true, false]);
}

/// Shows other certificates from here on, and keeps its tickets, as a node of somebody else may.
fn renew(node: &mut Tls, pair: &Pair) {
    let shown = Arc::new(Shown(vec![
        read_pair(pair, &provider(true)).expect("the files are good"),
    ]));
    let mut server = ServerConfig::clone(&node.server);
    server.cert_resolver = Arc::clone(&shown) as Arc<dyn ResolvesServerCert>;
    // The tickets of those who must show a certificate, as those of a peer.
    let mut strict = ServerConfig::clone(&node.strict);
    strict.cert_resolver = Arc::clone(&shown) as Arc<dyn ResolvesServerCert>;
    let mut client = ClientConfig::clone(&node.client);
    client.client_auth_cert_resolver = shown;
    (node.server, node.strict, node.client) =
        (Arc::new(server), Arc::new(strict), Arc::new(client));
}

#[test]
fn a_certificate_that_has_expired_meanwhile_ends_with_the_ticket() {
    let ca = Authority::new("meanwhile");
    let end = SystemTime::now() + Duration::from_secs(3);
    let brief = |params: &mut CertificateParams| params.not_after = end.into();
    let edge = |change: &dyn Fn(&mut CertificateParams)| {
        ca.node(ca.pair(&["sip:e.example"], change), Require::Peers)
    };
    let home = |change: &dyn Fn(&mut CertificateParams)| {
        ca.node(ca.pair(&["sip:h.example"], change), Require::Peers)
    };
    let lasting = |_: &mut CertificateParams| ();
    let (mut brief_edge, lasting_home) = (edge(&brief), home(&lasting));
    let (lasting_edge, mut brief_home) = (edge(&lasting), home(&brief));
    let both = [(&brief_edge, &lasting_home), (&lasting_edge, &brief_home)];
    for ((edge, home), is_resumed) in both.into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let (near, far) = meet(edge, home, PEER, "h.example");
        assert_eq!(
            (near.is_resumed(), far.is_resumed()),
            (is_resumed, is_resumed)
        );
        assert_eq!(home.identities(&far).unwrap().join(" "), "e.example");
        assert_eq!(edge.identities(&near).unwrap().join(" "), "h.example");
    }
    let left = end.duration_since(SystemTime::now()).unwrap_or_default();
    std::thread::sleep(left + Duration::from_millis(1_100));
    // A server asks for the certificate, and a new one is as good as ever.
    let want = "its certificate has expired";
    check_refused(&brief_edge, &lasting_home, PEER, "h.example", want);
    renew(&mut brief_edge, &ca.pair(&["sip:e.example"], lasting));
    for is_resumed in [false, true] {
        let (_, far) = meet(&brief_edge, &lasting_home, PEER, "h.example");
        assert_eq!(far.is_resumed(), is_resumed);
        assert_eq!(
            lasting_home.identities(&far).unwrap().join(" "),
            "e.example"
        );
    }
    // A client sees what it has kept of the server, once.
    renew(&mut brief_home, &ca.pair(&["sip:h.example"], lasting));
    let (near, _) = meet(&lasting_edge, &brief_home, PEER, "h.example");
    assert!(near.is_resumed());
    let expired = CertificateError::Expired.into();
    assert_eq!(lasting_edge.identities(&near).unwrap_err(), expired);
    for is_resumed in [false, true] {
        let (near, _) = meet(&lasting_edge, &brief_home, PEER, "h.example");
        assert_eq!(near.is_resumed(), is_resumed);
        assert_eq!(
            lasting_edge.identities(&near).unwrap().join(" "),
            "h.example"
        );
    }
}

#[test]
fn roots_that_are_believed_no_more_end_what_was_begun_before() {
    let (ca, other) = (Authority::new("before"), Authority::new("after"));
    let edge = ca.node(ca.pair(&["sip:e.example"], |_| ()), Require::Peers);
    let mut settings = ca.settings(vec![ca.pair(&["sip:h.example"], |_| ())], Require::Peers);
    let home = Tls::load(&settings).unwrap();
    let (_, far) = meet(&edge, &home, PEER, "h.example");
    settings.ca = Some(other.folder.join("ca.pem"));
    let later = Tls::load(&settings).unwrap();
    // Its handshake ends after the file has changed.
    let unknown: rustls::Error = CertificateError::UnknownIssuer.into();
    assert!(!far.is_resumed());
    assert_eq!(later.identities(&far).unwrap_err(), unknown);
    // The ticket of before is worth nothing.
    let want = "its certificate is signed by nobody in `ca`";
    check_refused(&edge, &later, PEER, "h.example", want);
}
