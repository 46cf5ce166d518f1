//! The configuration of the pages: plain values, each validated on its own.

use http::Uri;
use ipnet::IpNet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The time for which a link is valid, in minutes.
pub const LINK_MINUTES: u64 = 15;

/// The configuration of [`Pages`](crate::Pages).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The address of the pages in browsers.
    pub url: Url,
    /// The method of identifying people.
    pub sign_in: SignIn,
    /// The handlers whose tokens a person may create; `None` for all.
    pub handlers: Option<Vec<String>>,
    /// The time for which a person stays signed in after using a link, in whole seconds.
    pub session_time: Duration,
}

impl Config {
    /// Creates a configuration in which a link signs in for twelve hours.
    pub fn new(url: Url, sign_in: SignIn) -> Self {
        Self { url, sign_in, handlers: None, session_time: Duration::from_secs(12 * 3_600) }
    }

    /// Returns the name of the cookie. Over `https`, its prefix keeps other hosts from setting it.
    pub(crate) fn cookie_name(&self) -> &'static str {
        if self.url.is_https() { "__Host-keyward" } else { "keyward" }
    }
}

/// The method of identifying people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignIn {
    /// The session handler with this name identifies each request.
    Session(String),
    /// A proxy names the person in a header.
    Header {
        /// The name of the header, in lower case.
        name: String,
        /// The networks of the proxies. A peer on a Unix socket is trusted, too.
        proxies: Vec<IpNet>,
    },
    /// A [link](crate::link) signs in, once.
    Link,
}

/// An address such as `https://tokens.example.org`, with a path below which the pages are, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    is_https: bool,
    authority: String,
    prefix: String,
}

impl Url {
    /// Creates the address of pages that this machine serves.
    pub fn localhost(is_https: bool, port: u16) -> Self {
        Self { is_https, authority: format!("localhost:{port}"), prefix: String::new() }
    }

    /// Returns whether browsers use `https`.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// Returns the host and the port, if there is one.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns the host without the port.
    pub fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.authority,
        }
    }

    /// Returns the path below which the pages are: empty, or with a slash at the beginning only.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_https, authority, prefix } = self;
        write!(f, "{}://{authority}{prefix}", if *is_https { "https" } else { "http" })
    }
}

/// A text that is not a [`Url`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidUrl;

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "use http:// or https://, a host, and optionally a port and a path, such as https://example.org/auth",
        )
    }
}

impl std::error::Error for InvalidUrl {}

impl FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let uri: Uri = text.parse().map_err(|_| InvalidUrl)?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(InvalidUrl),
        };
        let authority = uri.authority().ok_or(InvalidUrl)?;
        let (host, port) = (authority.host(), authority.port_u16());
        let is_whole = authority.as_str() == port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let prefix = uri.path().trim_end_matches('/');
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        let fine = !host.is_empty()
            && is_whole
            && uri.query().is_none()
            && prefix.bytes().all(is_plain)
            && prefix.split('/').skip(1).all(|part| !["", ".", ".."].contains(&part));
        if !fine {
            return Err(InvalidUrl);
        }
        // An origin does not have the usual port.
        let usual = if is_https { 443 } else { 80 };
        let authority = if port == Some(usual) { host } else { authority.as_str() };
        Ok(Self { is_https, authority: authority.to_ascii_lowercase(), prefix: prefix.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_origin_and_a_path() {
        let parts = |text: &str| {
            let url: Url = text.parse().ok()?;
            Some((url.is_https(), url.host().to_owned(), url.prefix().to_owned(), url.to_string()))
        };
        let parsed = |is_https, host: &str, prefix: &str, shown: &str| {
            Some((is_https, host.to_owned(), prefix.to_owned(), shown.to_owned()))
        };
        assert_eq!(parts("http://localhost:8787"), parsed(false, "localhost", "", "http://localhost:8787"));
        assert_eq!(parts("https://A.example/"), parsed(true, "a.example", "", "https://a.example"));
        assert_eq!(parts("https://a.example/x/y/"), parsed(true, "a.example", "/x/y", "https://a.example/x/y"));
        assert_eq!(parts("http://[::1]:80"), parsed(false, "[::1]", "", "http://[::1]"));
        assert_eq!(parts("https://a.example:443"), parsed(true, "a.example", "", "https://a.example"));
        for wrong in [
            "",
            "a.example",
            "/tokens",
            "ftp://a.example",
            "https://",
            "https://u@a.example",
            "https://:443",
            "https://a.example:",
            "https://a.example:65536",
            "https://a.example/?x",
            "https://a.example/a//b",
            "https://a.example/../b",
            "https://a.example/%2e",
        ] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }
}
