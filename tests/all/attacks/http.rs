//! Endpoints that hostile handlers may request.

use keyward_runtime::http::{Forwards, HttpAdditions, HttpEndpoint, HttpError, HttpFuture, HttpResponse};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The response of the test server to the parameter `id`.
enum Site {
    /// Returns it, with the status 403.
    Echo,
    /// Returns 17 MiB.
    Long,
    /// Redirects.
    Redirect,
    /// Returns the cookies that the host has added.
    Cookies,
    /// Never responds, in spite of its timeout.
    Silent,
}

impl HttpEndpoint for Site {
    fn timeout(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn parameters(&self) -> &[String] {
        static ID: LazyLock<Vec<String>> = LazyLock::new(|| vec!["id".to_owned()]);
        &ID
    }

    fn forwards(&self) -> &Forwards {
        static NONE: LazyLock<Forwards> = LazyLock::new(Forwards::default);
        static COOKIE: LazyLock<Forwards> =
            LazyLock::new(|| Forwards { cookies: vec!["sid".to_owned()], ..Forwards::default() });
        if matches!(self, Self::Cookies) { &COOKIE } else { &NONE }
    }

    fn send(&self, HttpAdditions { query, headers, cookies }: HttpAdditions) -> HttpFuture<'_> {
        assert!(headers.is_empty() && (cookies.is_empty() || matches!(self, Self::Cookies)));
        assert!(query.len() <= 1 && query.iter().all(|(name, _)| name == "id"));
        let body = match self {
            Self::Echo => Ok(query.into_iter().flat_map(|(_, value)| value.into_bytes()).collect()),
            Self::Cookies => Ok(cookies.into_iter().flat_map(|(_, value)| value.into_bytes()).collect()),
            Self::Long => Ok(vec![0; 17 << 20]),
            Self::Redirect => Err(HttpError::Refused),
            Self::Silent => return Box::pin(std::future::pending()),
        };
        Box::pin(async { body.map(|body| HttpResponse { status: 403, content_type: Some("text/x".to_owned()), body }) })
    }
}

fn labels<const N: usize>(labels: [(&str, Site); N]) -> BTreeMap<String, Arc<dyn HttpEndpoint>> {
    labels.into_iter().map(|(label, site)| (label.to_owned(), Arc::new(site) as Arc<dyn HttpEndpoint>)).collect()
}

/// Returns the endpoints granted to a hostile handler.
pub(super) fn granted() -> BTreeMap<String, Arc<dyn HttpEndpoint>> {
    labels([("mine", Site::Echo), ("long", Site::Long), ("moved", Site::Redirect), ("cookies", Site::Cookies)])
}

/// Returns an endpoint that never responds.
pub(super) fn silent() -> BTreeMap<String, Arc<dyn HttpEndpoint>> {
    labels([("mine", Site::Silent)])
}

/// Returns the endpoints granted to the other handler.
pub(super) fn of_the_other() -> BTreeMap<String, Arc<dyn HttpEndpoint>> {
    labels([("theirs", Site::Echo)])
}
