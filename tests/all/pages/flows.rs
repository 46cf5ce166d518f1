//! The steps of a person with tokens: from the form to the end.

use super::{Answer, Browser, Site};
use crate::managed::NOW;
use keyward_pages::{Config, SignIn};
use keyward_runtime::token::TokenId;
use keyward_runtime::{CreateRequest, Verdict};
use serde_json::Value;
use std::fs;
use std::time::Duration;

/// Returns the path of the only token on a page.
fn path_of(page: &Answer) -> String {
    let link = page.text.split("href=\"").find(|part| part.starts_with("/tokens/of/"));
    link.unwrap_or_else(|| panic!("{}", page.text)).split('"').next().unwrap().to_owned()
}

fn is_valid(site: &Site, token: &str) -> bool {
    matches!(site.registry.verify_blocking(token), Ok(Verdict::Accepted(_)))
}

#[test]
fn a_token_is_created_after_a_review() {
    let site = Site::new("https://tokens.example");
    let ann = site.browser("ann");
    assert!(ann.get("/tokens").text.contains("You have no tokens yet"));
    let form = ann.get("/tokens/new");
    let wanted = [
        ("description", "nightly import"),
        ("handler", "stored"),
        ("lifetime", "604800"),
        ("rights", "some"),
        ("all", "view-instance"),
        ("database0", "shop"),
        ("resource0", "orders"),
        ("action0", "insert-row"),
    ];
    let review = ann.submit(&form, "/tokens/new", &wanted);
    for text in
        ["nightly import", "in 7 days", "view-instance on everything", "insert-row on orders in the database shop"]
    {
        assert!(review.text.contains(text), "{text}: {}", review.text);
    }
    assert!(ann.get("/tokens").text.contains("You have no tokens yet"), "a review issues nothing");
    let changed = ann.submit(&review, "/tokens/new", &[("step", "change")]);
    assert!(
        changed.text.contains("value=\"nightly import\"") && changed.text.contains("value=\"shop\""),
        "{changed:?}"
    );

    let created = ann.submit(&review, "/tokens/new", &[("step", "create")]);
    let token = created.token();
    let Ok(Verdict::Accepted(acceptance)) = site.registry.verify_blocking(&token) else { panic!("{token}") };
    assert_eq!(acceptance.actor_ignoring_restrictions().id().unwrap().as_str(), "ann");
    assert_eq!(acceptance.expires_at, Some(NOW.later(604_800)));
    let restrictions = acceptance.restrictions.unwrap();
    let entries: Vec<_> = restrictions.iter().collect();
    assert_eq!(entries, [("view-instance", None, None), ("insert-row", Some("shop"), Some("orders"))]);

    let again = ann.submit(&review, "/tokens/new", &[("step", "create")]);
    assert!(again.status == 409 && again.text.contains("already sent"), "a reload: {again:?}");
    let list = ann.get("/tokens");
    assert_eq!(list.text.matches("<li class=\"active\">").count(), 1, "{}", list.text);
    assert!(list.text.contains("nightly import") && list.text.contains("in 7 days"), "{}", list.text);
    assert!(list.text.contains("by you, on this page") && list.text.contains("kwt_test_"), "{}", list.text);
}

/// The store forgets a form at last, so an old one is not accepted.
#[test]
fn an_old_form_does_nothing() {
    let site = Site::new("https://tokens.example");
    let ann = site.browser("ann");
    let form = ann.get("/tokens/new");
    let review = ann.submit(&form, "/tokens/new", &[("description", "a")]);
    site.later(11 * 3_600);
    assert_eq!(ann.submit(&review, "/tokens/new", &[("step", "create")]).status, 200);
    site.later(86_401);
    let ann = site.browser("ann");
    for form in ["", "0-x", "x", "-", "99999999999999999999-0123456789012345678901234567890123456789012"] {
        let answer = ann.submit(&review, "/tokens/new", &[("step", "create"), ("form", form)]);
        assert_eq!(answer.status, 409, "{form}");
    }
    let again = ann.submit(&review, "/tokens/new", &[("step", "create")]);
    assert!(again.status == 409 && again.text.contains("has expired"), "{again:?}");
}

#[test]
fn each_wrong_field_is_named_beside_it() {
    let site = Site::new("https://tokens.example");
    let ann = site.browser("ann");
    let form = ann.get("/tokens/new");
    let long = "x".repeat(201);
    for (changes, text) in [
        (&[("description", " ")][..], "Enter a description"),
        (&[("description", &long)], "at most 200 characters"),
        (&[("description", "a\u{7}b")], "only visible characters"),
        (&[("lifetime", "0")], "Choose when the token expires"),
        (&[("lifetime", "soon")], "Choose when the token expires"),
        (&[("lifetime", "days"), ("days", "0")], "whole number of days"),
        (&[("lifetime", "days"), ("days", "²")], "whole number of days"),
        (&[("lifetime", "days"), ("days", "49711")], "whole number of days"),
        (&[("rights", "some")], "Choose at least one action"),
        (&[("rights", "some"), ("database0", "shop")], "Choose at least one action for database 1"),
        (&[("rights", "some"), ("action0", "view")], "Name database 1"),
        (&[("handler", "none")], "Choose a kind of token"),
    ] {
        let changes: Vec<_> = [("description", "a"), ("step", "create")]
            .into_iter()
            .filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name))
            .chain(changes.iter().copied())
            .collect();
        let answer = ann.submit(&form, "/tokens/new", &changes);
        assert_eq!(answer.status, 422, "{changes:?}");
        assert!(
            answer.text.contains("<title>Error: ") && answer.text.matches(text).count() >= 2,
            "{changes:?}: {}",
            answer.text
        );
    }
    assert!(ann.get("/tokens").text.contains("You have no tokens yet"));
}

/// A link fills in the form, and issues nothing.
#[test]
fn a_link_fills_in_the_form() {
    let site = Site::new("https://tokens.example");
    let ann = site.browser("ann");
    let form =
        ann.get("/tokens/new?description=import&lifetime=86400&database0=shop&action0=view-table&action0=insert-row");
    let fields = form.fields_of("/tokens/new");
    for (name, value) in [("description", "import"), ("lifetime", "86400"), ("rights", "some"), ("database0", "shop")] {
        assert!(fields.contains(&(name.to_owned(), value.to_owned())), "{name}: {fields:?}");
    }
    let more = ann.submit(&form, "/tokens/new", &[("step", "place")]);
    assert!(more.text.contains("name=\"database1\"") && more.text.contains("value=\"shop\""), "{}", more.text);
}

#[test]
fn a_token_is_renewed_changed_and_revoked() {
    let site = Site::new("https://tokens.example");
    let ann = site.browser("ann");
    let created = ann.create("a", &[("handler", "stored"), ("rights", "some"), ("all", "view"), ("all", "edit")]);
    let (first, path) = (created.token(), path_of(&created));

    let page = ann.get(&path);
    let kept =
        ann.submit(&page, &format!("{path}/edit"), &[("description", "b"), ("keep", "view"), ("expires", "3600")]);
    assert_eq!((kept.status, kept.header("location")), (303, Some(&*format!("{path}?done=edited"))), "{kept:?}");
    let page = ann.get(&format!("{path}?done=edited"));
    assert!(page.text.contains("The token is changed") && page.text.contains("<h1>b</h1>"), "{}", page.text);
    assert!(page.text.contains("view on everything") && !page.text.contains("edit on everything"), "{}", page.text);
    let Ok(Verdict::Accepted(acceptance)) = site.registry.verify_blocking(&first) else { panic!() };
    assert_eq!(acceptance.expires_at, Some(NOW.later(3_600)));
    assert_eq!(acceptance.restrictions.unwrap().iter().count(), 1);

    let renewed = ann.submit(&page, &format!("{path}/rotate"), &[("overlap", "300")]);
    let (second, new_path) = (renewed.token(), path_of(&renewed));
    assert!(is_valid(&site, &first) && is_valid(&site, &second), "both, for five minutes");
    assert_eq!(ann.submit(&page, &format!("{path}/rotate"), &[("overlap", "300")]).status, 409, "a reload");
    site.later(301);
    assert!(!is_valid(&site, &first) && is_valid(&site, &second));

    let confirm = ann.get(&format!("{new_path}/revoke"));
    assert!(confirm.text.contains("cannot be undone") && is_valid(&site, &second), "{}", confirm.text);
    let revoked = ann.submit(&confirm, &format!("{new_path}/revoke"), &[]);
    assert_eq!(revoked.status, 303, "{revoked:?}");
    assert!(!is_valid(&site, &second));
    let page = ann.get(&format!("{new_path}?done=revoked"));
    assert!(page.text.contains("no longer valid") && !page.text.contains("/rotate"), "{}", page.text);
    assert_eq!(ann.post(&format!("{new_path}/revoke"), &[]).status, 303, "again, without a value that works once");
}

/// A form that was made before another change keeps what it shows, and not what took its place.
#[test]
fn an_old_form_keeps_the_rights_that_it_shows() {
    let site = Site::new("https://tokens.example");
    let ann = site.browser("ann");
    let rights = [("rights", "some"), ("all", "view"), ("all", "edit"), ("database0", "a/b"), ("action0", "view")];
    let created = ann.create("a", &[&[("handler", "stored")], rights.as_slice()].concat());
    let (token, path) = (created.token(), path_of(&created));
    let edit = format!("{path}/edit");
    let (old, new) = (ann.get(&path), ann.get(&path));
    let kept = [("keep", "edit"), ("keep", "view/a%2Fb")];
    assert_eq!(ann.submit(&new, &edit, &kept).status, 303);
    assert_eq!(ann.submit(&old, &edit, &[("keep", "view"), ("keep", "edit")]).status, 303);
    let rights = |token: &str| {
        let Ok(Verdict::Accepted(acceptance)) = site.registry.verify_blocking(token) else { panic!() };
        acceptance.restrictions.unwrap().iter().map(|(action, ..)| action.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(rights(&token), ["edit"]);

    // A token that had all rights when the form was made.
    let created = ann.create("a", &[("handler", "stored")]);
    let (token, path) = (created.token(), path_of(&created));
    let edit = format!("{path}/edit");
    let [first, second, third] = [(); 3].map(|()| ann.get(&path));
    assert_eq!(ann.submit(&first, &edit, &[("all", "view"), ("all", "edit")]).status, 303);
    assert_eq!(ann.submit(&second, &edit, &[("all", "view")]).status, 303);
    assert_eq!(rights(&token), ["view"]);
    assert_eq!(ann.submit(&third, &edit, &[("all", "edit")]).status, 422, "not one of its rights");
    assert_eq!(rights(&token), ["view"]);
}

/// A change of something else leaves a description as it is, which need not be one that the form
/// allows.
#[test]
fn a_description_stays_as_it_is() {
    let site = Site::new("https://tokens.example");
    let ann = site.browser("ann");
    let description = format!(" {}\n", "a".repeat(300));
    let path = site.token(CreateRequest::new("ann").handler("stored").description(&description));
    let changed = ann.submit(&ann.get(&path), &format!("{path}/edit"), &[("expires", "3600")]);
    assert_eq!(changed.status, 303, "{changed:?}");
    let id = TokenId::new("stored", path.rsplit('/').next().unwrap());
    let record = pollster::block_on(site.registry.tokens().unwrap().find(&id)).unwrap().unwrap();
    assert_eq!((record.description, record.expires_at), (Some(description), Some(NOW.later(3_600))));
}

/// The operator names the handlers whose tokens people may create, and so renew.
#[test]
fn tokens_of_handlers_that_are_not_offered_are_not_renewed() {
    let mut config = Config::new("https://tokens.example".parse().unwrap(), SignIn::Link);
    config.handlers = Some(vec!["signed".to_owned()]);
    let site = Site::with(config, |_| {});
    let ann = site.browser("ann");
    let path = site.token(CreateRequest::new("ann").handler("stored").description("a"));
    let page = ann.get(&path);
    assert!(page.text.contains("/edit") && !page.text.contains("/rotate"), "{}", page.text);
    let form = page.fields_of(&format!("{path}/edit")).into_iter().find(|(name, _)| name == "form").unwrap().1;
    let refused = ann.post(&format!("{path}/rotate"), &[("form", &form)]);
    assert!(refused.status == 422 && refused.text.contains("cannot be renewed here"), "{refused:?}");
}

/// A token with all rights can be restricted later.
#[test]
fn a_token_with_all_rights_is_restricted() {
    let site = Site::new("https://tokens.example");
    let ann = site.browser("ann");
    let created = ann.create("a", &[("handler", "stored")]);
    let (token, path) = (created.token(), path_of(&created));
    let edit = format!("{path}/edit");
    let page = ann.get(&path);
    for (field, value, text) in
        [("database0", "shop", "Choose at least one action"), ("action0", "view-table", "Name database 1")]
    {
        let refused = ann.submit(&ann.get(&path), &edit, &[(field, value)]);
        assert!(refused.status == 422 && refused.text.contains(text), "{field}: {refused:?}");
    }
    assert_eq!(ann.submit(&page, &edit, &[("description", "b")]).status, 303, "no choice leaves the rights");
    let rights = |token: &str| match site.registry.verify_blocking(token) {
        Ok(Verdict::Accepted(acceptance)) => acceptance.restrictions,
        other => panic!("{other:?}"),
    };
    assert_eq!(rights(&token), None);
    let chosen = [("all", "view-database"), ("database0", "shop"), ("action0", "view-table")];
    assert_eq!(ann.submit(&ann.get(&path), &edit, &chosen).status, 303);
    let restrictions = rights(&token).unwrap();
    assert_eq!(restrictions.iter().collect::<Vec<_>>(), [("vd", None, None), ("vt", Some("shop"), None)]);
    assert!(!ann.get(&path).text.contains("Restrict it"), "it can only be narrowed further");
}

/// Signed tokens carry their terms: they can be revoked, and nothing else.
#[test]
fn a_signed_token_can_only_be_revoked() {
    let site = Site::new("https://tokens.example");
    let ann = site.browser("ann");
    let created = ann.create("a", &[("handler", "signed")]);
    let (token, path) = (created.token(), path_of(&created));
    let page = ann.get(&path);
    assert!(page.text.contains("cannot be changed") && !page.text.contains("/rotate"), "{}", page.text);
    let confirm = ann.get(&format!("{path}/revoke"));
    ann.submit(&confirm, &format!("{path}/revoke"), &[]);
    assert!(!is_valid(&site, &token));
}

#[test]
fn children_are_counted_before_they_are_revoked() {
    let site = Site::new("https://tokens.example");
    let ann = site.browser("ann");
    let created = ann.create("parent", &[("handler", "stored")]);
    let Ok(Verdict::Accepted(parent)) = site.registry.verify_blocking(&created.token()) else { panic!() };
    for _ in 0..2 {
        site.token(CreateRequest::new("ann").handler("stored").parent(&parent));
    }
    let confirm = ann.get(&format!("{}/revoke", path_of(&created)));
    assert!(confirm.text.contains("<strong>2</strong> other tokens"), "{}", confirm.text);
}

/// The policy of a handler bounds what the form offers, and what it does.
#[test]
fn lifetimes_are_those_of_the_handler() {
    let config = Config::new("https://tokens.example".parse().unwrap(), SignIn::Link);
    let site = Site::with(config, |handler| {
        handler.max_ttl = Some(Duration::from_secs(100_000));
        handler.default_ttl = Some(Duration::from_secs(3_600));
    });
    let ann = site.browser("ann");
    let form = ann.get("/tokens/new");
    assert!(
        form.text.contains("<option value=\"3600\" selected>") && form.text.contains("value=\"100000\""),
        "{}",
        form.text
    );
    assert!(!form.text.contains("value=\"604800\"") && !form.text.contains("value=\"never\""), "{}", form.text);
    let review = ann.submit(&form, "/tokens/new", &[("description", "a"), ("lifetime", "604800")]);
    let denied = ann.submit(&review, "/tokens/new", &[("step", "create")]);
    assert!(denied.status == 422 && denied.text.contains("expire after at most 100000 seconds"), "{denied:?}");
    let endless = ann.submit(&form, "/tokens/new", &[("description", "a"), ("lifetime", "never")]);
    assert!(endless.status == 422 && endless.text.contains("Tokens of this kind expire"), "{endless:?}");
}

/// A choice of rights that is not known is not one of all rights.
#[test]
fn an_unknown_choice_of_rights_is_not_all_of_them() {
    let site = Site::new("https://tokens.example");
    let ann = site.browser("ann");
    let chosen = ann.get("/tokens/new?description=a&rights=read-only").fields_of("/tokens/new");
    assert!(chosen.contains(&("rights".to_owned(), "some".to_owned())), "{chosen:?}");
}

#[test]
fn lists_are_filtered_and_have_pages() {
    let site = Site::new("https://tokens.example");
    for number in 0..60 {
        site.token(CreateRequest::new("ann").handler("stored").description(format!("number {number:02}")));
    }
    let ann = site.browser("ann");
    let mut seen = Vec::new();
    let mut target = "/tokens?status=active".to_owned();
    loop {
        let page = ann.get(&target);
        seen.extend(page.text.split(">number ").skip(1).map(|rest| rest[..2].to_owned()));
        let next = page.text.split("href=\"").find(|part| part.starts_with("/tokens?") && part.contains("issued="));
        let Some(next) = next else { break };
        target = super::plain(next.split('"').next().unwrap());
        assert!(target.contains("status=active"), "{target}");
    }
    seen.sort_unstable();
    let wanted: Vec<_> = (0..60).map(|number| format!("{number:02}")).collect();
    assert_eq!(seen, wanted);
    assert!(ann.get("/tokens?status=revoked").text.contains("No token matches"));
    site.token(CreateRequest::new("ann").handler("signed").description("signed"));
    site.later(29 * 86_400);
    site.token(CreateRequest::new("ann").handler("stored").description("later"));
    site.later(30 * 86_400 + 1);
    let ann = site.browser("ann");
    let found = |query: &str| ann.get(&format!("/tokens?{query}")).text.matches("<li class=").count();
    assert_eq!((found("kind=signed"), found("kind=none"), found("unused=30"), found("unused=31")), (1, 25, 25, 25));
    assert_eq!((found("kind=signed&unused=30"), found("kind=signed&unused=90")), (1, 0));
    let page = ann.get("/tokens?kind=stored&unused=30").text;
    assert!(page.contains("?unused=30&#38;kind=stored&#38;issued=") && !page.contains(">later<"), "{page}");
    for wrong in [
        "/tokens?status=none",
        "/tokens?issued=x",
        "/tokens?issued=1&handler=%00&id=%00",
        "/tokens?issued=99999999999999999999",
    ] {
        assert_eq!(ann.get(wrong).status, 200, "{wrong}");
    }
}

#[test]
fn a_person_cannot_send_forms_without_end() {
    let site = Site::new("https://tokens.example");
    let (ann, bob) = (site.browser("ann"), site.browser("bob"));
    let refused = (0..100).filter(|_| ann.post("/tokens/new", &[]).status == 429).count();
    assert!((30..50).contains(&refused), "{refused}");
    assert_eq!(bob.post("/tokens/new", &[]).status, 422, "another person");
    let refused = (0..800).filter(|_| ann.get("/tokens/new").status == 429).count();
    assert!((100..250).contains(&refused), "{refused}");
    assert_eq!(bob.get("/tokens").status, 200, "another person");
}

#[test]
fn pages_work_below_a_prefix() {
    let site = Site::new("https://example.org/auth/");
    let browser = Browser::new(&site);
    let link = site.link("ann");
    assert!(link.starts_with("/tokens/login/"), "{link}");
    let signed_in = browser.post(&format!("/auth{link}"), &[]);
    assert_eq!(signed_in.header("location"), Some("/auth/tokens"));
    let list = browser.get("/auth/tokens").text;
    assert!(list.contains("href=\"/auth/tokens/new\"") && list.contains("href=\"/auth/tokens/style.css\""), "{list}");
    for path in ["/tokens", "/auth", "/auth/tokensx", "/authtokens"] {
        assert!(!site.pages.contain(path), "{path}");
    }
}

/// Each change is recorded with the person and the client `page`, before it happens.
#[test]
fn changes_are_audited_with_the_person() {
    let site = Site::new("https://tokens.example");
    let ann = site.browser("ann");
    let created = ann.create("a", &[("handler", "stored")]);
    let path = path_of(&created);
    let page = ann.get(&path);
    ann.submit(&page, &format!("{path}/edit"), &[("description", "b")]);
    let renewed = ann.submit(&ann.get(&path), &format!("{path}/rotate"), &[("overlap", "0")]);
    let path = path_of(&renewed);
    ann.submit(&ann.get(&format!("{path}/revoke")), &format!("{path}/revoke"), &[]);
    assert!(site.audit.flush());
    let text = fs::read_to_string(&site.audit_file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["event"], lines[0].get("client")), (&"sign-in-link".into(), None), "the operator's");
    let events: Vec<_> = lines[1..].iter().map(|line| (&line["client"], line["event"].as_str().unwrap())).collect();
    let page = Value::from("page");
    let wanted = ["sign-in", "create", "edit", "rotate", "revoke"].map(|event| (&page, event));
    assert_eq!(events, wanted, "{text}");
    assert!(lines.iter().all(|line| line["actor"] == "ann"), "{text}");
    assert!(!text.contains(&renewed.token()) && !text.contains(&created.token()), "{text}");
}
