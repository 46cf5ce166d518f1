//! Tokens of others, and secrets.

use super::{Browser, Site};
use crate::managed::NOW;
use keyward_runtime::CreateRequest;
use std::collections::BTreeSet;

const PEOPLE: [&str; 3] = ["ann", "bob", "ann:x"];

/// Every route of a token, for every person, with every id.
#[test]
fn tokens_of_others_are_not_found() {
    let site = Site::new("https://tokens.example");
    let mut owned: Vec<(&str, String)> = Vec::new();
    for person in PEOPLE {
        for handler in ["stored", "signed"] {
            let request = CreateRequest::new(person).handler(handler).description(format!("secret note of {person}"));
            owned.push((person, site.token(request)));
        }
    }
    let unknown = [
        "/tokens/of/stored/none",
        "/tokens/of/none/none",
        "/tokens/of/stored/",
        "/tokens/of/stored/%00",
        "/tokens/of/stored/..%2f",
        "/tokens/of//",
    ];
    let mut texts = BTreeSet::new();
    for person in PEOPLE {
        let browser = site.browser(person);
        let foreign = owned.iter().filter(|(owner, _)| *owner != person).map(|(_, path)| path.as_str());
        for path in foreign.chain(unknown) {
            for (method, rest) in [
                ("GET", ""),
                ("GET", "/revoke"),
                ("POST", "/revoke"),
                ("POST", "/edit"),
                ("POST", "/rotate"),
                ("POST", ""),
            ] {
                let answer = browser.send(
                    method,
                    &format!("{path}{rest}"),
                    &format!("form={}-0123456789012345678901234567890123456789012", NOW.seconds),
                );
                assert_eq!(answer.status, 404, "{person}: {method} {path}{rest}: {answer:?}");
                texts.insert(answer.text.replace(&format!("<strong>{person}</strong>"), "PERSON"));
            }
        }
        let list = browser.get("/tokens").text;
        for (owner, path) in &owned {
            assert_eq!(list.contains(path), *owner == person, "{person}: {path}");
            assert_eq!(list.contains(&format!("secret note of {owner}<")), *owner == person, "{person}: {owner}");
        }
    }
    assert_eq!(texts.len(), 1, "one page for all of them: {texts:?}");
}

#[test]
fn without_a_person_there_is_no_page() {
    let site = Site::new("https://tokens.example");
    let path = site.token(CreateRequest::new("ann").handler("stored"));
    let browser = Browser::new(&site);
    let mut texts = BTreeSet::new();
    for target in ["/tokens", "/tokens/new", &path, "/tokens/of/stored/none", "/tokens/other"] {
        for method in ["GET", "POST"] {
            let answer = browser.send(method, target, "step=create&description=a");
            assert_eq!(answer.status, 403, "{method} {target}: {answer:?}");
            texts.insert(answer.text);
        }
    }
    assert_eq!(texts.len(), 1, "{texts:?}");
}

/// Text of people, clients and databases is shown in visible characters, and is no HTML.
#[test]
fn text_is_not_html_and_hides_nothing() {
    let site = Site::new("https://tokens.example");
    let evil = "<script>alert(1)</script>\"'&\u{202e}\u{200b}x";
    let browser = site.browser(evil);
    // Its description is that of an application.
    let description = "<img src=x onerror=alert(1)> \u{202e}gnp";
    site.token(CreateRequest::new(evil).handler("stored").description(description));
    site.later(1);
    browser.create(
        "<img src=y onerror=alert(1)>",
        &[
            ("rights", "some"),
            ("all", "<b>view</b>"),
            ("database0", "\"><svg onload=alert(1)>"),
            ("action0", "vi\u{202e}ew"),
            ("resource0", "t\u{2066}able"),
        ],
    );
    let pages = [browser.get("/tokens"), browser.get("/tokens/new?description=%3Cscript%3E&database0=%22%3E&all=%3C")];
    let links = pages[0].text.split("href=\"").filter(|part| part.starts_with("/tokens/of/"));
    let links: Vec<_> = links.map(|part| part.split('"').next().unwrap()).collect();
    let more: Vec<_> =
        links.iter().flat_map(|path| [browser.get(path), browser.get(&format!("{path}/revoke"))]).collect();
    assert_eq!(more.len(), 4);
    for page in pages.iter().chain(&more) {
        assert_eq!(page.status, 200);
        for wrong in ["<script>", "<img", "<svg", "<b>", "onerror=alert(1)>", "\u{202e}", "\u{200b}", "\u{2066}"] {
            assert!(!page.text.contains(wrong), "{wrong:?}: {}", page.text);
        }
    }
    assert!(pages[0].text.contains("\\u{202e}"), "{}", pages[0].text);
}

#[test]
fn a_secret_is_part_of_one_response() {
    let site = Site::new("https://tokens.example");
    let ann = site.browser("ann");
    let created = ann.create("a", &[("handler", "stored")]);
    let token = created.token();
    let path = created.text.split("href=\"").find(|part| part.starts_with("/tokens/of/")).unwrap();
    let path = path.split('"').next().unwrap().to_owned();
    assert_eq!(created.text.matches(&token).count(), 1);
    assert!(!created.headers.iter().any(|(_, value)| value.contains(&token)));
    for target in ["/tokens", "/tokens/new", &path, &format!("{path}/revoke"), "/tokens/other"] {
        assert!(!ann.get(target).text.contains(&token), "{target}");
    }
}
