//! The endpoints of URLs, with their certificate authorities.

use crate::CliError;
use crate::config::{self, Located, Method, RemoteUrl};
use crate::config_file::ConfigFile;
use crate::private_file::{read, refuse_shared};
use keyward_fetch::{Endpoint, EndpointError, Roots};
use keyward_runtime::http::HttpEndpoint;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Maximum size of a file of public keys or certificates, in bytes.
const MAX_FILE: usize = 1 << 20;

/// An endpoint, and the content of the file of its certificate authorities.
pub(crate) struct OpenEndpoint {
    pub(crate) endpoint: Endpoint,
    pub(crate) ca: Option<Vec<u8>>,
}

impl ConfigFile {
    /// Returns the endpoint of a URL of the section `what`, such as ``key set `idp` ``.
    pub(crate) fn endpoint(&self, what: &str, remote: &Located<RemoteUrl>) -> Result<OpenEndpoint, CliError> {
        let Located { line, value: RemoteUrl { url, ca, private, timeout, max_bytes } } = remote;
        let wrong = |text: &str| self.usage_error(*line, &format!("{what}: {text}"));
        let (ca, roots) = match ca {
            Some(path) => {
                let path = self.path(path);
                let ca = unshared(&path, "add the file, or correct `ca`").map_err(|text| wrong(&text))?;
                let roots = Roots::from_pem(&ca).map_err(|error| wrong(&format!("{}: {error}", path.display())))?;
                (Some(ca), roots)
            }
            None => {
                (None, Roots::from_der(rustls_native_certs::load_native_certs().certs.iter().map(|der| der.to_vec())))
            }
        };
        let endpoint = Endpoint::new(url, roots).and_then(|endpoint| endpoint.private(private.iter().copied()));
        let endpoint = endpoint.map_err(|error| wrong(&error.to_string()))?;
        Ok(OpenEndpoint { endpoint: endpoint.timeout(*timeout).max_bytes(*max_bytes), ca })
    }

    /// Returns the endpoints of handlers by name, whose requests `fetcher` sends.
    pub(crate) fn endpoints(
        &self,
        fetcher: &keyward_fetch::Fetcher,
    ) -> Result<HashMap<&str, Arc<dyn HttpEndpoint>>, CliError> {
        let endpoints =
            self.config.endpoints.iter().map(|(name, config::Endpoint { remote, method, guest_query, forwards })| {
                let what = format!("endpoint `{name}`");
                let OpenEndpoint { endpoint, ca: _ } = self.endpoint(&what, remote)?;
                let endpoint = endpoint.guest_query(guest_query.iter().cloned());
                let endpoint = endpoint.and_then(|endpoint| endpoint.forwards(forwards.clone()));
                let endpoint = endpoint
                    .map_err(|error: EndpointError| self.usage_error(remote.line, &format!("{what}: {error}")))?;
                let endpoint = if *method == Method::Post { endpoint.post() } else { endpoint };
                Ok((name.as_str(), fetcher.endpoint(name.as_str(), endpoint)))
            });
        endpoints.collect()
    }
}

/// Reads a file that only its owner may write to: with a key or certificate of their own in it,
/// others could sign tokens.
pub(crate) fn unshared(path: &Path, what_to_do: &str) -> Result<Vec<u8>, String> {
    refuse_shared(path)?;
    read(path, MAX_FILE, what_to_do)
}
