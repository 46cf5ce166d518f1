//! The TLS certificate and key.

use crate::invalid_value::InvalidValue;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::sync::Arc;

/// A certificate chain and its key, for TLS 1.2 and 1.3 with rustls' defaults: no renegotiation, no
/// early data.
#[derive(Clone)]
pub struct Tls(pub(crate) Arc<ServerConfig>);

impl Tls {
    /// Parses PEM: the certificate followed by its chain, and the key in PKCS#8, PKCS#1 or SEC1.
    ///
    /// # Errors
    /// The certificates or the key cannot be read, or do not match. The text reveals nothing of
    /// either.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, InvalidValue> {
        let wrong = |text: &str| InvalidValue::new(text);
        let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| wrong("the certificate file contains no PEM certificates"))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| wrong("the key file contains no PEM private key"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map(|builder| builder.with_no_client_auth())
            .and_then(|builder| builder.with_single_cert(chain, key));
        let mut config = config.map_err(|_| wrong("the certificate and the key do not match"))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}
