use super::*;
use crate::output::WIDTH;

fn row(key: &str, state: Option<&'static str>, tokens: Option<[u64; 4]>) -> Row {
    let tokens = tokens.map(|[minted, good, never_end, newest]| Tokens {
        minted,
        good,
        never_end,
        newest_expiry: (newest > 0).then_some(newest),
    });
    let used_by = vec!["signed.token".to_owned()];
    Row { ring: "main".into(), key: key.into(), state, age_seconds: Some(90_000), used_by, tokens }
}

#[test]
fn each_state_has_its_advice() {
    const END: u64 = 1_796_112_000;
    for (state, tokens, wanted) in [
        ("pending", None, "main/k is pending: make it active once every node has loaded it."),
        ("active", Some([5, 5, 5, 0]), "main/k is active: it signs tokens."),
        ("verify-only", None, "main/k is verify-only: its tokens cannot be counted without a store."),
        (
            "verify-only",
            Some([5, 0, 0, 0]),
            "main/k is verify-only: it can be retired, because no valid token uses it.",
        ),
        (
            "verify-only",
            Some([5, 3, 0, END]),
            "main/k is verify-only: retire it after 2026-12-01 08:00:00 UTC; until then, 3 valid tokens use it.",
        ),
        (
            "verify-only",
            Some([5, 1, 1, 0]),
            "main/k is verify-only: 1 valid token that never expires uses it: replace and revoke the token before you retire the key.",
        ),
        (
            "verify-only",
            Some([5, 4, 3, END]),
            "main/k is verify-only: 4 valid tokens use it, 3 of which never expire: replace and revoke those, and retire \
             it after 2026-12-01 08:00:00 UTC.",
        ),
        ("retired", None, "main/k is retired: its tokens cannot be counted without a store."),
        ("retired", Some([5, 0, 0, 0]), "main/k is retired, and no valid token uses it."),
        (
            "retired",
            Some([5, 1, 0, END]),
            "BROKEN: main/k is retired, but 1 token would otherwise be valid until 2026-12-01 08:00:00 UTC: make it \
             `verify-only` again, unless its secret has leaked, or revoke its tokens.",
        ),
        (
            "retired",
            Some([5, 4, 3, END]),
            "BROKEN: main/k is retired, but 4 tokens would otherwise be valid (3 forever, the last of the others until \
             2026-12-01 08:00:00 UTC): make it `verify-only` again, unless its secret has leaked, or revoke its tokens.",
        ),
        (
            "gone",
            Some([2, 2, 2, 0]),
            "BROKEN: main/k is not in the configuration, but 2 tokens would otherwise be valid forever: make it \
             `verify-only` again, unless its secret has leaked, or revoke its tokens.",
        ),
        ("gone", Some([2, 0, 0, 0]), "main/k is not in the configuration, and no valid token uses it."),
    ] {
        let finding = Finding::of(row("k", Some(state).filter(|state| *state != "gone"), tokens));
        assert_eq!(finding.advice, wanted);
        assert_eq!(finding.broken, wanted.starts_with("BROKEN"));
        assert!(wrap(wanted).iter().all(|line| line.len() <= WIDTH), "{wanted}");
    }
}

#[test]
fn the_table_fits() {
    let rows = [
        row("2026-11", Some("active"), Some([120, 118, 2, 1_796_112_000])),
        row("2026-10", Some("verify-only"), Some([1_234_567, 9, 0, 0])),
        row("2026-10-the-key-that-leaked", None, Some([1, 0, 0, 0])),
        Row {
            ring: "other".into(),
            age_seconds: None,
            used_by: vec![],
            ..row("2026-12", Some("pending"), Some([0; 4]))
        },
    ];
    assert_eq!(
        table(&rows).join("\n"),
        "\
Ring main, used by signed.token
  KEY      STATE        AGE   ISSUED  VALID  NO EXPIRY  LAST EXPIRY (UTC)
  2026-11  active        1d      120    118          2  2026-12-01 08:00
  2026-10  verify-only   1d  1234567      9          0  -
  2026-10-the-key-that-leaked
           gone          1d        1      0          0  -
Ring other, used by no handler
  KEY      STATE        AGE   ISSUED  VALID  NO EXPIRY  LAST EXPIRY (UTC)
  2026-12  pending        -        0      0          0  -"
    );
    let long = "x".repeat(64);
    let (handler, label) = ("h".repeat(60), "l".repeat(15));
    let wide = Row { used_by: vec![format!("{handler}.{label}"); 3], ..row(&long, Some("verify-only"), None) };
    let max = row(&long, Some("verify-only"), Some([999_999_999, 999_999_999, 99_999_999, 253_402_300_799]));
    for rows in [&[wide][..], &[max], &rows] {
        assert!(table(rows).iter().all(|line| line.len() <= WIDTH), "{:#?}", table(rows));
    }
}

#[test]
fn without_a_store_no_tokens_are_counted() {
    let text = table(&[row("2026-11", Some("active"), None)]).join("\n");
    assert_eq!(text, "Ring main, used by signed.token\n  KEY      STATE   AGE\n  2026-11  active   1d");
}
