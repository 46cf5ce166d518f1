//! The pages of people who own tokens, in process: a browser sends what the pages' forms say.

mod browser;
mod flows;
mod people;
mod served;
mod sign_in;

use crate::managed::{NOW, builder};
use crate::support::TestClock;
use keyward_audit::{Audit, Settings};
use keyward_pages::{Config, Host, Pages, Request, SignIn};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::keys::{KeyRing, Secret};
use keyward_runtime::registry::RegistryBuilder;
use keyward_runtime::store::TokenStore;
use keyward_runtime::{CreateRequest, Creation, HandlerConfig, Registry};
use keyward_service::Metrics;
use keyward_store::{Location, Store};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A site with pages, whose clock the test sets.
struct Site {
    pages: Pages,
    registry: Registry,
    store: Arc<Store>,
    audit: Arc<Audit>,
    audit_file: PathBuf,
    metrics: Metrics,
    peer: Cell<Option<IpAddr>>,
    _folder: TempDir,
}

impl Site {
    /// Creates a site whose people sign in with links.
    fn new(url: &str) -> Self {
        Self::with(Config::new(url.parse().unwrap(), SignIn::Link), |_| {})
    }

    fn with(config: Config, change: impl Fn(&mut HandlerConfig)) -> Self {
        Self::build(config, change, |builder| builder)
    }

    fn build(
        config: Config,
        change: impl Fn(&mut HandlerConfig),
        add: impl FnOnce(RegistryBuilder) -> RegistryBuilder,
    ) -> Self {
        TestClock.set(Some(NOW));
        let folder = TempDir::new().unwrap();
        let store = Arc::new(Store::open(Location::sqlite(folder.path().join("keyward.db"))).unwrap());
        let ring = Arc::new(KeyRing::new("main", Secret::new([7; 32]), Vec::new()).unwrap());
        let builder = builder(store.clone() as Arc<dyn TokenStore>, ring, change);
        let registry = add(builder.open_actions()).build().unwrap();
        let audit_file = folder.path().join("audit.jsonl");
        let audit = Audit::open(Settings::new(&audit_file), || Duration::from_secs(NOW.seconds)).unwrap();
        let peer = Cell::new(Some(Ipv4Addr::LOCALHOST.into()));
        Self {
            pages: Pages::new(config),
            registry,
            store,
            audit: Arc::new(audit),
            audit_file,
            metrics: Metrics::default(),
            peer,
            _folder: folder,
        }
    }

    fn later(&self, seconds: u64) {
        TestClock.set(Some(NOW.later(seconds)));
    }

    fn now(&self) -> UnixTime {
        self.registry.now().unwrap()
    }

    /// Creates a link for a person, as a path.
    fn link(&self, actor: &str) -> String {
        let link = keyward_pages::link(&*self.store, self.pages.config(), Some(&*self.audit), actor, self.now());
        let link = pollster::block_on(link).unwrap();
        link.strip_prefix(&self.pages.config().url.to_string()).unwrap().to_owned()
    }

    /// Returns a browser in which a person is signed in.
    fn browser(&self, actor: &str) -> Browser<'_> {
        let browser = Browser::new(self);
        let signed_in = browser.post(&self.link(actor), &[]);
        assert_eq!(signed_in.status, 303, "{signed_in:?}");
        browser
    }

    /// Issues a token beside the pages, and returns its path on them.
    fn token(&self, request: CreateRequest) -> String {
        match self.registry.create_blocking(request).unwrap() {
            Creation::Created(created) => {
                format!("/tokens/of/{}/{}", created.handler, created.token_id.unwrap())
            }
            Creation::Denied(denied) => panic!("{denied:?}"),
        }
    }
}

/// A browser with the cookies of one site.
struct Browser<'a> {
    site: &'a Site,
    cookies: RefCell<BTreeMap<String, String>>,
    /// More headers of each request.
    headers: RefCell<Vec<(String, String)>>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    text: String,
}

impl<'a> Browser<'a> {
    fn new(site: &'a Site) -> Self {
        let headers = vec![("sec-fetch-site".to_owned(), "same-origin".to_owned())];
        Self { site, cookies: RefCell::default(), headers: headers.into() }
    }

    /// Replaces the headers that show where a request comes from.
    fn from(&self, headers: &[(&str, &str)]) -> &Self {
        *self.headers.borrow_mut() = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        self
    }

    fn get(&self, target: &str) -> Answer {
        self.send("GET", target, "")
    }

    fn post(&self, target: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = form_urlencoded::Serializer::new(String::new());
        self.send("POST", target, &form.extend_pairs(fields).finish())
    }

    fn send(&self, method: &str, target: &str, body: &str) -> Answer {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = http::Request::builder().header("host", "tokens.example");
        for (name, value) in &*self.headers.borrow() {
            request = request.header(name, value);
        }
        let cookies: Vec<_> = self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        let request = request.body(()).unwrap();
        let site = self.site;
        let host = Host {
            registry: &site.registry,
            audit: Some(&site.audit),
            metrics: &site.metrics,
            request_id: "0",
            peer: site.peer.get(),
        };
        let method = method.parse().unwrap();
        let request = Request { method: &method, path, query, headers: request.headers(), body: body.as_bytes() };
        assert!(site.pages.contain(path), "{path}");
        let response = pollster::block_on(site.pages.answer(host, request));
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        let headers: Vec<_> =
            response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        for (_, cookie) in headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (pair, attributes) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0;") {
                self.cookies.borrow_mut().remove(name);
            } else {
                self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
            }
        }
        let answer = Answer { status: response.status().as_u16(), headers, text: response.into_body() };
        answer.is_protected();
        answer
    }

    /// Sends the form with this action on the last page, with the given fields in place of its own.
    fn submit(&self, page: &Answer, action: &str, changes: &[(&str, &str)]) -> Answer {
        let mut fields: Vec<_> = page.fields_of(action);
        fields.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<_> = fields.chain(changes.iter().copied()).collect();
        self.post(action, &fields)
    }

    /// Creates a token, and returns the page that shows it.
    fn create(&self, description: &str, changes: &[(&str, &str)]) -> Answer {
        let form = self.get("/tokens/new");
        let changes: Vec<_> = changes.iter().copied().chain([("description", description)]).collect();
        let review = self.submit(&form, "/tokens/new", &changes);
        assert_eq!(review.status, 200, "{}", review.text);
        let created = self.submit(&review, "/tokens/new", &[("step", "create")]);
        assert_eq!(created.status, 200, "{}", created.text);
        created
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Checks the headers that each response has, and its size.
    fn is_protected(&self) {
        let policy = self.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(self.header("x-frame-options"), Some("DENY"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(self.header("referrer-policy"), Some("same-origin"));
        assert!(["no-store", "no-cache"].contains(&self.header("cache-control").unwrap()));
        assert!(self.text.len() < 30 << 10, "{} bytes", self.text.len());
        for attribute in ["href=\"", "src=\"", "action=\"", "url="] {
            let mut targets = self.text.split(attribute).skip(1);
            assert!(targets.all(|target| target.starts_with(['/', '#']) && !target.starts_with("//")), "{}", self.text);
        }
    }

    /// Returns the fields of the form with this action: of inputs, text areas and selections.
    fn fields_of(&self, action: &str) -> Vec<(String, String)> {
        let start = format!("<form method=\"post\" action=\"{action}\">");
        let (_, form) = self.text.split_once(&start).unwrap_or_else(|| panic!("no form {action}: {}", self.text));
        let (form, _) = form.split_once("</form>").unwrap();
        let mut fields = Vec::new();
        for tag in form.split('<') {
            let attribute = |name: &str| {
                let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
                Some(plain(rest.split_once('"')?.0))
            };
            let is_sent =
                !tag.contains("type=\"checkbox\"") && !tag.contains("type=\"radio\"") || tag.contains(" checked");
            match tag.split([' ', '>']).next() {
                Some("input") if is_sent => {
                    fields.push((attribute("name").unwrap(), attribute("value").unwrap_or_default()))
                }
                Some("select") => fields.push((attribute("name").unwrap(), String::new())),
                Some("option") if tag.contains(" selected") || fields.last().is_some_and(|(_, v)| v.is_empty()) => {
                    fields.last_mut().unwrap().1 = attribute("value").unwrap();
                }
                _ => {}
            }
        }
        fields
    }

    /// Returns the new token that the page shows.
    fn token(&self) -> String {
        let (_, rest) = self.text.split_once("<textarea ").unwrap_or_else(|| panic!("no token: {}", self.text));
        plain(rest.split_once('>').unwrap().1.split_once("</textarea>").unwrap().0)
    }
}

/// Returns a text without the escapes of HTML.
fn plain(text: &str) -> String {
    text.replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">").replace("&#38;", "&")
}
