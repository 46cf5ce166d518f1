use super::*;
use proptest::prelude::*;

const TOKEN: &str = "dstok_eyJhIjoicm9vdCJ9.c2lnbmF0dXJl";

fn parse_words(words: &[&str]) -> Result<Parsed, CliError> {
    parse(std::iter::once("keyward").chain(words.iter().copied()).map(OsString::from))
}

fn usage_error(words: &[&str]) -> String {
    match parse_words(words) {
        Err(CliError::Usage(text)) => text,
        other => panic!("{words:?}: {other:?}"),
    }
}

#[test]
fn restrictions_keep_their_order() {
    let words = ["create", "--config=f", "--actor=a", "--database", "d", "x", "--all", "vi", "--database", "c", "y"];
    let Ok(Parsed::Command(Command::Create(args))) = parse_words(&words) else { panic!() };
    let restrictions = Restrictions::new().allow_database("d", "x").allow_all("vi").allow_database("c", "y");
    assert_eq!(args.restrictions.restrictions(), Some(restrictions));
}

#[test]
fn lifetimes_are_at_least_a_second() {
    assert_eq!(parse_seconds("1").unwrap().get(), 1);
    assert_eq!(parse_seconds("4294967295").unwrap().get(), u32::MAX);
    for bad in ["0", "00", "-1", "+1", "1.5", "", "4294967296", "1h"] {
        assert!(parse_seconds(bad).is_err(), "{bad}");
    }
    assert!(usage_error(&["create", "--config=f", "--actor=a", "--expires-after", "0"]).contains("is 0"));
}

#[test]
fn a_number_is_not_a_time() {
    let list = ["tokens", "list", "--config=f", "--limit"];
    let rotate = ["tokens", "rotate", "--config=f", "--handler=h", "--id=1", "--overlap"];
    for words in [&list[..], &rotate] {
        for bad in ["1970-01-02", "1970-01-02 00:00:00 UTC", "7.0", "+7", "", "4294967296"] {
            let error = usage_error(&[words, &[bad]].concat());
            assert!(error.contains("is not a whole number"), "{words:?} {bad}: {error}");
        }
    }
}

#[test]
fn verify_takes_no_argument_but_a_dash() {
    assert!(matches!(parse_words(&["verify", "--config=f"]), Ok(Parsed::Command(Command::Verify(_)))));
    assert!(matches!(parse_words(&["verify", "--config=f", "-"]), Ok(Parsed::Command(Command::Verify(_)))));
    assert!(usage_error(&["verify", "--config=f", TOKEN]).starts_with("tokens are read from standard input"));
    assert!(usage_error(&["verify", "--config=f", "-", TOKEN]).starts_with("tokens are read from standard input"));
}

#[test]
fn no_error_repeats_an_argument() {
    let create = ["create", "--config=f", "--actor=a"];
    let token_options: Vec<String> =
        ["", "-", "--", "--token=", "--at=", "--expires-after=", "--json=", "-j", "--config="]
            .iter()
            .map(|before| format!("{before}{TOKEN}"))
            .collect();
    for start in [&[][..], &["verify"], &["verify", "--config=f"], &["verify", "--config=f", "--at"]] {
        for token in &token_options {
            let words: Vec<_> = start.iter().copied().chain([token.as_str()]).collect();
            if let Err(CliError::Usage(text)) = parse_words(&words) {
                assert!(!text.contains(TOKEN) && text.lines().count() == 1, "{words:?}: {text}");
            }
        }
    }
    for more in [
        &[TOKEN][..],
        &["--expires-after", TOKEN],
        &["--at", TOKEN],
        &["--resource", TOKEN],
        &["--resource", TOKEN, "b"],
        &["--database", "a", "b", TOKEN],
        &["--json", TOKEN],
        &["--actor", TOKEN],
        &["check", TOKEN, "--at"],
    ] {
        let text = usage_error(&[&create, more].concat());
        assert!(!text.contains(TOKEN) && text.lines().count() == 1, "{more:?}: {text}");
    }
    assert!(!usage_error(&["check", "a", TOKEN]).contains(TOKEN));
    assert!(!usage_error(&["keygen", "a", TOKEN]).contains(TOKEN));
    assert!(!usage_error(&["client", "a", TOKEN]).contains(TOKEN));
    assert!(!usage_error(&["login", "--actor", "a", TOKEN]).contains(TOKEN));
    assert!(!usage_error(&["keys", "list", TOKEN]).contains(TOKEN));
    assert!(!usage_error(&["serve", TOKEN]).contains(TOKEN));
    assert!(!usage_error(&["serve", "--listen", TOKEN]).contains(TOKEN));
}

#[test]
fn every_help_has_an_example() {
    Arguments::command().debug_assert();
    for words in [
        &["--help"][..],
        &["serve", "--help"],
        &["create", "--help"],
        &["verify", "--help"],
        &["check", "-h"],
        &["keygen", "-h"],
        &["client", "-h"],
        &["login", "-h"],
        &["keys", "list", "--help"],
        &["keys", "check", "-h"],
        &["tokens", "list", "-h"],
        &["tokens", "show", "-h"],
        &["tokens", "edit", "-h"],
        &["tokens", "rotate", "-h"],
        &["tokens", "revoke", "-h"],
        &["tokens", "import", "-h"],
        &["store", "backup", "-h"],
        &["store", "check", "-h"],
        &["store", "accept", "-h"],
        &["audit", "verify", "-h"],
        &["audit", "tail", "-h"],
        &["audit", "export", "-h"],
        &["status", "-h"],
        &["config", "schema", "-h"],
        &["completions", "-h"],
        &["man", "-h"],
    ] {
        let Ok(Parsed::Help(text)) = parse_words(words) else { panic!("{words:?}") };
        assert!(text.contains("Example"), "{words:?}");
    }
    assert!(usage_error(&[]).starts_with("missing command"));
}

proptest! {
    #[test]
    fn any_arguments_give_a_command_or_an_error(words in proptest::collection::vec("(--)?[a-z=.0-9-]{0,12}", 0..6)) {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let _ = parse_words(&words);
    }

}

#[test]
fn every_help_fits_a_terminal_and_has_an_example() {
    fn walk(command: &clap::Command, words: &mut Vec<String>) {
        let args: Vec<_> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let Ok(Parsed::Help(help)) = parse_words(&args) else { panic!("{args:?}") };
        let widest = help.lines().map(|line| line.chars().count()).max().unwrap_or_default();
        let height = help.trim_end().lines().count();
        assert!(widest <= 80 && height <= 40, "{args:?}: {widest} columns, {height} lines");
        assert!(help.contains("Example"), "{args:?} has no example");
        for child in command.get_subcommands() {
            words.push(child.get_name().to_owned());
            walk(child, words);
            words.pop();
        }
    }
    walk(&command_line(), &mut Vec::new());
}
