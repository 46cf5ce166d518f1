use super::*;

/// A configuration with a store; lines added by a test begin on line 10.
const BEFORE: &str = r#"[store]
sqlite = "keyward.db"
[[handlers]]
name = "signed"
component = "builtin:signed"
[[handlers]]
name = "other"
component = "other.wasm"
actors = "any"
"#;

fn parse(more: &str) -> Result<Config, ConfigError> {
    Config::parse(&format!("{BEFORE}{more}"))
}

/// Returns the message of an error, which must be on this line of the added text.
#[track_caller]
fn error(line: usize, more: &str) -> String {
    let ConfigError { line: at, text } = parse(more).unwrap_err();
    assert_eq!(at, Some(line + 9), "{more}: {text}");
    assert_eq!(text.lines().count(), 1, "{more}: {text}");
    text
}

/// Returns the settings that the server gets.
#[track_caller]
fn served(more: &str) -> keyward_pages::Config {
    parse(more).unwrap().served_pages(None).unwrap()
}

fn hosts(more: &str) -> Hosts {
    parse(more).unwrap().server.config.hosts
}

#[test]
fn omitted_settings_have_their_defaults() {
    assert!(parse("").unwrap().pages.is_none());
    assert!(parse("").unwrap().served_pages(None).is_none());
    let keyward_pages::Config { url, sign_in, handlers, session_time, .. } = served("[pages]");
    assert_eq!((url.to_string().as_str(), sign_in, handlers), ("http://localhost:8787", SignIn::Link, None));
    assert_eq!(session_time, Duration::from_secs(12 * 3_600));
    assert_eq!(hosts("[pages]"), Hosts::default());
    assert!(parse("[pages]").unwrap().pages.unwrap().listen.is_none());
}

#[test]
fn every_setting_is_parsed() {
    let more = "[pages]\nurl = \"https://Tokens.example.org:444/auth/\"\nhandlers = [\"other\", \"signed\"]\n\
                session_hours = 720\nlisten = \"127.0.0.1:8790\"";
    let config = parse(more).unwrap();
    let listen = config.pages.as_ref().unwrap().listen.unwrap();
    assert_eq!((listen.line, listen.value), (Some(14), "127.0.0.1:8790".parse().unwrap()));
    let keyward_pages::Config { url, sign_in, handlers, session_time, .. } = config.served_pages(Some(1)).unwrap();
    assert_eq!((url.to_string().as_str(), sign_in), ("https://tokens.example.org:444/auth", SignIn::Link));
    assert_eq!(handlers, Some(vec!["other".to_owned(), "signed".to_owned()]));
    assert_eq!(session_time, Duration::from_secs(720 * 3_600));

    assert_eq!(served("[pages]\nsession = \"other\"").sign_in, SignIn::Session("other".to_owned()));
    let more = "[pages]\nuser_header = \"X-Forwarded-User\"\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]";
    let proxies = ["10.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap()).to_vec();
    assert_eq!(served(more).sign_in, SignIn::Header { name: "x-forwarded-user".to_owned(), proxies });
    let more = "[pages]\nuser_header = \"Remote-User\"\ntrusted_proxies = []";
    assert_eq!(served(more).sign_in, SignIn::Header { name: "remote-user".to_owned(), proxies: Vec::new() });
}

#[test]
fn without_a_url_the_address_is_that_of_the_listener() {
    let tls = "tls = { certificate = \"a\", key = \"b\" }";
    for (more, port, wanted) in [
        ("[pages]\n[server]\nlisten = \"0.0.0.0:80\"".to_owned(), None, "http://localhost:80"),
        ("[pages]\n[server]\nlisten = \"127.0.0.1:0\"".to_owned(), Some(7), "http://localhost:7"),
        (format!("[pages]\n[server]\n{tls}"), None, "https://localhost:8787"),
        (format!("[pages]\nlisten = \"127.0.0.1:9\"\n[server]\n{tls}"), None, "http://localhost:9"),
        ("[pages]\nlisten = \"127.0.0.1:0\"".to_owned(), Some(7), "http://localhost:7"),
    ] {
        assert_eq!(parse(&more).unwrap().served_pages(port).unwrap().url.to_string(), wanted, "{more}");
    }
}

#[test]
fn the_host_of_the_url_is_accepted() {
    let more = "[pages]\nurl = \"https://tokens.example.org:444/auth\"\n[server]\n";
    assert_eq!(hosts(more), Hosts::and(["tokens.example.org"]).unwrap());
    assert_eq!(
        hosts(&format!("{more}hosts = [\"a.example\"]")),
        Hosts::and(["a.example", "tokens.example.org"]).unwrap()
    );
    assert_eq!(hosts(&format!("{more}hosts = \"any\"")), Hosts::Any);
    assert_eq!(hosts("[pages]\nurl = \"http://[2001:db8::1]:80\""), Hosts::and(["[2001:db8::1]"]).unwrap());
}

#[test]
fn errors_have_their_line() {
    for (setting, words) in [
        ("url = \"tokens.example.org\"", "`pages`: `url` is not an address in browsers: use http:// or https://"),
        ("url = \"http://:80\"", "`pages`: `url` is not an address"),
        ("url = \"https://a.example/?b\"", "`pages`: `url` is not an address"),
        ("url = \"https://a.example/v1\"", "`pages`: paths below `/v1` are those of the API"),
        ("url = \"https://a.example/v1/x/\"", "`pages`: paths below `/v1` are those of the API"),
        ("session = \"site\"", "`pages`: `session` names `site`, but there is no such handler"),
        ("user_header = \"X-User\"", "`pages`: `user_header` requires `trusted_proxies`"),
        ("trusted_proxies = [\"::1\"]", "`pages`: `trusted_proxies` is for `user_header`"),
        ("handlers = [\"sinned\"]", "`pages`: `handlers` names `sinned`, but there is no such handler"),
        ("handlers = []", "`pages`: `handlers` is empty"),
        ("session_hours = 0", "`pages`: `session_hours` must be a whole number from 1 to 720"),
        ("session_hours = 721", "`pages`: `session_hours` must be a whole number from 1 to 720"),
        ("listen = \"localhost:8790\"", "`pages.listen` is not an address with a port"),
        ("listen = \"127.0.0.1:8787\"", "`server.listen` and `pages.listen` are the same address"),
        ("listen = \"127.0.0.1:8788\"", "`server.admin` and `pages.listen` are the same address"),
        ("hosts = []", "unknown field `hosts`"),
    ] {
        let text = error(2, &format!("[pages]\n{setting}"));
        assert!(text.starts_with(words), "{setting}: {text}");
    }
    for (settings, line, words) in [
        ("session = \"other\"\nuser_header = \"X-User\"", 3, "`pages`: `session` and `user_header` cannot be combined"),
        ("session = \"other\"\ntrusted_proxies = []", 3, "`pages`: `trusted_proxies` is for `user_header`"),
        ("session = \"other\"\nsession_hours = 1", 3, "`pages`: `session_hours` is for people who sign in with a link"),
        (
            "user_header = \"X-User\"\ntrusted_proxies = []\nsession_hours = 1",
            4,
            "`pages`: `session_hours` is for people",
        ),
        ("user_header = \"X User\"\ntrusted_proxies = []", 2, "`pages`: `user_header` is the name of a header"),
        ("user_header = \"\"\ntrusted_proxies = []", 2, "`pages`: `user_header` is the name of a header"),
        (
            "user_header = \"X-User\"\ntrusted_proxies = [\"proxy\"]",
            3,
            "`trusted_proxies` lists addresses and networks",
        ),
    ] {
        let text = error(line, &format!("[pages]\n{settings}"));
        assert!(text.starts_with(words), "{settings}: {text}");
    }
    for taken in
        ["Authorization", "Cookie", "HOST", "Connection", "TE", "Proxy-User", "X-Forwarded-For", "Content-Type"]
    {
        let text = error(2, &format!("[pages]\nuser_header = \"{taken}\"\ntrusted_proxies = []"));
        assert!(text.starts_with("`pages`: `user_header` is the name of a header without another meaning"), "{text}");
    }
}

#[test]
fn pages_require_a_store() {
    let error = Config::parse("\n[pages]\n[[handlers]]\nname = \"h\"\ncomponent = \"builtin:signed\"").unwrap_err();
    assert_eq!(error.line, Some(2));
    assert!(error.text.starts_with("`pages`: ") && error.text.contains("requires a `[store]`"), "{}", error.text);
}

#[test]
fn no_client_has_the_name_of_the_pages() {
    let digest = "0".repeat(64);
    for pages in ["", "[pages]\n"] {
        let text = error(
            1 + pages.lines().count(),
            &format!("{pages}[clients.page]\nsecret_sha256 = \"{digest}\"\nmay = [\"verify\"]"),
        );
        assert!(text.starts_with("client `page`: this id is reserved for changes made on the pages"), "{text}");
    }
}
