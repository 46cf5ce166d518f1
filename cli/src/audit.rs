//! `keyward audit`: verifies and prints the audit log. Only reads.

use crate::args::audit::{Audit, Command, Export, Tail, Verify};
use crate::config_file::ConfigFile;
use crate::output::{WIDTH, count_of, cut, pad, width, write_json, write_lines};
use crate::{CliError, ExitStatus, Io};
use keyward_audit::{AnchorCheck, LineError, Problem, Record, Settings, Verified, last, lines, rfc3339, verify};
use keyward_runtime::clock::UnixTime;
use serde::Serialize;
use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

pub(crate) fn run(args: Audit, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    match args.command {
        Command::Verify(args) => verified(&args, io),
        Command::Tail(args) => tail(&args, io),
        Command::Export(args) => export(args, io),
    }
}

fn configured(config: Option<&Path>, io: &mut Io<'_>) -> Result<Settings, CliError> {
    let loaded = ConfigFile::find(config, io)?;
    let text = "there is no `[audit]` section: add one with `file = \"audit.jsonl\"`";
    loaded.audit_settings().ok_or_else(|| loaded.usage_error(None, text))
}

fn cannot(error: impl ToString) -> CliError {
    CliError::Unavailable(error.to_string())
}

/// The result of a verification, as JSON.
#[derive(Serialize)]
struct Finding<'a> {
    whole: bool,
    files: usize,
    records: u64,
    first: Option<Moment<'a>>,
    last: Option<Moment<'a>>,
    head: String,
    removed: Option<String>,
    unfinished: bool,
    has_head: bool,
    cut: u64,
    lost: u64,
    noted: Option<&'static str>,
    problem: Option<Defect<'a>>,
}

#[derive(Serialize)]
struct Moment<'a> {
    seq: u64,
    time: &'a str,
}

#[derive(Serialize)]
struct Defect<'a> {
    wrong: &'static str,
    file: Cow<'a, str>,
    line: u64,
    seq: u64,
}

fn verified(args: &Verify, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let settings = configured(args.config.as_deref(), io)?;
    let verified = verify(&settings.file, args.head.as_ref()).map_err(cannot)?;
    // Without its head, a log whose end was truncated looks intact.
    let is_whole = verified.problem.is_none() && (verified.has_head || args.no_head);
    if args.json {
        write_json(io.stdout, &finding(&verified, is_whole, args.head.is_some()))?;
    } else {
        write_lines(io.stdout, sentences(&verified, is_whole))?;
    }
    match (!is_whole, verified.noted) {
        (true, _) => Ok(ExitStatus::Negative),
        (false, AnchorCheck::TooOld) => {
            Err(cannot("--head refers to a record that was removed by retention; use a newer head"))
        }
        (false, _) => Ok(ExitStatus::Success),
    }
}

fn finding(verified: &Verified, whole: bool, asked: bool) -> Finding<'_> {
    let Verified { files, records, first, last, head, removed, unfinished, has_head, cut, lost, noted, problem } =
        verified;
    Finding {
        whole,
        files: *files,
        records: *records,
        first: first.as_ref().map(|(seq, time)| Moment { seq: *seq, time }),
        last: last.as_ref().map(|(seq, time)| Moment { seq: *seq, time }),
        head: head.to_string(),
        removed: removed.map(|removed| removed.to_string()),
        unfinished: *unfinished,
        has_head: *has_head,
        cut: *cut,
        lost: *lost,
        noted: asked.then_some(match noted {
            AnchorCheck::Found => "found",
            AnchorCheck::TooOld => "too-old",
            AnchorCheck::Unseen => "unseen",
        }),
        problem: problem.as_ref().map(|Problem { wrong, file, line, seq }| Defect {
            wrong: wrong.as_str(),
            file: file.to_string_lossy(),
            line: *line,
            seq: *seq,
        }),
    }
}

/// Describes the result of a verification for humans.
fn sentences(verified: &Verified, is_whole: bool) -> Vec<String> {
    let Verified { files, records, first, last, head, removed, unfinished, has_head, cut, lost, noted, problem } =
        verified;
    let mut told = Vec::new();
    if let Some(problem) = problem {
        told.push(format!("not intact: {problem}"));
    }
    let files = count_of(u64::try_from(*files).unwrap_or(u64::MAX), "file");
    let counts = format!("{} in {files}", count_of(*records, "record"));
    told.push(match problem {
        Some(_) => format!("intact before that: {counts}"),
        None if is_whole => format!("intact: {counts}"),
        None => format!("not verified to the end: {counts} are intact"),
    });
    if let (Some((_, first)), Some((_, last))) = (first, last) {
        told.push(format!("from {first} to {last}"));
    }
    if let Some(removed) = removed {
        told.push(format!("records up to {} were removed by retention", removed.seq));
    }
    if *lost > 0 {
        told.push(format!("{} dropped and only counted", count_of(*lost, "record")));
    }
    if *cut > 0 {
        told.push(format!("{} cut, for which no response had been sent", count_of(*cut, "unfinished line")));
    }
    if *unfinished {
        told.push("the last line is unfinished: the next writer will cut it".to_owned());
    }
    if !*has_head {
        let remedy = if is_whole { "" } else { "; if this log never had one, use --no-head" };
        told.push(format!("no .head file found: truncation of the last records cannot be detected{remedy}"));
    }
    if *noted == AnchorCheck::Found {
        told.push("contains the record of --head".to_owned());
    }
    told.push(format!("head {head}"));
    told
}

fn tail(args: &Tail, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let settings = configured(args.config.as_deref(), io)?;
    let lines = last(&settings.file, args.n).map_err(cannot)?;
    let mut rows = vec![["SEQ", "TIME (UTC)", "EVENT", "HANDLER", "TOKEN", "ACTOR", "RESULT"].map(str::to_owned)];
    let mut bad = None;
    for line in lines {
        match line {
            Ok((text, _)) if args.json => writeln!(io.stdout, "{text}").map_err(CliError::stdout)?,
            Ok((_, record)) => rows.push(described(&record)),
            Err(error) => bad = bad.or(Some(error)),
        }
    }
    if !args.json {
        write_lines(io.stdout, table(io.columns, &rows))?;
    }
    end(bad)
}

/// Returns the exit status. A line that cannot be read is reported after all others.
fn end(bad: Option<LineError>) -> Result<ExitStatus, CliError> {
    bad.map_or(Ok(ExitStatus::Success), |bad| Err(cannot(bad)))
}

/// Returns a record as a row of the table.
fn described(record: &Record) -> [String; 7] {
    let time = record.time.get(..19).unwrap_or(&record.time).replace('T', " ");
    let of = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let lost = record.lost.iter().flatten().fold(0_u64, |sum, loss| sum.saturating_add(loss.count));
    let up_to = record.up_to.as_ref().and_then(|head| head.split(':').next()).map(|seq| format!("up to {seq}"));
    let count = record.count.map(|count| count.to_string());
    let lost = record.lost.is_some().then(|| lost.to_string());
    let bytes = record.bytes.map(|bytes| format!("{bytes} bytes"));
    let result = record.reason.clone().or_else(|| record.outcome.clone()).or(up_to).or(count).or(lost).or(bytes);
    let [handler, token, actor, result] = [&record.handler, &record.token_id, &record.actor, &result].map(of);
    [record.seq.to_string(), time, record.event.clone(), handler, token, actor, result]
}

/// Returns the lines of a table within `columns`. Names are truncated; the result takes the rest of
/// the line.
fn table(columns: usize, rows: &[[String; 7]]) -> Vec<String> {
    /// Maximum widths of all columns but the last, in a table of [`WIDTH`].
    const MOST: [usize; 6] = [20, 19, 7, 10, 8, 10];
    /// The columns that a wider terminal shows in full, the most important first.
    const FULL: [usize; 3] = [4, 5, 3];
    let mut widths = [0; 6];
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = width(cell).max(*widest);
        }
    }
    let mut room = columns.saturating_sub(WIDTH);
    let mut most = MOST;
    for column in FULL {
        let (Some(max), Some(widest)) = (most.get_mut(column), widths.get(column)) else { continue };
        let more = widest.saturating_sub(*max).min(room);
        *max = max.saturating_add(more);
        room = room.saturating_sub(more);
    }
    for (widest, max) in widths.iter_mut().zip(most) {
        *widest = max.min(*widest);
    }
    let line = |row: &[String; 7]| {
        let [seq, others @ .., result] = row;
        let [first, widths @ ..] = widths;
        let mut line = format!("{seq:>first$} ");
        for (cell, width) in others.iter().zip(widths) {
            line += &pad(&cut(cell, width), width);
            line.push(' ');
        }
        let left = columns.saturating_sub(width(&line));
        (line + &cut(result, left)).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Returns whether a record is about a token, about one that replaces it, or about a child of it.
fn is_about(record: &Record, id: &str) -> bool {
    let is = |text: &Option<String>| text.as_deref() == Some(id);
    let is_parent = || record.parent.as_deref()?.strip_suffix(id)?.strip_suffix('/');
    is(&record.token_id)
        || is(&record.replaces)
        || is_parent().is_some()
        || record.detail.as_deref().is_some_and(|detail| replaced(detail, id))
}

/// Returns whether the detail of a rotation names the replaced token, as it did before records had
/// a member for it.
fn replaced(detail: &str, id: &str) -> bool {
    let rest = detail.strip_prefix("in the place of ").and_then(|rest| rest.strip_prefix(id));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(", which is good for"))
}

fn export(args: Export, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let Export { config, since, until, event, actor, client, handler, token_id, json: _ } = args;
    let settings = configured(config.as_deref(), io)?;
    // Times in RFC 3339 sort as text.
    let moment = |at: UnixTime| rfc3339(Duration::new(at.seconds, at.nanoseconds));
    let (since, until) = (since.map(moment), until.map(moment));
    let is_wanted = |record: &Record| {
        let wanted = [(&actor, &record.actor), (&client, &record.client), (&handler, &record.handler)];
        wanted.iter().all(|(wanted, is)| wanted.is_none() || wanted == is)
            && token_id.as_ref().is_none_or(|id| is_about(record, id))
            && event.as_ref().is_none_or(|event| *event == record.event)
            && since.as_ref().is_none_or(|since| record.time >= *since)
            && until.as_ref().is_none_or(|until| record.time <= *until)
    };
    let mut bad = None;
    for line in lines(&settings.file).map_err(cannot)? {
        match line {
            Ok((text, record)) if is_wanted(&record) => writeln!(io.stdout, "{text}").map_err(CliError::stdout)?,
            Ok(_) => {}
            Err(error) => bad = bad.or(Some(error)),
        }
    }
    end(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_terminal_shows_whole_ids() {
        let id = "767ed2bf2ec63f8d6af12fbcab3ba84a";
        let row = ["1", "2026-12-01 08:00:00", "revoke", "signed", id, "alice@example.com", "not-permitted"];
        let rows = [row.map(str::to_owned)];
        for (columns, is_whole) in [(WIDTH, false), (WIDTH + 23, false), (WIDTH + 24, true), (200, true)] {
            let lines = table(columns, &rows);
            assert_eq!(lines.iter().any(|line| line.contains(id)), is_whole, "{lines:#?}");
            assert!(lines.iter().all(|line| width(line) <= columns), "{lines:#?}");
        }
        assert!(table(200, &rows).iter().all(|line| line.contains("alice@example.com")));
    }
}
