//! Tests of `[server]`, `[clients]` and `[policies]`.

use super::*;
use crate::config;
use keyward_runtime::Permission;
use keyward_server::{Handlers, PathPattern, Right};

/// The handlers and actions of every test; lines added by a test begin on line 7.
const HANDLERS: &str = r#"[[handlers]]
name = "signed"
component = "builtin:signed"
[actions]
view-instance = "vi"
view-table = "vt"
"#;

type Set = fn(&mut Limits);

const DIGEST: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

fn parse(more: &str) -> Result<Server, ConfigError> {
    config::Config::parse(&format!("{HANDLERS}{more}")).map(|config| config.server)
}

/// Returns the message of an error, which must be on this line of the added text.
#[track_caller]
fn error(line: usize, more: &str) -> String {
    let ConfigError { line: at, text } = parse(more).unwrap_err();
    assert_eq!(at, Some(line + 6), "{more}: {text}");
    assert_eq!(text.lines().count(), 1, "{more}: {text}");
    text
}

#[test]
fn omitted_settings_have_their_defaults() {
    let Server { listen, listen_plain, listen_unix, admin, tls, config } = parse("").unwrap();
    assert!(listen_plain.is_none() && listen_unix.is_none());
    let Config { issuer, realm, hosts, query_parameter, clients, policies, forward_auth, tls: loaded, limits, .. } =
        config;
    assert_eq!(listen, Address { line: None, value: "127.0.0.1:8787".parse().unwrap() });
    assert_eq!(admin, Address { line: None, value: "127.0.0.1:8788".parse().unwrap() });
    assert!(tls.is_none() && loaded.is_none() && issuer.is_none() && query_parameter.is_none());
    assert!(clients.is_empty() && policies.is_empty());
    assert_eq!((realm, hosts, limits), (Realm::default(), Hosts::default(), Limits::default()));
    assert_eq!(format!("{forward_auth:?}"), format!("{:?}", ForwardAuth::default()));
}

#[test]
fn every_setting_is_parsed() {
    let Server { listen, listen_plain, listen_unix, admin, tls, config } = parse(
        r#"[server]
listen = "0.0.0.0:443"
admin = "[::1]:0"
listen_plain = "127.0.0.1:8789"
listen_unix = "keyward.sock"
hosts = ["Auth.example.org", "10.0.0.1"]
realm = "the shop"
issuer = "https://auth.example.org"
tls = { certificate = "tls.pem", key = "tls.key" }
query_parameter = "_auth_token"
[server.forward_auth]
trusted_proxies = ["10.0.0.0/8", "::1"]
headers = { subject = "X-User", expires = "x-until" }
remove_credentials = true
refuse_forged = true
"#,
    )
    .unwrap();
    assert_eq!((listen.line, listen.value), (Some(8), "0.0.0.0:443".parse().unwrap()));
    assert_eq!((admin.line, admin.value), (Some(9), "[::1]:0".parse().unwrap()));
    assert_eq!(listen_plain.map(|plain| (plain.line, plain.value.port())), Some((Some(10), 8789)));
    assert_eq!(listen_unix.map(|path| (path.line, path.value)), Some((11, "keyward.sock".into())));
    assert_eq!(config.hosts, Hosts::and(["auth.example.org", "10.0.0.1"]).unwrap());
    assert_eq!((config.realm.as_str(), config.issuer.unwrap().as_str()), ("the shop", "https://auth.example.org"));
    let tls = tls.unwrap();
    assert_eq!(
        (tls.line, tls.value.certificate.to_str(), tls.value.key.to_str()),
        (15, Some("tls.pem"), Some("tls.key"))
    );
    assert_eq!(config.query_parameter.as_deref(), Some("_auth_token"));
    let ForwardAuth { trusted_proxies, headers, remove_credentials, refuse_forged } = config.forward_auth;
    assert_eq!(trusted_proxies, ["10.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap()));
    let IdentityHeaders { subject, token_id, scopes, handler, expires } = headers;
    let names = [&subject, &token_id, &scopes, &handler, &expires].map(|name| name.as_str());
    assert_eq!(names, ["x-user", "x-auth-token-id", "x-auth-scopes", "x-auth-handler", "x-until"]);
    assert!(remove_credentials && refuse_forged);
    assert_eq!(parse("[server]\nhosts = \"any\"").unwrap().config.hosts, Hosts::Any);
}

#[test]
fn every_limit_sets_its_own_field() {
    let seconds = |seconds| Duration::from_secs(seconds);
    let own: [(&str, u32, Set); 12] = [
        ("connections", 7, |limits| limits.connections = 7),
        ("requests", 7, |limits| limits.requests = 7),
        ("headers", 7, |limits| limits.headers = 7),
        ("header_bytes", 8_192, |limits| limits.header_bytes = 8_192),
        ("body_bytes", 7, |limits| limits.body_bytes = 7),
        ("header_seconds", 7, |limits| limits.header_time = Duration::from_secs(7)),
        ("body_seconds", 7, |limits| limits.body_time = Duration::from_secs(7)),
        ("connection_seconds", 7, |limits| limits.connection_time = Duration::from_secs(7)),
        ("drain_seconds", 7, |limits| limits.drain_time = Duration::from_secs(7)),
        ("batch", 7, |limits| limits.batch = 7),
        ("failed_authentications", 7, |limits| limits.failed_authentications = NonZeroU32::new(7).unwrap()),
        ("failed_authentications_burst", 7, |limits| limits.failed_authentications_burst = NonZeroU32::new(7).unwrap()),
    ];
    for (setting, value, set) in own {
        let mut wanted = Limits::default();
        set(&mut wanted);
        let server = parse(&format!("[server.limits]\n{setting} = {value}")).unwrap();
        assert_eq!(server.config.limits, wanted, "{setting}");
        let too_low = if setting == "header_bytes" { 8_191 } else { 0 };
        if setting != "drain_seconds" {
            let text = error(2, &format!("[server.limits]\n{setting} = {too_low}"));
            assert!(text.starts_with(&format!("`limits.{setting}` must be a number from ")), "{text}");
        }
        error(2, &format!("[server.limits]\n{setting} = 4294967295"));
        error(2, &format!("[server.limits]\n{setting} = -1"));
    }
    let none = parse("[server.limits]\ndrain_seconds = 0").unwrap();
    assert_eq!(none.config.limits.drain_time, seconds(0));
}

#[test]
fn clients_have_exactly_their_rights() {
    let server = parse(&format!(
        "[clients.app]\nsecret_sha256 = \"{DIGEST}\"\nmay = [\"verify\", \"introspect\"]\nhandlers = [\"signed\"]\n\
         [clients.B-_9]\nsecret_sha256 = \"{}\"\nmay = [\"create\", \"delegate\", \"list-all\", \"edit\", \"list\"]\n\
         [clients.own]\nsecret_sha256 = \"{}\"\nmay = [\"list\"]\n",
        "0".repeat(64),
        "1".repeat(64)
    ))
    .unwrap();
    let clients = server.config.clients;
    assert_eq!(clients.keys().collect::<Vec<_>>(), ["B-_9", "app", "own"]);
    let app = &clients["app"];
    assert_eq!(app.secret.to_hex(), DIGEST.to_lowercase());
    assert_eq!(app.rights, [Right::Introspect, Right::Verify].into());
    assert_eq!(app.handlers, Handlers::Only(["signed".to_owned()].into()));
    let other = &clients["B-_9"];
    assert_eq!(other.rights, [Right::Create, Right::Delegate, Right::ListAll, Right::Edit, Right::List].into());
    assert_eq!(clients["own"].rights, [Right::List].into());
    assert_eq!(other.handlers, Handlers::All);
}

#[test]
fn policies_are_parsed() {
    let policies = r#"[policies]
members = "any"
mine = { action = "any", handlers = ["signed"] }
readers = { action = "view-instance" }
db = { action = "view-table", database = "shop" }
orders = { action = "view-table", database = "shop", resource = "orders", methods = ["GET", "HEAD"], paths = ["/a/*"] }
"#;
    let policies = parse(policies).unwrap().config.policies;
    let permission = |name: &str| policies[name].permission.clone();
    assert_eq!(permission("members"), None);
    assert_eq!(permission("mine"), None);
    assert_eq!(permission("readers"), Some(Permission::new("view-instance")));
    assert_eq!(permission("db"), Some(Permission::new("view-table").on_database("shop")));
    assert_eq!(permission("orders"), Some(Permission::new("view-table").on_resource("shop", "orders")));
    assert_eq!(policies["mine"].handlers, Handlers::Only(["signed".to_owned()].into()));
    assert!(policies["mine"].methods.is_none() && policies["mine"].paths.is_none());
    let methods = policies["orders"].methods.clone().unwrap();
    assert_eq!(methods.into_iter().collect::<Vec<_>>(), ["GET", "HEAD"]);
    assert_eq!(policies["orders"].paths, Some(vec![PathPattern::new("/a/*").unwrap()]));

    // An action named `any` takes precedence.
    let named = parse("any = \"a\"\n[policies]\nx = { action = \"any\" }\n").unwrap();
    assert_eq!(named.config.policies["x"].permission, Some(Permission::new("any")));
}

#[test]
fn errors_in_the_server_have_their_line() {
    for (setting, words) in [
        ("listne = 1", "unknown field `listne`; expected one of"),
        ("listen = \"localhost:8787\"", "`listen` is not an address with a port, such as `127.0.0.1:8787`"),
        ("listen = 8787", "this integer has the wrong type"),
        ("admin = \"127.0.0.1\"", "`admin` is not an address with a port, such as `127.0.0.1:8788`"),
        ("admin = \"127.0.0.1:8787\"", "`listen` and `admin` are the same address"),
        ("listen = \"127.0.0.1:8788\"", "`listen` and `admin` are the same address"),
        ("hosts = \"all\"", "`hosts` is a list such as"),
        ("hosts = [\"auth.example.org:443\"]", "`hosts` must list hosts without a port"),
        ("hosts = [1]", "this integer has the wrong type"),
        ("realm = \"a\\\"b\"", "`realm` must be 1 to 100"),
        ("issuer = \"http://auth.example.org\"", "`issuer` is not an `https://` URL"),
        ("issuer = \"https://auth.example.org/\"", "`issuer` is not an `https://` URL without path"),
        ("issuer = \"https://auth.example.org/tenant\"", "`issuer` is not an `https://` URL without path"),
        ("tls = { certificate = \"a\" }", "`key` is missing"),
        ("tls = { certificate = \"a\", key = \"b\", mode = 1 }", "unknown field `mode`"),
        ("query_parameter = \"a b\"", "`query_parameter` must be 1 to 64 of the characters"),
        ("query_parameter = \"\"", "`query_parameter` must be 1 to 64 of the characters"),
        ("forward_auth = { trusted = [] }", "unknown field `trusted`"),
        (
            "forward_auth = { trusted_proxies = [\"proxy.example.org\"] }",
            "`trusted_proxies` lists addresses and networks",
        ),
        ("forward_auth = { headers = { user = \"X-User\" } }", "unknown field `user`"),
        ("forward_auth = { headers = { subject = \"X User\" } }", "`headers` takes header names"),
        ("forward_auth = { headers = { subject = \"Authorization\" } }", "`headers` takes header names"),
        ("forward_auth = { headers = { subject = \"Set-Cookie\" } }", "`headers` takes header names"),
        ("forward_auth = { headers = { handler = \"Location\" } }", "`headers` takes header names"),
        ("forward_auth = { headers = { scopes = \"X-Accel-Redirect\" } }", "`headers` takes header names"),
        ("forward_auth = { headers = { scopes = \"x_accel.redirect\" } }", "`headers` takes header names"),
        ("listen_plain = \"127.0.0.1:8789\"", "`listen_plain` is for daemons with `tls`"),
        (
            "listen_plain = \"127.0.0.1:8788\"\ntls = { certificate = \"a\", key = \"b\" }",
            "`listen_plain` and `admin` are the same address",
        ),
        (
            "listen_plain = \"127.0.0.1:8787\"\ntls = { certificate = \"a\", key = \"b\" }",
            "`listen` and `listen_plain` are the same address",
        ),
        ("forward_auth = { headers = { subject = \"X-Auth-Scopes\" } }", "`headers` has `x-auth-scopes` twice"),
        ("forward_auth = { headers = { expires = \"x-auth-subject\" } }", "`headers` has `x-auth-subject` twice"),
        ("forward_auth = { refuse_forged = \"yes\" }", "this string has the wrong type"),
        ("limits = { conections = 1 }", "unknown field `conections`"),
        ("limits = { headers = 10001 }", "`limits.headers` must be a number from 1 to 10000"),
    ] {
        let text = error(2, &format!("[server]\n{setting}"));
        assert!(text.starts_with(words), "{setting}: {text}");
    }
    assert!(parse("[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"").is_ok());
}

#[test]
fn errors_in_clients_have_their_line() {
    let with_id = |id: &str, more: &str| format!("[clients.{id}]\nsecret_sha256 = \"{DIGEST}\"\n{more}");
    let client = |more: &str| with_id("app", more);
    for (more, line, words) in [
        (with_id("\"a b\"", "may = [\"verify\"]"), 1, "a client's id must be 1 to 64 of the characters"),
        (with_id(&"a".repeat(65), "may = [\"verify\"]"), 1, "a client's id must be 1 to 64 of the characters"),
        ("[clients.app]\nmay = [\"verify\"]".to_owned(), 1, "`secret_sha256` is missing; add it"),
        (client(""), 1, "`may` is missing; add it"),
        (client("may = []"), 3, "client `app`: `may` is empty"),
        (
            client("may = [\n\"verify\",\n\"revise\"]"),
            5,
            "client `app`: `may` takes only `introspect`, `verify`, `create`, `revoke`, `list`, `list-all`, `edit`, `delegate`",
        ),
        (
            client("may = [\"verify\",\n\"edit\"]"),
            3,
            "client `app`: `edit` applies to tokens that the client can see: add `list`",
        ),
        (client("may = [\"list\", \"delegate\"]"), 3, "client `app`: `delegate` requires `create`: add"),
        (client("may = \"verify\""), 3, "this string has the wrong type"),
        (client("may = [\"verify\"]\nhandlers = [\"sinned\"]"), 4, "client `app`: `handlers` names `sinned`"),
        (client("may = [\"verify\"]\nhandlers = []"), 4, "client `app`: `handlers` is empty"),
        (client("may = [\"verify\"]\nsecret = \"a\""), 4, "unknown field `secret`"),
        (
            client("may = [\"verify\"]\n") + &with_id("b", "may = [\"verify\"]"),
            5,
            "client `b`: its secret is that of `app`: generate another with `keyward client b`",
        ),
    ] {
        let text = error(line, &more);
        assert!(text.starts_with(words), "{more}: {text}");
    }
    // Any value may be the secret, by mistake.
    const SECRET: &str = "kwc_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U";
    for wrong in
        ["secret_sha256 = \"SECRET\"", "secret_sha256 = [\"SECRET\"]", "may = \"SECRET\"", "may = [\"SECRET\"]"]
    {
        let text = parse(&format!("[clients.app]\nmay = [\"verify\"]\n{}", wrong.replace("SECRET", SECRET)));
        assert!(!text.unwrap_err().text.contains(SECRET), "{wrong}");
        let text = parse(&client(&wrong.replace("SECRET", SECRET)));
        assert!(!text.unwrap_err().text.contains(SECRET), "{wrong}");
    }
}

#[test]
fn errors_in_policies_have_their_line() {
    for (policy, words) in [
        ("\"a/b\" = \"any\"", "a policy's name must be 1 to 64 of the characters"),
        ("x = \"all\"", "a policy is `\"any\"`, or a table such as"),
        ("x = [\"any\"]", "this sequence has the wrong type; expected `\"any\"`, or a table"),
        ("x = {}", "`action` is missing; add it"),
        ("x = { actoin = \"view-table\" }", "unknown field `actoin`"),
        ("x = { action = \"vt\" }", "policy `x`: `vt` is the abbreviation of `view-table`: use the full name"),
        ("x = { action = \"fly\" }", "policy `x`: the action `fly` is not in `[actions]`"),
        ("x = { action = \"view-table\", resource = \"t\" }", "policy `x`: `resource` requires `database`: add it"),
        ("x = { action = \"any\", database = \"d\" }", "policy `x`: `any` cannot be combined with `database`"),
        ("x = { action = \"view-table\", handlers = [\"sinned\"] }", "policy `x`: `handlers` names `sinned`"),
        ("x = { action = \"view-table\", handlers = [] }", "policy `x`: `handlers` is empty"),
        ("x = { action = \"view-table\", methods = [\"get\"] }", "policy `x`: `methods` lists methods"),
        ("x = { action = \"view-table\", methods = [\"M-SEARCH\"] }", "policy `x`: `methods` lists methods"),
        ("x = { action = \"view-table\", methods = [] }", "policy `x`: `methods` is empty"),
        (
            "x = { action = \"view-table\", paths = [\"api\"] }",
            "policy `x`: `paths` has a pattern that cannot match any path",
        ),
        (
            "x = { action = \"view-table\", paths = [\"/a/../b\"] }",
            "policy `x`: `paths` has a pattern that cannot match any path",
        ),
        ("x = { action = \"view-table\", paths = [] }", "policy `x`: `paths` is empty"),
    ] {
        let text = error(3, &format!("[policies]\nfirst = \"any\"\n{policy}"));
        assert!(text.starts_with(words), "{policy}: {text}");
    }
    for path in [
        "/a;x/*",
        "/a%3B*",
        "/a\\\\b",
        "/a%5cb",
        "/a%0a",
        "/%c0%ae%c0%ae/*",
        "/a%c0%afb",
        "/a%ef%bc%8fb",
        "/%ef%bc%8e*",
    ] {
        let text =
            error(3, &format!("[policies]\nfirst = \"any\"\nx = {{ action = \"view-table\", paths = [\"{path}\"] }}"));
        assert!(text.starts_with("policy `x`: `paths` has a pattern that cannot match any path"), "{path}: {text}");
    }
}
