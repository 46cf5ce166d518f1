use super::*;
use keyward_sdk::Rejection;
use keyward_sdk::testing::Host;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Creates a host whose query returns `rows` for the id `1`, and none for any other.
fn host(columns: &[&str], rows: &[&[Value]]) -> Host {
    let answer = Answer {
        columns: columns.iter().map(|&column| column.to_owned()).collect(),
        rows: rows.iter().map(|row| row.to_vec()).collect(),
    };
    Host::new().query("token", move |parameters| {
        let [(name, Value::Text(id))] = parameters else { panic!("other parameters") };
        assert_eq!(name, "token_id");
        let rows = if id == "1" { answer.rows.clone() } else { Vec::new() };
        Ok(Answer { columns: answer.columns.clone(), rows })
    })
}

const COLUMNS: [&str; 5] = ["token_id", "token_secret", "actor_id", "actor_name", "note"];

fn ann(secret: Value) -> [Value; 5] {
    [Value::Integer(1), secret, text("ann"), text("Ann Ü\"\n"), text("nobody's business")]
}

/// Returns the actor and the token id, or the reason and the message.
fn verify(host: &Host, token: &str) -> (String, String) {
    match host.run(|| Query::verify(token)) {
        Ok(Verdict::Accepted(acceptance)) => {
            assert_eq!((acceptance.restrictions, acceptance.issued_at, acceptance.expires_at), (None, None, None));
            (acceptance.actor, acceptance.token_id.unwrap_or_default())
        }
        Ok(Verdict::NotMine) => ("not mine".to_owned(), String::new()),
        Ok(Verdict::Rejected(Rejection { reason, message })) => (format!("{reason:?}"), message),
        Err(Failure::Internal(text)) => ("internal".to_owned(), text),
        Err(Failure::Unavailable(text)) => ("unavailable".to_owned(), text),
    }
}

#[test]
fn a_matching_secret_yields_the_actor_of_its_row() {
    let host = host(&COLUMNS, &[&ann(text("s3cret"))]);
    let actor = r#"{"id":"ann","name":"Ann Ü\"\n"}"#;
    assert_eq!(verify(&host, "1-s3cret"), (actor.to_owned(), "1".to_owned()));
}

#[test]
fn malformed_tokens_cost_no_query() {
    let host = host(&COLUMNS, &[&ann(text("s3cret"))]);
    let long = format!("1-{}\u{7f}", "s".repeat(8_000));
    for token in
        ["1-one-one", "1--s3cret", "1-s3cret-", "-", "1-", "--", "1-s3crét", "ü-s3cret", "1-s3cret\n", "1-s\0", &long]
    {
        assert_eq!(verify(&host, token).0, "Reason::Malformed", "{token}");
    }
    for token in ["", "1", "s3cret", "ü"] {
        assert_eq!(verify(&host, token).0, "not mine", "{token}");
    }
    assert_eq!(host.queried(), 0);
}

#[test]
fn an_unknown_id_and_a_wrong_secret_get_the_same_verdict() {
    let host = host(&COLUMNS, &[&ann(text("s3cret"))]);
    let unknown = ("Reason::Unknown".to_owned(), "Invalid token".to_owned());
    for token in ["2-s3cret", "-s3cret", "1-s3cre", "1-s3crett", "1-S3cret", "1- s3cret", "1-s3cret "] {
        assert_eq!(verify(&host, token), unknown, "{token}");
    }
    assert_eq!(host.queried(), 7);
}

#[test]
fn a_secret_in_the_table_that_is_not_text_matches_nothing() {
    let unknown = ("Reason::Unknown".to_owned(), "Invalid token".to_owned());
    for kept in [
        Value::Null,
        Value::Integer(12_345),
        Value::Real(12_345.0),
        Value::Blob(b"12345".to_vec()),
        text(""),
        text("1234é"),
    ] {
        let host = host(&COLUMNS, &[&ann(kept)]);
        for token in ["1-12345", "1-12345.0", "1-None", "1-null"] {
            assert_eq!(verify(&host, token), unknown, "{token}");
        }
    }
}

#[test]
fn the_first_row_counts() {
    let other = [text("x"), text("other"), text("bob"), Value::Null, Value::Null];
    let host = host(&COLUMNS, &[&ann(text("s3cret")), &other]);
    assert_eq!(verify(&host, "1-s3cret").1, "1");
    assert_eq!(verify(&host, "1-other").0, "Reason::Unknown");
}

#[test]
fn an_actor_is_built_from_its_columns() {
    let whole = [
        ("actor_id", Value::Integer(i64::MIN)),
        ("actor_actor_x", Value::Null),
        ("actor_factor_ratio", Value::Real(1.0)),
        ("ACTOR_NAME", text("not this")),
        ("the_actor_y", text("nor this")),
        ("actor_", text("")),
    ];
    let (names, values): (Vec<&str>, Vec<Value>) = whole.into_iter().chain([("token_secret", text("s"))]).unzip();
    let host = host(&names, &[&values]);
    let actor = format!(r#"{{"id":{},"x":null,"fratio":1.0,"":""}}"#, i64::MIN);
    assert_eq!(verify(&host, "1-s"), (actor, String::new()));
}

#[test]
fn the_token_id_comes_from_the_row_if_it_is_allowed() {
    let of = |id: Value| {
        let row = [id, text("s"), text("ann")];
        verify(&host(&["token_id", "token_secret", "actor_id"], &[&row]), "1-s").1
    };
    assert_eq!(of(Value::Integer(-7)), "-7");
    assert_eq!(of(text("a1~")), "a1~");
    let (longest, too_long) = ("a".repeat(256), "a".repeat(257));
    assert_eq!(of(text(&longest)), longest);
    for none in
        [Value::Null, Value::Real(1.0), Value::Blob(b"1".to_vec()), text(""), text("a b"), text("ü"), text(&too_long)]
    {
        assert_eq!(of(none), "");
    }
}

#[test]
fn an_unusable_query_is_reported_with_its_defect() {
    let s = || text("s");
    for (columns, row, wrong) in [
        (vec!["actor_id"], vec![s()], "`token_secret`"),
        (vec!["TOKEN_SECRET", "actor_id"], vec![s(), s()], "`token_secret`"),
        (vec!["token_secret", "token_secret", "actor_id"], vec![s(), s(), s()], "`token_secret`"),
        (vec!["token_secret", "id"], vec![s(), s()], "`actor_`"),
        (vec!["token_secret", "actor_id", "actor_id"], vec![s(), s(), s()], "`id`"),
        (vec!["token_secret", "actor_id", "actor_actor_id"], vec![s(), s(), s()], "`id`"),
        (vec!["token_secret", "actor_id"], vec![s(), Value::Blob(vec![1])], "`actor_id`"),
        (vec!["token_secret", "actor_id"], vec![s(), Value::Real(f64::INFINITY)], "`actor_id`"),
        (vec!["token_secret", "actor_id"], vec![s(), Value::Real(f64::NAN)], "`actor_id`"),
    ] {
        let (code, text) = verify(&host(&columns, &[&row]), "1-s");
        assert_eq!(code, "internal", "{columns:?}");
        assert!(text.contains(wrong) && text.starts_with("the query `token` "), "{text}");
    }
    let (code, text) = verify(&Host::new(), "1-s");
    assert!(code == "internal" && text.contains("add `queries.token"), "{text}");
    let wrong = Host::new().query("token", |_| Err(QueryError::WrongParameters));
    let (code, text) = verify(&wrong, "1-s");
    assert!(code == "internal" && text.contains(":token_id"), "{text}");
}

#[test]
fn creation_is_denied() {
    let request =
        CreateRequest { actor_id: "a".to_owned(), expires_after: None, restrictions: None, description: None };
    let Err(CreateError::Denied(denied)) = Host::new().create::<Query>(request) else { panic!() };
    assert_eq!(denied.denial, Denial::Disabled);
}
