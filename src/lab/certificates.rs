//! The lab's own certificate authority: one root, a certificate for the home
//! and one that all edges share (S-35), with the name of each of them (C-6, M-3), and
//! one for phones that want to show any.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};

use super::Fault;

/// The domains that each certificate is for, by the name of its files. An
/// ordinary client may look at the DNS name; whoever speaks SIP looks at the
/// URI, which hides it (RFC 5922 §7.1).
const PAIRS: [(&str, &[&str]); 3] = [
    ("home", &["example.com"]),
    (
        "edge",
        &[
            "edge.example.com",
            "e1.edge.example.com",
            "e2.edge.example.com",
            "e3.edge.example.com",
        ],
    ),
    ("phone", &["phone.example.com"]),
];

/// The names and contents of the files: the root and all pairs.
pub(super) fn files() -> Result<Vec<(String, String)>, Fault> {
    make().map_err(|why| Fault::Certificates(why.to_string()))
}

fn make() -> Result<Vec<(String, String)>, rcgen::Error> {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    root.distinguished_name = name("steadfast lab");
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
    let mut made = vec![("ca.pem".to_owned(), root.pem())];
    for (file, domains) in PAIRS {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(domains.first().copied().unwrap_or_default());
        for &domain in domains {
            params
                .subject_alt_names
                .push(SanType::URI(format!("sip:{domain}").try_into()?));
            params
                .subject_alt_names
                .push(SanType::DnsName(domain.try_into()?));
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &root)?;
        made.push((format!("{file}.pem"), certificate.pem()));
        made.push((format!("{file}.key"), key.serialize_pem()));
    }
    Ok(made)
}

fn name(common: &str) -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}
