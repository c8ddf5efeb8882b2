//! What a TLS handshake with a phone costs an edge: the processor time of its
//! side alone, with the settings of the node and certificates like the lab's
//! (ECDSA P-256). The kernel's part is not in it.
//!
//! - `full`: the phone has no session with this edge, as after the death of
//!   the edge that it had one with.
//! - `resumed`: it has one.
//! - `hello`: of a full one, what the first bytes of the phone cause.
//! - With `-hybrid` the phone prefers X25519MLKEM768, without X25519.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::Criterion;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use steadfast::io::tls::{Pair, Require, Scratch, Session, Settings, Tls};

const PHONE: &str = "192.0.2.7";

/// An edge, and the file with the authority that phones believe.
struct Bench {
    edge: Tls,
    ca: PathBuf,
    folder: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("handshake-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the files");
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("a file is written");
            path
        };
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
            .expect("an authority");
        let ca = file("ca.pem", &issuer.pem());
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(
            "sip:edge.example.com".try_into().expect("a name"),
        )];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let pair = Pair {
            cert: file("edge.pem", &certificate.pem()),
            key: file("edge.key", &key.serialize_pem()),
        };
        let edge = Tls::load(&Settings {
            pairs: vec![pair],
            ca: Some(ca.clone()),
            require: Require::Peers,
            peers: Vec::new(),
            ticket_keys: Vec::new(),
            hybrid_key_exchange: true,
        });
        Self {
            edge: edge.expect("the files are good"),
            ca,
            folder,
        }
    }

    /// A phone that has never met the edge.
    fn phone(&self, hybrid_key_exchange: bool) -> Tls {
        let settings = Settings {
            pairs: Vec::new(),
            ca: Some(self.ca.clone()),
            require: Require::Never,
            peers: Vec::new(),
            ticket_keys: Vec::new(),
            hybrid_key_exchange,
        };
        Tls::load(&settings).expect("the files are good")
    }

    /// One handshake: whether it was resumed, and what it cost the edge, first
    /// for the first bytes and then as a whole.
    fn meet(&self, phone: &Tls) -> (bool, [Duration; 2]) {
        let (mut up, mut down) = (Scratch::default(), Scratch::default());
        let mut near = phone.connect("edge.example.com").expect("a name");
        near.begin(&mut up).expect("a first flight");
        let begun = Instant::now();
        let mut far = self
            .edge
            .accept(PHONE.parse().expect("an address"))
            .expect("a session");
        let mut spent = begun.elapsed();
        let mut first = None;
        while !up.sealed.is_empty() {
            let begun = Instant::now();
            far.receive(&mut up.sealed, &mut down)
                .expect("the edge understands");
            spent += begun.elapsed();
            first.get_or_insert(spent);
            up.sealed.clear();
            near.receive(&mut down.sealed, &mut up)
                .expect("the phone understands");
            down.sealed.clear();
        }
        assert!(near.is_established() && far.is_established());
        (both(&near, &far), [first.unwrap_or_default(), spent])
    }
}

fn both(near: &Session, far: &Session) -> bool {
    assert_eq!(near.is_resumed(), far.is_resumed());
    far.is_resumed()
}

impl Drop for Bench {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).expect("the folder goes");
    }
}

fn main() {
    let bench = Bench::new();
    let mut criterion = Criterion::default().configure_from_args();
    for (suffix, is_hybrid) in [("", false), ("-hybrid", true)] {
        let known = bench.phone(is_hybrid);
        assert!(!bench.meet(&known).0, "nobody has met them before");
        for (name, resumed, part) in [
            ("full", false, 1),
            ("hello", false, 0),
            ("resumed", true, 1),
        ] {
            criterion.bench_function(&format!("handshake/{name}{suffix}"), |bencher| {
                bencher.iter_custom(|times| {
                    let mut sum = Duration::ZERO;
                    for _ in 0..times {
                        let strange;
                        let phone = if resumed {
                            &known
                        } else {
                            strange = bench.phone(is_hybrid);
                            &strange
                        };
                        let (was_resumed, spent) = bench.meet(phone);
                        assert_eq!(was_resumed, resumed);
                        sum += spent[part];
                    }
                    sum
                });
            });
        }
    }
    criterion.final_summary();
}
