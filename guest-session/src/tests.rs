use super::*;
use keyward_sdk::testing::Host;

fn request(cookies: &[(&str, &str)]) -> SessionRequest {
    let cookies = cookies.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    SessionRequest { method: "GET".to_owned(), path: "/".to_owned(), headers: Vec::new(), cookies }
}

fn identify(response: Result<(u16, &'static str), HttpError>, cookies: &[(&str, &str)]) -> Result<Verdict, Failure> {
    let host = Host::new().http("site", move |query| {
        assert!(query.is_empty());
        response.map(|(status, body)| Response { status, content_type: None, body: body.into() })
    });
    host.run(|| Session::identify(request(cookies)))
}

#[test]
fn each_response_has_its_verdict() {
    let of = |status, body| identify(Ok((status, body)), &[("sessionid", "1")]);
    let Ok(Verdict::Accepted(acceptance)) = of(200, r#"{"id": "ann", "name": "Ann"}"#) else { panic!() };
    assert_eq!(acceptance.actor, r#"{"id": "ann", "name": "Ann"}"#);
    for (status, body) in [(200, "{}"), (200, " null "), (200, "[]"), (401, "x"), (403, ""), (404, r#"{"id":"ann"}"#)] {
        assert_eq!(of(status, body), Ok(Verdict::NotMine), "{status} {body}");
    }
    for (status, body) in [
        (200, ""),
        (200, "<html>"),
        (200, "[1]"),
        (200, "\"x\""),
        (200, "5"),
        (200, "true"),
        (201, r#"{"id":"a"}"#),
        (204, ""),
        (429, ""),
        (500, ""),
        (503, "{}"),
    ] {
        assert!(matches!(of(status, body), Err(Failure::Unavailable(_))), "{status} {body}");
    }
    for error in [HttpError::TooLarge, HttpError::Timeout, HttpError::Refused, HttpError::Unavailable] {
        assert!(matches!(identify(Err(error), &[("sessionid", "1")]), Err(Failure::Unavailable(_))));
    }
    assert!(matches!(Host::new().run(|| Session::identify(request(&[("a", "1")]))), Err(Failure::Internal(_))));
}

#[test]
fn the_api_is_asked_only_about_a_cookie() {
    let host = Host::new();
    for cookies in [[].as_slice(), &[("sessionid", "")]] {
        assert_eq!(host.run(|| Session::identify(request(cookies))), Ok(Verdict::NotMine));
    }
    let host = Host::new()
        .setting("anonymous", "true")
        .http("site", |_| Ok(Response { status: 200, content_type: None, body: br#"{"id":"anyone"}"#.to_vec() }));
    assert!(matches!(host.run(|| Session::identify(request(&[]))), Ok(Verdict::Accepted(_))));
}
