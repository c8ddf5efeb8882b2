//! A certificate authority of one's own: a root, and what it signs for nodes and phones.
//!
//! For a laboratory and for a first configuration. Who has an authority uses that one: the nodes
//! take any certificate by RFC 5922 whose root they are told.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, Error, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};

/// A root and the certificates that it has signed, each as PEM.
pub(crate) struct Authority {
    /// The certificate of the root, which everybody is to believe.
    pub(crate) root: String,
    /// Its private key: who has it makes anybody an edge or a home.
    pub(crate) root_key: String,
    /// The certificates with their private keys, in the order in which they were asked for.
    pub(crate) pairs: Vec<Signed>,
}

/// A certificate and its private key.
pub(crate) struct Signed {
    /// The certificate.
    pub(crate) certificate: String,
    /// Its private key.
    pub(crate) key: String,
}

/// Makes an authority of that name, and a certificate for each list of domains.
///
/// An ordinary client may look at the DNS name of a certificate; whoever speaks SIP looks at the
/// URI, which hides it (RFC 5922 §7.1).
///
/// # Errors
/// When a domain is none that a certificate can have.
pub(crate) fn make<D: AsRef<str>>(common: &str, domains: &[&[D]]) -> Result<Authority, Error> {
    let mut root = params(common);
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
    let pairs = domains.iter().map(|domains| {
        let mut params = params(domains.first().map_or("", |domain| domain.as_ref()));
        for domain in *domains {
            let domain = domain.as_ref();
            let names = &mut params.subject_alt_names;
            names.push(SanType::URI(format!("sip:{domain}").try_into()?));
            names.push(SanType::DnsName(domain.try_into()?));
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &root)?;
        Ok(Signed {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    });
    Ok(Authority {
        pairs: pairs.collect::<Result<_, Error>>()?,
        root: root.pem(),
        root_key: root.key().serialize_pem(),
    })
}

/// Valid from yesterday, since clocks differ.
fn params(common: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    params.distinguished_name = name;
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + VALID_DAYS * DAY).into();
    params
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Ten years.
const VALID_DAYS: u32 = 3_652;
