//! The files that the configuration names: certificates, their keys, and the roots that are believed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::identity::identities;
use super::trust::Trust;
use super::{BadFile, Pair, Validity};

/// A certificate chain with its key, and the names it is for.
pub(super) type Named = (Vec<Box<str>>, Arc<CertifiedKey>);

pub(super) fn read_pair(pair: &Pair, provider: &CryptoProvider) -> Result<Named, BadFile> {
    let bad = |path: &Path, why: String| BadFile {
        path: path.to_owned(),
        why,
    };
    let chain = read_certificates(&pair.cert)?;
    let key = PrivateKeyDer::from_pem_file(&pair.key);
    let key = key.map_err(|why| bad(&pair.key, format!("holds no private key in PEM ({why})")))?;
    let key = provider.key_provider.load_private_key(key);
    let key =
        key.map_err(|why| bad(&pair.key, format!("holds a key that is not usable ({why})")))?;
    let names = chain.first().map(|first| identities(first));
    let names = names
        .transpose()
        .map_err(|why| bad(&pair.cert, format!("cannot be read ({why})")))?;
    let pair_up = CertifiedKey::new(chain, key);
    pair_up.keys_match().map_err(|why| {
        let key = pair.key.display();
        let why = format!("is not the certificate of the key in {key} ({why})");
        bad(&pair.cert, why)
    })?;
    Ok((names.unwrap_or_default(), Arc::new(pair_up)))
}

pub(super) fn validity(file: &Path, (_, pair): &Named) -> Result<(PathBuf, Validity), BadFile> {
    let chain = pair.cert.iter().map(|certificate| &**certificate);
    match Validity::of(chain) {
        Ok(validity) => Ok((file.to_owned(), validity)),
        Err(why) => Err(BadFile {
            path: file.to_owned(),
            why: format!("cannot be read ({why})"),
        }),
    }
}

pub(super) fn read_roots(path: &Path, provider: &CryptoProvider) -> Result<Trust, BadFile> {
    let roots = read_certificates(path)?;
    Trust::new(&roots, provider.signature_verification_algorithms).map_err(|why| BadFile {
        path: path.to_owned(),
        why: format!("holds a certificate that is no authority's ({why})"),
    })
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BadFile> {
    let bad = |why: String| BadFile {
        path: path.to_owned(),
        why,
    };
    let found = CertificateDer::pem_file_iter(path);
    let found = found.map_err(|why| bad(format!("cannot be read ({why})")))?;
    let found: Result<Vec<_>, _> = found.collect();
    let found = found.map_err(|why| bad(format!("is not PEM ({why})")))?;
    if found.is_empty() {
        return Err(bad("holds no certificate in PEM".to_owned()));
    }
    Ok(found)
}
