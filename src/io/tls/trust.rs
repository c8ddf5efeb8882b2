//! Whose certificate is believed: a chain up to one of the roots, the right
//! key usage, and a SIP identity (RFC 5922 §7, RFC 5924 §4). Names are compared
//! here and nowhere in webpki, which knows wildcards and no SIP URIs.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter};

use super::identity::{self, Unreadable};

/// The roots, and what to check signatures with.
#[derive(Debug)]
pub(super) struct Trust {
    anchors: Vec<TrustAnchor<'static>>,
    subjects: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Why a certificate whose chain holds is refused all the same.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It names no SIP domain.
    #[error("its certificate names no domain")]
    Nobody,
    /// It is somebody else's.
    #[error("its certificate names {}, not {wanted}", found.join(", "))]
    Somebody {
        /// Whom it names.
        found: Vec<Box<str>>,
        /// Who should be there.
        wanted: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        CertificateError::Other(OtherError(Arc::new(refusal))).into()
    }
}

impl Trust {
    /// Trust in these roots.
    ///
    /// # Errors
    /// For a root that is no certificate of an authority.
    pub(super) fn new(
        roots: &[CertificateDer<'_>],
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, webpki::Error> {
        let anchors = roots.iter().map(|root| {
            let anchor = webpki::anchor_from_trusted_cert(root)?;
            Ok(anchor.to_owned())
        });
        let anchors: Vec<_> = anchors.collect::<Result<_, webpki::Error>>()?;
        let subject = |anchor: &TrustAnchor<'_>| DistinguishedName::in_sequence(&anchor.subject);
        Ok(Self {
            subjects: anchors.iter().map(subject).collect(),
            anchors,
            algorithms,
        })
    }

    /// The domains that the first certificate proves.
    ///
    /// # Errors
    /// When no root vouches for it now, when it is for something else than SIP,
    /// and when it cannot be read.
    pub(super) fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Vec<Box<str>>, Error> {
        let chained = EndEntityCert::try_from(certificate).and_then(|end| {
            let algorithms = self.algorithms.all;
            end.verify_for_usage(algorithms, &self.anchors, others, now, SipUse, None, None)
                .map(|_path| ())
        });
        chained.map_err(refused)?;
        Ok(identity::identities(certificate).map_err(Refusal::from)?)
    }
}

/// As rustls sees it, so that the peer gets the right alert.
fn refused(why: webpki::Error) -> Error {
    let error = if matches!(why, webpki::Error::CertExpired { .. }) {
        CertificateError::Expired
    } else if matches!(why, webpki::Error::CertNotValidYet { .. }) {
        CertificateError::NotValidYet
    } else if matches!(
        why,
        // Somebody used the name of an authority, but has not its key.
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey
    ) {
        CertificateError::UnknownIssuer
    } else if matches!(why, webpki::Error::RequiredEkuNotFoundContext(_)) {
        CertificateError::InvalidPurpose
    } else if why == webpki::Error::BadDer {
        CertificateError::BadEncoding
    } else {
        CertificateError::Other(OtherError(Arc::new(why)))
    };
    error.into()
}

/// C-8: without the extension anything goes; with it, SIP domain, any use, or
/// what ordinary authorities issue for servers and clients, in either direction.
#[derive(Clone, Copy)]
struct SipUse;

/// `id-kp` 1, 2 and 20, and `anyExtendedKeyUsage`, as DER contents.
const USES: [&[u8]; 4] = [
    &[0x2b, 6, 1, 5, 5, 7, 3, 20],
    &[0x2b, 6, 1, 5, 5, 7, 3, 1],
    &[0x2b, 6, 1, 5, 5, 7, 3, 2],
    &[0x55, 0x1d, 0x25, 0],
];

impl ExtendedKeyUsageValidator for SipUse {
    fn validate(&self, iter: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let (mut any, mut fits, mut present) = (false, false, Vec::new());
        for id in iter {
            let id = id?;
            any = true;
            fits |= USES.iter().any(|wanted| KeyPurposeId::new(wanted) == id);
            present.push(id.to_decoded_oid());
        }
        if fits || !any {
            return Ok(());
        }
        let required = webpki::KeyUsage::required(USES[0]);
        let context = webpki::RequiredEkuNotFoundContext { required, present };
        Err(webpki::Error::RequiredEkuNotFoundContext(context))
    }
}

/// Checks the servers that we open connections to (C-3).
#[derive(Debug)]
pub(super) struct Servers(pub(super) Arc<Trust>);

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        wanted: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = self.0.verify(certificate, others, now)?;
        let wanted = wanted.to_str();
        if found.iter().any(|name| name.eq_ignore_ascii_case(&wanted)) {
            return Ok(ServerCertVerified::assertion());
        }
        let wanted = wanted.into_owned();
        Err(match found.is_empty() {
            true => Refusal::Nobody,
            false => Refusal::Somebody { found, wanted },
        }
        .into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.algorithms.supported_schemes()
    }
}

/// Checks the clients that show a certificate; `needed`: one must (C-5).
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) trust: Arc<Trust>,
    pub(super) needed: bool,
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.needed
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.trust.subjects
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let found = self.trust.verify(certificate, others, now)?;
        if found.is_empty() {
            return Err(Refusal::Nobody.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.trust.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.trust.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}
