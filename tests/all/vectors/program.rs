//! The vectors through the program, as run by a user.

use super::{Answer, Case, Flag, answer_in_json, cases, judge, restriction_flags};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

/// Tokens on the program's standard input, one per line.
#[test]
fn every_verify_case_through_the_program() {
    let mut groups: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    let mut inexpressible = Vec::new();
    for case in cases("verify") {
        if case.input["token"].as_str().unwrap().contains('\n') {
            inexpressible.push(case.id);
            continue;
        }
        groups.entry(format!("{}\0{}\0{}", case.secret, case.settings, case.now_text)).or_default().push(case);
    }
    println!("a line cannot hold a newline: {inexpressible:?}");
    for group in groups.values() {
        let folder = tempfile::tempdir().unwrap();
        let tokens: Vec<_> = group.iter().map(|case| case.input["token"].as_str().unwrap()).collect();
        let args = ["verify", "--json", "--at", &group[0].now_text];
        let (_, stdout) = keyward(folder.path(), &group[0], &args, &(tokens.join("\n") + "\n"));
        let lines: Vec<_> = stdout.lines().collect();
        assert_eq!(lines.len(), group.len(), "one line per token");
        for (case, line) in group.iter().zip(lines) {
            judge(case, &answer_in_json(line)).unwrap();
        }
    }
}

#[test]
fn every_create_case_through_the_program() {
    let mut inexpressible = Vec::new();
    for case in cases("create") {
        let answer = create_through_the_program(&case);
        if let Answer::Inexpressible(why) = answer {
            inexpressible.push(format!("{} ({why})", case.id));
        }
        judge(&case, &answer).unwrap();
    }
    println!("a command line cannot express: {inexpressible:?}");
}

fn create_through_the_program(case: &Case) -> Answer {
    let Some(actor) = case.input["actor_id"].as_str() else { return Answer::Inexpressible("the actor is not text") };
    if case.now.is_none() {
        return Answer::Inexpressible("a clock before 1970");
    }
    let mut args = vec!["create".to_owned(), format!("--actor={actor}"), format!("--at={}", case.now_text)];
    match &case.input["expires_after"] {
        Value::Null => {}
        Value::String(_) => return Answer::Inexpressible("a lifetime is not a number"),
        seconds => args.push(format!("--expires-after={seconds}")),
    }
    for flag in restriction_flags(&case.input["restrictions"]) {
        match flag {
            Flag::All(action) => args.extend(["--all".into(), action]),
            Flag::Database(database, action) => args.extend(["--database".into(), database, action]),
            Flag::Resource(database, resource, action) => {
                args.extend(["--resource".into(), database, resource, action]);
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let (status, output) = keyward(folder.path(), case, &args, "");
    match status {
        0 => Answer::Token(output.trim_end().to_owned()),
        // The message follows the program's own prefix; the vectors contain only the message.
        1 | 2 => {
            let wanted = case.want["message"].as_str().unwrap_or_default();
            Answer::Refused(if output.contains(wanted) { wanted.to_owned() } else { output })
        }
        _ => Answer::Failed(output),
    }
}

/// Runs the program with the configuration of a case. Returns the exit status and the output:
/// standard output on success, otherwise both.
fn keyward(folder: &std::path::Path, case: &Case, args: &[&str], input: &str) -> (i32, String) {
    let settings: Map<String, Value> = case.settings.as_object().unwrap().clone();
    let settings: Vec<_> = settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let actions: Vec<_> = case.actions.iter().map(|(name, short)| format!("{name} = {short:?}")).collect();
    let config = format!(
        "actions_open = true\n\n[keys.main]\nsecret = {{ env = \"VECTOR_SECRET\" }}\ndangerous_allow_short = true\n\n[[handlers]]\nname = \
         \"signed\"\ncomponent = \"builtin:signed\"\nprefixes = [\"dstok_\"]\nsettings = {{ {} }}\nkeys.token = {{ ring = \
         \"main\", scheme = \"itsdangerous\", namespace = \"token\" }}\n\n[actions]\n{}\n",
        settings.join(", "),
        actions.join("\n")
    );
    let path = folder.join("keyward.toml");
    std::fs::write(&path, config).unwrap();
    let mut child = Command::new(keyward_tests::cli::keyward())
        .args(args)
        .arg("--config")
        .arg(&path)
        .env("VECTOR_SECRET", &case.secret)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let status = output.status.code().unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    if status != 0 {
        text.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    (status, text)
}
