//! Signing in, and requests that other sites cause.

use super::{Browser, Site};
use crate::managed::NOW;
use keyward_pages::{Config, LINK_MINUTES, SignIn};
use keyward_runtime::session::SessionGrant;
use keyward_runtime::store::Revocation;
use keyward_runtime::{Actors, HandlerConfig, Verdict};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

#[test]
fn a_link_works_once_for_some_minutes_and_only_with_its_button() {
    let site = Site::new("https://tokens.example");
    let link = site.link("ann");
    let (scanner, ann, other) = (Browser::new(&site), Browser::new(&site), Browser::new(&site));
    for _ in 0..3 {
        let page = scanner.from(&[]).get(&link);
        assert!(page.status == 200 && page.text.contains("Sign in as ann"), "{page:?}");
        assert_eq!(page.header("set-cookie"), None, "a scanner follows links");
    }
    let signed_in = ann.post(&link, &[]);
    assert_eq!((signed_in.status, signed_in.header("location")), (303, Some("/tokens")));
    let cookie = signed_in.header("set-cookie").unwrap();
    for part in ["__Host-keyward=", "; Path=/;", "; HttpOnly", "; SameSite=Strict", "; Secure", "Max-Age=43200;"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(ann.get("/tokens").text.contains("Signed in as <strong>ann</strong>"));
    for browser in [&other, &ann] {
        assert_eq!(browser.post(&link, &[]).status, 404, "a link that was used");
    }
    assert_eq!(other.get("/tokens").status, 403);

    let late = site.link("ann");
    site.later(LINK_MINUTES * 60 + 1);
    assert_eq!((other.get(&late).status, other.post(&late, &[]).status), (404, 404));
}

#[test]
fn over_plain_http_the_cookie_has_no_prefix() {
    let site = Site::new("http://localhost:8787");
    let cookie = Browser::new(&site).post(&site.link("ann"), &[]);
    let cookie = cookie.header("set-cookie").unwrap();
    assert!(cookie.starts_with("keyward=") && !cookie.contains("Secure"), "{cookie}");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
}

#[test]
fn signing_in_sets_a_new_cookie_and_signing_out_ends_it_everywhere() {
    let site = Site::new("https://tokens.example");
    let browser = Browser::new(&site);
    // An attacker has planted a session cookie.
    browser.cookies.borrow_mut().insert("__Host-keyward".into(), "planted".into());
    assert_eq!(browser.get("/tokens").status, 403);
    browser.post(&site.link("ann"), &[]);
    let secret = browser.cookies.borrow()["__Host-keyward"].clone();
    assert_ne!(secret, "planted");
    assert_eq!(browser.get("/tokens").status, 200);
    assert_eq!(browser.post("/tokens/logout", &[]).status, 303);
    assert_eq!(browser.get("/tokens").status, 403);
    browser.cookies.borrow_mut().insert("__Host-keyward".into(), secret);
    assert_eq!(browser.get("/tokens").status, 403, "the old cookie");
}

#[test]
fn a_sign_in_expires_and_ends_with_its_actor() {
    let site = Site::new("https://tokens.example");
    let (ann, bob) = (site.browser("ann"), site.browser("bob"));
    let unused = site.link("ann");
    let revocation = Revocation { actor_id: Some("ann".into()), issued_until: Some(NOW), ..Revocation::default() };
    pollster::block_on(site.registry.revocations().unwrap().revoke(revocation)).unwrap();
    assert_eq!((ann.get("/tokens").status, bob.get("/tokens").status), (403, 200));
    assert_eq!((ann.get(&unused).status, ann.post(&unused, &[]).status), (404, 404));
    site.later(60);
    let early = site.link("ann");
    assert_eq!(ann.post(&early, &[]).status, 404, "created on a machine whose clock may be ahead");
    site.later(61);
    assert_eq!(site.browser("ann").get("/tokens").status, 200, "a new link signs in again");
    site.later(12 * 3_600 + 1);
    assert_eq!(bob.get("/tokens").status, 403);
}

/// A revocation that covers a link covers the sign-in, also if this node learns of it later.
#[test]
fn a_sign_in_ends_with_its_link() {
    let site = Site::new("https://tokens.example");
    let link = site.link("ann");
    site.later(600);
    let ann = Browser::new(&site);
    assert_eq!(ann.post(&link, &[]).status, 303);
    assert_eq!(ann.get("/tokens").status, 200);
    let revocation = Revocation { actor_id: Some("ann".into()), issued_until: Some(NOW), ..Revocation::default() };
    pollster::block_on(site.registry.revocations().unwrap().revoke(revocation)).unwrap();
    assert_eq!(ann.get("/tokens").status, 403);
}

/// A link that was created with a clock far ahead would outlive a revocation.
#[test]
fn a_link_from_the_future_does_not_sign_in() {
    let site = Site::new("https://tokens.example");
    let link_at = |seconds| {
        site.later(seconds);
        let link = site.link("ann");
        site.later(0);
        link
    };
    let (far, near) = (link_at(61), link_at(60));
    let ann = Browser::new(&site);
    assert_eq!((ann.get(&far).status, ann.post(&far, &[]).status), (404, 404));
    assert_eq!(ann.post(&near, &[]).status, 303);
    for method in ["PUT", "DELETE"] {
        assert_eq!(ann.send(method, &near, "").status, 405);
    }
}

#[test]
fn a_token_does_not_sign_in() {
    let site = Site::new("https://tokens.example");
    let token = site.browser("ann").create("a", &[]).token();
    let browser = Browser::new(&site);
    browser.from(&[("sec-fetch-site", "none"), ("authorization", &format!("Bearer {token}"))]);
    assert_eq!(browser.get("/tokens").status, 403);
}

#[test]
fn other_sites_cannot_send_forms() {
    let site = Site::new("https://tokens.example");
    let ann = site.browser("ann");
    let form = ann.get("/tokens/new");
    let refused = [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", "https://tokens.example")],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
        &[("origin", "https://evil.example")],
        &[("origin", "https://tokens.example.evil.example")],
        &[("origin", "null")],
        &[("origin", "tokens.example")],
        &[("origin", "https://tokens.example"), ("origin", "https://tokens.example")],
        &[],
    ];
    for headers in refused {
        let answer = ann.from(headers).submit(&form, "/tokens/new", &[("description", "a"), ("step", "create")]);
        assert!(answer.status == 403 && answer.text.contains("Another site"), "{headers:?}: {answer:?}");
        assert_eq!(ann.post("/tokens/logout", &[]).status, 403, "{headers:?}");
        assert_eq!(ann.post(&site.link("bob"), &[]).status, 403, "{headers:?}: signed in as another person");
    }
    // The method does not change what is checked.
    ann.from(&[("sec-fetch-site", "cross-site"), ("x-http-method-override", "POST")]);
    assert_eq!(ann.send("GET", "/tokens/logout", "").status, 404);
    for headers in [
        &[("sec-fetch-site", "same-origin")][..],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://tokens.example")],
    ] {
        let answer = ann.from(headers).submit(&form, "/tokens/new", &[("description", "a")]);
        assert_eq!(answer.status, 200, "{headers:?}");
    }
}

/// A strict cookie is not sent when another site links here, so the page asks for itself again.
#[test]
fn a_link_of_another_site_reloads_the_page_once() {
    let site = Site::new("https://tokens.example");
    let ann = site.browser("ann");
    let cookies = ann.cookies.take();
    for (headers, reloads) in
        [(&[("sec-fetch-site", "cross-site")][..], true), (&[], true), (&[("sec-fetch-site", "none")], false)]
    {
        let page = ann.from(headers).get("/tokens?status=active");
        assert_eq!(page.text.contains("http-equiv=\"refresh\""), reloads, "{headers:?}: {page:?}");
        assert_eq!(page.text.contains("url=/tokens?status=active&#38;again=1\""), reloads, "{page:?}");
    }
    let again = ann.from(&[("sec-fetch-site", "cross-site")]).get("/tokens?again=1");
    assert!(again.status == 403 && !again.text.contains("refresh"), "only once: {again:?}");
    ann.cookies.replace(cookies);
    assert_eq!(ann.from(&[("sec-fetch-site", "same-origin")]).get("/tokens?status=active&again=1").status, 200);
}

#[test]
fn a_header_counts_if_a_trusted_proxy_sets_it_once() {
    let proxies = vec!["10.0.0.0/8".parse().unwrap()];
    let sign_in = SignIn::Header { name: "x-user".to_owned(), proxies };
    let site = Site::with(Config::new("https://tokens.example".parse().unwrap(), sign_in), |_| {});
    let browser = Browser::new(&site);
    let status = |peer: Option<IpAddr>, headers: &[(&str, &str)]| {
        site.peer.set(peer);
        let headers: Vec<_> = headers.iter().copied().chain([("sec-fetch-site", "same-origin")]).collect();
        browser.from(&headers).get("/tokens").status
    };
    let proxy = Some(Ipv4Addr::new(10, 1, 2, 3).into());
    assert_eq!(status(proxy, &[("x-user", "ann")]), 200);
    assert_eq!(status(None, &[("x-user", "ann")]), 200, "a proxy on a Unix socket");
    assert_eq!(status(Some(Ipv4Addr::LOCALHOST.into()), &[("x-user", "ann")]), 403, "another peer");
    for headers in [
        &[("x-user", "ann"), ("x-user", "ann")][..],
        &[("x-user", "ann"), ("x_user", "root")],
        &[("x_user", "ann")],
        &[("x-user", "")],
        &[("x-user", " ")],
        &[],
    ] {
        assert_eq!(status(proxy, headers), 403, "{headers:?}");
    }
}

/// A handler that identifies users by the cookie `user`, with restrictions after a plus sign.
fn with_sessions() -> Site {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let component = keyward_guests::build("keyward-tests-guest", &target).unwrap();
    let sees = SessionGrant { cookies: ["user".to_owned()].into(), ..SessionGrant::default() };
    let site = HandlerConfig::new("site", component, Actors::Any).session(sees).prefix("sdk_");
    let config = Config::new("https://tokens.example".parse().unwrap(), SignIn::Session("site".to_owned()));
    Site::build(config, |_| {}, |builder| builder.handler(site))
}

#[test]
fn a_session_of_another_site_signs_in() {
    let site = with_sessions();
    let browser = Browser::new(&site);
    assert_eq!(browser.get("/tokens").status, 403);
    browser.cookies.borrow_mut().insert("user".into(), "ann".into());
    let list = browser.get("/tokens");
    assert!(list.text.contains("Signed in as <strong>ann</strong>") && !list.text.contains("Sign out"), "{list:?}");
    browser.create("a", &[("handler", "stored")]);
    browser.cookies.borrow_mut().insert("user".into(), "bob".into());
    assert!(browser.get("/tokens").text.contains("You have no tokens yet"), "another user");
}

/// A person whose session is restricted gives no token more rights than that.
#[test]
fn the_restrictions_of_a_session_bound_its_tokens() {
    let site = with_sessions();
    let browser = Browser::new(&site);
    browser.cookies.borrow_mut().insert("user".into(), "ann".into());
    let created = browser.create("all rights", &[("handler", "stored")]);
    let path = created.text.split("href=\"").find(|part| part.starts_with("/tokens/of/")).unwrap();
    let path = path.split('"').next().unwrap();

    browser.cookies.borrow_mut().insert("user".into(), "ann+view-table".into());
    let form = browser.get("/tokens/new");
    assert!(form.text.contains("You are signed in with the rights: view-table on everything"), "{}", form.text);
    let wide =
        [("description", "b"), ("handler", "stored"), ("rights", "some"), ("all", "execute-sql"), ("step", "create")];
    let refused = browser.submit(&form, "/tokens/new", &wide);
    assert!(refused.status == 422 && refused.text.contains("with fewer rights"), "{refused:?}");
    let token = browser.create("c", &[("handler", "stored"), ("rights", "all")]).token();
    let Ok(Verdict::Accepted(acceptance)) = site.registry.verify_blocking(&token) else { panic!("{token}") };
    let restrictions = acceptance.restrictions.unwrap();
    assert_eq!(restrictions.iter().collect::<Vec<_>>(), [("vt", None, None)], "everything is what the session may do");
    let page = browser.get(path);
    let renewed = browser.submit(&page, &format!("{path}/rotate"), &[("overlap", "0")]);
    assert!(renewed.status == 422 && renewed.text.contains("fewer rights than this token"), "{renewed:?}");
}
