//! `[pages]`: the web pages on which people manage their own tokens.

use super::access::{Known, Words};
use super::schema::within;
use super::server::{Address, Server, address, different, is_taken, networks};
use super::{Config, ConfigError, Lines, Located};
use http::HeaderName;
use keyward_pages::{SignIn, Url};
use keyward_server::Hosts;
use schemars::JsonSchema;
use serde::Deserialize;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::Spanned;

/// The settings of the pages.
#[derive(Debug)]
pub(crate) struct Pages {
    /// The address in browsers; `None` for the listener's on this machine.
    pub(crate) url: Option<Url>,
    /// The way in which a person is known, with its line.
    pub(crate) sign_in: Located<SignIn>,
    /// The handlers whose tokens a person may create; `None` for all.
    handlers: Option<Vec<String>>,
    session_time: Duration,
    /// The address of a listener that serves the pages only.
    pub(crate) listen: Option<Address>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend(
    "dependentRequired" = { "user_header": ["trusted_proxies"], "trusted_proxies": ["user_header"] },
    "not" = { "anyOf": [
        { "required": ["session", "user_header"] },
        { "required": ["session", "session_hours"] },
        { "required": ["user_header", "session_hours"] },
    ] },
))]
pub(super) struct PagesTable {
    /// Address of the pages in browsers, `http://HOST` or `https://HOST`, optionally with a port
    /// and a path: the pages are at `/tokens` below it. Its host is accepted like those of
    /// `server.hosts`. Without it: `http://localhost` with the port of `listen`, or else of
    /// `server.listen`; `https` if that has `server.tls`.
    #[schemars(with = "Option<String>", regex(pattern = URL_PATTERN))]
    url: Option<Spanned<String>>,
    /// Session handler that identifies people by the cookies of a site of yours. Without it and
    /// `user_header`, a link of `keyward login` signs in.
    #[schemars(with = "Option<String>")]
    session: Option<Spanned<String>>,
    /// Header in which a proxy names the person: the id of the actor. The proxy must remove the
    /// header from requests of clients. Requires `trusted_proxies`, and excludes `session`.
    #[schemars(with = "Option<String>")]
    user_header: Option<Spanned<String>>,
    /// Addresses and networks of the proxies whose `user_header` is believed. That of other peers
    /// is ignored; peers on `server.listen_unix` are always trusted.
    #[schemars(with = "Option<Vec<String>>")]
    trusted_proxies: Option<Spanned<Vec<Spanned<String>>>>,
    /// Handlers whose tokens people may create and renew. Without it: all whose `actors` include
    /// the person. Tokens of the other handlers are shown as well.
    #[schemars(with = "Option<Vec<String>>", length(min = 1))]
    handlers: Option<Words>,
    /// Time for which a link of `keyward login` signs in, in hours. Without it: 12. Only for pages
    /// without `session` and `user_header`.
    #[schemars(with = "Option<u32>", transform = within(HOURS))]
    session_hours: Option<Spanned<u32>>,
    /// Address of a listener for the pages only, without TLS; the other addresses then do not serve
    /// them. Changes only on restart. Without it: the pages are served with the API.
    #[schemars(with = "Option<String>")]
    listen: Option<Spanned<String>>,
}

const URL_PATTERN: &str = "^https?://[^/?#@]+(/|$)";

/// The numbers of hours for which a link may sign in.
const HOURS: RangeInclusive<u32> = 1..=720;

const DEFAULT_HOURS: u32 = 12;

/// The port in the example of an address.
const PORT: u16 = 8790;

/// Headers of the prefix `X-Forwarded-` that name a user.
const USER_HEADERS: [&str; 3] = ["x-forwarded-email", "x-forwarded-preferred-username", "x-forwarded-user"];

impl PagesTable {
    /// Checks `[pages]`, which is at `section`. Adds its host to those that the server accepts.
    pub(super) fn checked(
        self,
        section: Range<usize>,
        known: Known<'_>,
        server: &mut Server,
    ) -> Result<Pages, ConfigError> {
        let Self { url, session, user_header, trusted_proxies, handlers, session_hours, listen } = self;
        let lines = known.lines;
        if !known.has_store {
            let text = "requires a `[store]` section, because people's tokens are found by their records: add one";
            return Err(wrong(lines, section, text));
        }
        let url = url.map(|url| parse_url(lines, &url)).transpose()?;
        let sign_in = match (session, user_header, trusted_proxies) {
            (None, None, None) => Located { line: lines.line(section.start), value: SignIn::Link },
            (Some(handler), None, None) => {
                let line = lines.line(handler.span().start);
                Located { line, value: SignIn::Session(known.session_handler(handler, OF)?) }
            }
            (None, Some(header), Some(proxies)) => header_sign_in(lines, &header, proxies.into_inner())?,
            (Some(_), Some(header), _) => {
                return Err(wrong(lines, header.span(), "`session` and `user_header` cannot be combined: remove one"));
            }
            (None, Some(header), None) => {
                let text = "`user_header` requires `trusted_proxies`: add the addresses of the proxies that set it";
                return Err(wrong(lines, header.span(), text));
            }
            (_, None, Some(proxies)) => {
                return Err(wrong(lines, proxies.span(), "`trusted_proxies` is for `user_header`: add that header"));
            }
        };
        if let Some(hours) = session_hours.as_ref().filter(|_| sign_in.value != SignIn::Link) {
            let text = "`session_hours` is for people who sign in with a link of `keyward login`: remove it";
            return Err(wrong(lines, hours.span(), text));
        }
        let hours = match session_hours {
            None => DEFAULT_HOURS,
            Some(hours) if HOURS.contains(hours.get_ref()) => hours.into_inner(),
            Some(hours) => {
                let text = format!("`session_hours` must be a whole number from {} to {}", HOURS.start(), HOURS.end());
                return Err(wrong(lines, hours.span(), &text));
            }
        };
        let handlers = known.handler_names(handlers, OF)?;
        let listen = listen.map(|text| address(lines, Some(text), "pages.listen", PORT)).transpose()?;
        different(&[
            ("server.listen", Some(server.listen)),
            ("server.listen_plain", server.listen_plain),
            ("server.admin", Some(server.admin)),
            ("pages.listen", listen),
        ])?;
        if let (Some(url), Hosts::Only(hosts)) = (&url, &mut server.config.hosts) {
            hosts.insert(url.host().to_owned());
        }
        Ok(Pages { url, sign_in, handlers, session_time: Duration::from_secs(u64::from(hours) * 3_600), listen })
    }
}

/// The beginning of messages about the section.
const OF: &str = "`pages`";

fn wrong(lines: Lines<'_>, span: Range<usize>, text: &str) -> ConfigError {
    lines.error(Some(span), format!("{OF}: {text}"))
}

fn parse_url(lines: Lines<'_>, text: &Spanned<String>) -> Result<Url, ConfigError> {
    let url = text.get_ref().parse::<Url>();
    let url =
        url.map_err(|error| wrong(lines, text.span(), &format!("`url` is not an address in browsers: {error}")))?;
    if url.prefix() == "/v1" || url.prefix().starts_with("/v1/") {
        return Err(wrong(lines, text.span(), "paths below `/v1` are those of the API: use another path in `url`"));
    }
    Ok(url)
}

/// Checks `user_header = "NAME"`.
fn header_sign_in(
    lines: Lines<'_>,
    header: &Spanned<String>,
    proxies: Vec<Spanned<String>>,
) -> Result<Located<SignIn>, ConfigError> {
    let name = header.get_ref().to_ascii_lowercase();
    let may_name_a_person = !is_taken(&name) || USER_HEADERS.contains(&name.as_str());
    if HeaderName::try_from(&name).is_err() || !may_name_a_person {
        let text =
            "`user_header` is the name of a header without another meaning, such as `X-Forwarded-User`: correct it";
        return Err(wrong(lines, header.span(), text));
    }
    let proxies = networks(lines, proxies)?;
    Ok(Located { line: lines.line(header.span().start), value: SignIn::Header { name, proxies } })
}

impl Pages {
    /// Returns the configured port of the listener that serves the pages; 0 if the system picks it.
    pub(crate) fn port(&self, server: &Server) -> u16 {
        self.listen.unwrap_or(server.listen).value.port()
    }
}

impl Config {
    /// Returns the settings of the pages for the server. Without `url`, their address has this
    /// port, or else the configured one.
    pub(crate) fn served_pages(&self, port: Option<u16>) -> Option<keyward_pages::Config> {
        let pages = self.pages.as_ref()?;
        let is_https = self.server.tls.is_some() && pages.listen.is_none();
        let own = || Url::localhost(is_https, port.unwrap_or_else(|| pages.port(&self.server)));
        let mut config = keyward_pages::Config::new(pages.url.clone().unwrap_or_else(own), pages.sign_in.value.clone());
        config.handlers.clone_from(&pages.handlers);
        config.session_time = pages.session_time;
        Some(config)
    }
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
