//! How keys are agreed on: with ML-KEM beside X25519 where both ends have it.

use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::{ClientConnection, NamedGroup, RootCertStore};

use super::*;

/// A phone that offers these, the first one above all.
fn phone(ca: &Authority, groups: &[&'static dyn SupportedKxGroup]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.issuer.der().clone()).unwrap();
    let provider = CryptoProvider {
        kx_groups: groups.to_vec(),
        ..default_provider()
    };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(config.with_no_client_auth())
}

/// What they agree on.
fn agreed(phone: &Arc<ClientConfig>, edge: &Tls) -> Result<NamedGroup, rustls::Error> {
    let name = "edge.example".try_into().unwrap();
    let mut near = ClientConnection::new(Arc::clone(phone), name).unwrap();
    let mut far = edge.accept(PHONE).unwrap();
    let mut down = Scratch::default();
    while near.wants_write() {
        let mut bytes = Vec::new();
        while near.wants_write() {
            near.write_tls(&mut bytes).unwrap();
        }
        far.receive(&mut bytes, &mut down)?;
        let sealed = std::mem::take(&mut down.sealed);
        let mut rest = &sealed[..];
        while !rest.is_empty() {
            near.read_tls(&mut rest).unwrap();
            near.process_new_packets()?;
        }
    }
    assert!(far.is_established() && !near.is_handshaking());
    Ok(near.negotiated_key_exchange_group().unwrap().name())
}

#[test]
fn a_phone_gets_the_key_exchange_that_it_would_rather_have() {
    let ca = Authority::new("groups");
    let edge = |hybrid_key_exchange| {
        let pair = ca.pair(&["sip:edge.example", "dns:edge.example"], |_| ());
        let settings = ca.settings(vec![pair], Require::Peers);
        Tls::load(&Settings {
            hybrid_key_exchange,
            ..settings
        })
        .unwrap()
    };
    let (hybrid, classical) = (kx_group::X25519MLKEM768, kx_group::X25519);
    let (with, without) = (NamedGroup::X25519MLKEM768, NamedGroup::X25519);
    for (groups, on, off) in [
        (&[hybrid, classical][..], Ok(with), Ok(without)),
        (&[classical, hybrid], Ok(without), Ok(without)),
        (&[classical], Ok(without), Ok(without)),
        (&[hybrid], Ok(with), Err(())),
    ] {
        let agree = |edge: &Tls| agreed(&phone(&ca, groups), edge).map_err(|_refused| ());
        assert_eq!((agree(&edge(true)), agree(&edge(false))), (on, off));
    }
    // A session that is taken up agrees on new keys in the same way.
    let (phone, edge) = (phone(&ca, &[hybrid, classical]), edge(true));
    for _ in 0..2 {
        assert_eq!(agreed(&phone, &edge), Ok(with));
    }
}

#[test]
fn nodes_agree_among_themselves_as_they_are_told() {
    let ca = Authority::new("trunks");
    let (with, without) = (NamedGroup::X25519MLKEM768, NamedGroup::X25519);
    for (edge_is_hybrid, home_is_hybrid, want) in [
        (true, true, with),
        (true, false, without),
        (false, true, without),
        (false, false, without),
    ] {
        let node = |name: &str, hybrid_key_exchange| {
            let settings = ca.settings(vec![ca.pair(&[name], |_| ())], Require::Peers);
            Tls::load(&Settings {
                hybrid_key_exchange,
                ..settings
            })
            .unwrap()
        };
        let edge = node("sip:e.example", edge_is_hybrid);
        let home = node("sip:h.example", home_is_hybrid);
        let mut near = edge.connect("h.example").unwrap();
        let mut far = rustls::ServerConnection::new(Arc::clone(&home.server)).unwrap();
        let mut out = Scratch::default();
        near.begin(&mut out).unwrap();
        while !out.sealed.is_empty() {
            let sealed = std::mem::take(&mut out.sealed);
            let mut rest = &sealed[..];
            while !rest.is_empty() {
                far.read_tls(&mut rest).unwrap();
                far.process_new_packets().unwrap();
            }
            let mut bytes = Vec::new();
            while far.wants_write() {
                far.write_tls(&mut bytes).unwrap();
            }
            near.receive(&mut bytes, &mut out).unwrap();
        }
        assert!(near.is_established() && !far.is_handshaking());
        let group = far.negotiated_key_exchange_group().unwrap();
        assert_eq!(group.name(), want);
    }
}
