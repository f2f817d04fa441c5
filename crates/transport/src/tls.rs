// SPDX-License-Identifier: Apache-2.0
//! TLS 1.3 between parties: both certificates pinned by the SHA-256 of their DER bytes, X25519MLKEM768 only.
//!
//! There is no certificate authority, no name and no date: a room says which certificates its parties have, and a
//! certificate is good exactly if its pin is in the room. The handshake signature is verified as usual, so a peer
//! must hold the key of the certificate it shows.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    PeerMisbehaved, ServerConfig, SignatureScheme,
};

use crate::fault::{Cause, Fault};

/// SHA-256 of a certificate's DER bytes.
pub type Pin = [u8; 32];

/// The pin of a certificate.
pub fn pin_of(cert_der: &[u8]) -> Pin {
    let mut pin = [0; 32];
    pin.copy_from_slice(
        ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, cert_der).as_ref(),
    );
    pin
}

fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
            aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    }
}

/// A certificate with its private key.
pub struct Identity {
    certified: Arc<CertifiedKey>,
    pin: Pin,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// From an X.509 v3 certificate and its PKCS#8 key (Ed25519, ECDSA or RSA), both DER. The caller wipes `key_der`.
    pub fn new(cert_der: &[u8], key_der: &[u8]) -> Result<Self, Fault> {
        let refused = |what: &str| Fault::new(Cause::Refused, what.to_owned());
        let key = PrivateKeyDer::try_from(key_der)
            .map_err(|_| refused("the private key is not PKCS#8 DER"))?;
        let key = aws_lc_rs::sign::any_supported_type(&key)
            .map_err(|_| refused("the private key is of no supported type"))?;
        let certified = CertifiedKey::new(vec![CertificateDer::from(cert_der.to_vec())], key);
        certified
            .keys_match()
            .map_err(|_| refused("the private key does not belong to the certificate"))?;
        Ok(Identity {
            certified: Arc::new(certified),
            pin: pin_of(cert_der),
        })
    }

    /// The pin by which peers know this identity.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    pub(crate) fn client_config(&self, peer: Pin) -> Result<Arc<ClientConfig>, Fault> {
        let verifier = Arc::new(Pinned::new(Arc::new(RwLock::new(HashSet::from([peer])))));
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(internal)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
                self.certified.clone(),
            )));
        config.resumption = rustls::client::Resumption::disabled();
        config.enable_sni = false;
        Ok(Arc::new(config))
    }

    pub(crate) fn server_config(
        &self,
        allowed: Arc<RwLock<HashSet<Pin>>>,
    ) -> Result<Arc<ServerConfig>, Fault> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(internal)?
            .with_client_cert_verifier(Arc::new(Pinned::new(allowed)))
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
                self.certified.clone(),
            )));
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Arc::new(config))
    }
}

fn internal(error: Error) -> Fault {
    Fault::new(Cause::Refused, format!("TLS cannot be configured: {error}"))
}

/// Accepts exactly the certificates whose pin is in the set.
struct Pinned {
    allowed: Arc<RwLock<HashSet<Pin>>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    fn new(allowed: Arc<RwLock<HashSet<Pin>>>) -> Self {
        Pinned {
            allowed,
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        }
    }

    fn check(
        &self,
        cert: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(), Error> {
        let allowed = self
            .allowed
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if intermediates.is_empty() && allowed.contains(&pin_of(cert)) {
            Ok(())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.algorithms)
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pinned")
    }
}

/// Only TLS 1.3 is configured, so a TLS 1.2 signature is a peer's misbehaviour.
fn no_tls12() -> Error {
    PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into()
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(cert, intermediates)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        cert: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(cert, intermediates)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
