//! Tests of `[server]`, `[callers]` and `[policies]`.

use super::*;
use crate::config;
use keyward_runtime::Permission;
use keyward_server::{Handlers, PathPattern, Sees};

/// What every configuration needs; more lines begin on line 7.
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

/// The sentence, which must be about this line of what is added.
#[track_caller]
fn error(line: usize, more: &str) -> String {
    let ConfigError { line: at, text } = parse(more).unwrap_err();
    assert_eq!(at, Some(line + 6), "{more}: {text}");
    assert_eq!(text.lines().count(), 1, "{more}: {text}");
    text
}

#[test]
fn what_is_left_out_has_its_default() {
    let Server { listen, operations, tls, config } = parse("").unwrap();
    let Config { issuer, realm, hosts, query_parameter, callers, policies, forward_auth, tls: loaded, limits, .. } =
        config;
    assert_eq!(listen, Address { line: None, value: "127.0.0.1:8787".parse().unwrap() });
    assert_eq!(operations, Address { line: None, value: "127.0.0.1:8788".parse().unwrap() });
    assert!(tls.is_none() && loaded.is_none() && issuer.is_none() && query_parameter.is_none());
    assert!(callers.is_empty() && policies.is_empty());
    assert_eq!((realm, hosts, limits), (Realm::default(), Hosts::default(), Limits::default()));
    assert_eq!(format!("{forward_auth:?}"), format!("{:?}", ForwardAuth::default()));
}

#[test]
fn everything_has_its_place() {
    let Server { listen, operations, tls, config } = parse(
        r#"[server]
listen = "0.0.0.0:443"
operations = "[::1]:0"
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
    assert_eq!((operations.line, operations.value), (Some(9), "[::1]:0".parse().unwrap()));
    assert_eq!(config.hosts, Hosts::and(["auth.example.org", "10.0.0.1"]).unwrap());
    assert_eq!((config.realm.as_str(), config.issuer.unwrap().as_str()), ("the shop", "https://auth.example.org"));
    let tls = tls.unwrap();
    assert_eq!(
        (tls.line, tls.value.certificate.to_str(), tls.value.key.to_str()),
        (13, Some("tls.pem"), Some("tls.key"))
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
fn every_limit_reaches_its_place_and_no_other() {
    let seconds = |seconds| Duration::from_secs(seconds);
    let own: [(&str, u32, Set); 10] = [
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
    ];
    for (setting, value, set) in own {
        let mut wanted = Limits::default();
        set(&mut wanted);
        let server = parse(&format!("[server.limits]\n{setting} = {value}")).unwrap();
        assert_eq!(server.config.limits, wanted, "{setting}");
        let too_low = if setting == "header_bytes" { 8_191 } else { 0 };
        if setting != "drain_seconds" {
            let text = error(2, &format!("[server.limits]\n{setting} = {too_low}"));
            assert!(text.starts_with(&format!("`limits.{setting}` is a number from ")), "{text}");
        }
        error(2, &format!("[server.limits]\n{setting} = 4294967295"));
        error(2, &format!("[server.limits]\n{setting} = -1"));
    }
    let none = parse("[server.limits]\ndrain_seconds = 0").unwrap();
    assert_eq!(none.config.limits.drain_time, seconds(0));
}

#[test]
fn callers_have_their_rights_and_nothing_else() {
    let server = parse(&format!(
        "[callers.app]\nsecret_sha256 = \"{DIGEST}\"\nmay = [\"verify\", \"introspect\"]\nhandlers = [\"signed\"]\n\
         [callers.B-_9]\nsecret_sha256 = \"{}\"\nmay = [\"create\", \"delegate\", \"list-all\", \"edit\", \"list\"]\n\
         [callers.own]\nsecret_sha256 = \"{}\"\nmay = [\"list\"]\n",
        "0".repeat(64),
        "1".repeat(64)
    ))
    .unwrap();
    let callers = server.config.callers;
    assert_eq!(callers.keys().collect::<Vec<_>>(), ["B-_9", "app", "own"]);
    let app = &callers["app"];
    assert_eq!(app.secret.to_hex(), DIGEST.to_lowercase());
    assert_eq!((app.introspect, app.verify, app.create), (true, true, false));
    assert_eq!((app.sees, app.edit, app.delegate), (Sees::Nothing, false, false));
    assert_eq!(app.handlers, Handlers::Only(["signed".to_owned()].into()));
    let other = &callers["B-_9"];
    assert_eq!((other.introspect, other.verify, other.create), (false, false, true));
    assert_eq!((other.sees, other.edit, other.delegate), (Sees::All, true, true));
    let own = &callers["own"];
    assert_eq!((own.create, own.sees, own.edit, own.delegate), (false, Sees::Own, false, false));
    assert_eq!(other.handlers, Handlers::All);
}

#[test]
fn policies_require_what_they_say() {
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

    // An action of that name is meant, where there is one.
    let named = parse("any = \"a\"\n[policies]\nx = { action = \"any\" }\n").unwrap();
    assert_eq!(named.config.policies["x"].permission, Some(Permission::new("any")));
}

#[test]
fn mistakes_in_the_server_are_named_with_their_line() {
    for (setting, words) in [
        ("listne = 1", "unknown field `listne`; expected one of"),
        ("listen = \"localhost:8787\"", "`listen` is no address with a port: write one such as `127.0.0.1:8787`"),
        ("listen = 8787", "this integer is of the wrong kind"),
        ("operations = \"127.0.0.1\"", "`operations` is no address with a port: write one such as `127.0.0.1:8788`"),
        ("operations = \"127.0.0.1:8787\"", "`listen` and `operations` are the same address"),
        ("listen = \"127.0.0.1:8788\"", "`listen` and `operations` are the same address"),
        ("hosts = \"all\"", "`hosts` is a list such as"),
        ("hosts = [\"auth.example.org:443\"]", "`hosts` names a host such as"),
        ("hosts = [1]", "this integer is of the wrong kind"),
        ("realm = \"a\\\"b\"", "`realm` is not 1 to 100"),
        ("issuer = \"http://auth.example.org\"", "`issuer` is no `https://` URL"),
        ("issuer = \"https://auth.example.org/\"", "`issuer` is no `https://` URL without path"),
        ("issuer = \"https://auth.example.org/tenant\"", "`issuer` is no `https://` URL without path"),
        ("tls = { certificate = \"a\" }", "`key` is missing"),
        ("tls = { certificate = \"a\", key = \"b\", mode = 1 }", "unknown field `mode`"),
        ("query_parameter = \"a b\"", "`query_parameter` is 1 to 64 of the characters"),
        ("query_parameter = \"\"", "`query_parameter` is 1 to 64 of the characters"),
        ("forward_auth = { trusted = [] }", "unknown field `trusted`"),
        ("forward_auth = { trusted_proxies = [\"proxy.example.org\"] }", "`trusted_proxies` has networks such as"),
        ("forward_auth = { headers = { user = \"X-User\" } }", "unknown field `user`"),
        ("forward_auth = { headers = { subject = \"X User\" } }", "`headers` has names of headers of your own"),
        ("forward_auth = { headers = { subject = \"Authorization\" } }", "`headers` has names of headers of your own"),
        ("forward_auth = { headers = { subject = \"X-Auth-Scopes\" } }", "`headers` has `x-auth-scopes` twice"),
        ("forward_auth = { headers = { expires = \"x-auth-subject\" } }", "`headers` has `x-auth-subject` twice"),
        ("forward_auth = { refuse_forged = \"yes\" }", "this string is of the wrong kind"),
        ("limits = { conections = 1 }", "unknown field `conections`"),
        ("limits = { headers = 10001 }", "`limits.headers` is a number from 1 to 10000"),
    ] {
        let text = error(2, &format!("[server]\n{setting}"));
        assert!(text.starts_with(words), "{setting}: {text}");
    }
    assert!(parse("[server]\nlisten = \"127.0.0.1:0\"\noperations = \"127.0.0.1:0\"").is_ok());
}

#[test]
fn mistakes_in_callers_are_named_with_their_line() {
    let with_id = |id: &str, more: &str| format!("[callers.{id}]\nsecret_sha256 = \"{DIGEST}\"\n{more}");
    let caller = |more: &str| with_id("app", more);
    for (more, line, words) in [
        (with_id("\"a b\"", "may = [\"verify\"]"), 1, "a caller's id is 1 to 64 of the characters"),
        (with_id(&"a".repeat(65), "may = [\"verify\"]"), 1, "a caller's id is 1 to 64 of the characters"),
        ("[callers.app]\nmay = [\"verify\"]".to_owned(), 1, "`secret_sha256` is missing; add it"),
        (caller(""), 1, "`may` is missing; add it"),
        (caller("may = []"), 3, "caller `app`: `may` has no word"),
        (
            caller("may = [\n\"verify\",\n\"revise\"]"),
            5,
            "caller `app`: `may` has the words `introspect`, `verify`, `create`, `revoke`, `list`, `list-all`, `edit` and",
        ),
        (caller("may = [\"verify\",\n\"edit\"]"), 3, "caller `app`: `edit` is for tokens that it sees: add `list`"),
        (caller("may = [\"list\", \"delegate\"]"), 3, "caller `app`: `delegate` is for tokens that it makes: add"),
        (caller("may = \"verify\""), 3, "this string is of the wrong kind"),
        (caller("may = [\"verify\"]\nhandlers = [\"sinned\"]"), 4, "caller `app`: `handlers` names `sinned`"),
        (caller("may = [\"verify\"]\nhandlers = []"), 4, "caller `app`: `handlers` names none"),
        (caller("may = [\"verify\"]\nsecret = \"a\""), 4, "unknown field `secret`"),
        (
            caller("may = [\"verify\"]\n") + &with_id("b", "may = [\"verify\"]"),
            5,
            "caller `b`: it has the secret of `app`: make one of its own with `keyward caller b`",
        ),
    ] {
        let text = error(line, &more);
        assert!(text.starts_with(words), "{more}: {text}");
    }
    // What stands there by mistake may be the secret.
    const SECRET: &str = "kwc_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U";
    for wrong in
        ["secret_sha256 = \"SECRET\"", "secret_sha256 = [\"SECRET\"]", "may = \"SECRET\"", "may = [\"SECRET\"]"]
    {
        let text = parse(&format!("[callers.app]\nmay = [\"verify\"]\n{}", wrong.replace("SECRET", SECRET)));
        assert!(!text.unwrap_err().text.contains(SECRET), "{wrong}");
        let text = parse(&caller(&wrong.replace("SECRET", SECRET)));
        assert!(!text.unwrap_err().text.contains(SECRET), "{wrong}");
    }
}

#[test]
fn mistakes_in_policies_are_named_with_their_line() {
    for (policy, words) in [
        ("\"a/b\" = \"any\"", "a policy's name is 1 to 64 of the characters"),
        ("x = \"all\"", "a policy is the word `\"any\"`, or a table such as"),
        ("x = [\"any\"]", "this sequence is of the wrong kind; expected `\"any\"`, or a table"),
        ("x = {}", "`action` is missing; add it"),
        ("x = { actoin = \"view-table\" }", "unknown field `actoin`"),
        ("x = { action = \"vt\" }", "policy `x`: `vt` is short for `view-table`: write that"),
        ("x = { action = \"fly\" }", "policy `x`: the action `fly` is not in `[actions]`"),
        (
            "x = { action = \"view-table\", resource = \"t\" }",
            "policy `x`: `resource` is in no database: add `database`",
        ),
        ("x = { action = \"any\", database = \"d\" }", "policy `x`: `any` goes with no `database`"),
        ("x = { action = \"view-table\", handlers = [\"sinned\"] }", "policy `x`: `handlers` names `sinned`"),
        ("x = { action = \"view-table\", handlers = [] }", "policy `x`: `handlers` names none"),
        ("x = { action = \"view-table\", methods = [\"get\"] }", "policy `x`: `methods` has names of methods"),
        ("x = { action = \"view-table\", methods = [\"M-SEARCH\"] }", "policy `x`: `methods` has names of methods"),
        ("x = { action = \"view-table\", methods = [] }", "policy `x`: `methods` names none"),
        (
            "x = { action = \"view-table\", paths = [\"api\"] }",
            "policy `x`: `paths` has a pattern that no path can fit",
        ),
        (
            "x = { action = \"view-table\", paths = [\"/a/../b\"] }",
            "policy `x`: `paths` has a pattern that no path can fit",
        ),
        ("x = { action = \"view-table\", paths = [] }", "policy `x`: `paths` has no pattern"),
    ] {
        let text = error(3, &format!("[policies]\nfirst = \"any\"\n{policy}"));
        assert!(text.starts_with(words), "{policy}: {text}");
    }
}
