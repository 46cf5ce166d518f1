//! `keyward audit …`: whether what was written down is whole, and what it is. Only reads.

use crate::args::audit::{Audit, Command, Export, Tail, Verify};
use crate::load::Loaded;
use crate::output::{WIDTH, count_of, cut, pad, width, write_json, write_lines};
use crate::{Status, Stop, World};
use keyward_audit::{BadLine, Noted, Problem, Record, Settings, Verified, last, lines, rfc3339, verify};
use keyward_runtime::UnixTime;
use serde::Serialize;
use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

pub(crate) fn run(args: Audit, world: &mut World<'_>) -> Result<Status, Stop> {
    match args.command {
        Command::Verify(args) => verified(&args, world),
        Command::Tail(args) => tail(&args, world),
        Command::Export(args) => export(args, world),
    }
}

/// What the audit of a configuration is opened with, if it has one.
pub(crate) fn settings(loaded: &Loaded) -> Option<Settings> {
    let audit = loaded.config.audit.as_ref()?;
    Some(Settings { file: loaded.path(&audit.file.value), node: loaded.node(), ..audit.settings.clone() })
}

fn configured(config: &Path) -> Result<Settings, Stop> {
    let loaded = Loaded::read(config)?;
    let text = "there is no `[audit]`: add it, with `file = \"audit.jsonl\"`";
    settings(&loaded).ok_or_else(|| loaded.mistake(None, text))
}

fn cannot(error: impl ToString) -> Stop {
    Stop::NoVerdict(error.to_string())
}

/// What was found, as JSON.
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
    problem: Option<Wrong<'a>>,
}

#[derive(Serialize)]
struct Moment<'a> {
    seq: u64,
    time: &'a str,
}

#[derive(Serialize)]
struct Wrong<'a> {
    wrong: &'static str,
    file: Cow<'a, str>,
    line: u64,
    seq: u64,
}

fn verified(args: &Verify, world: &mut World<'_>) -> Result<Status, Stop> {
    let settings = configured(&args.config)?;
    let verified = verify(&settings.file, args.head.as_ref()).map_err(cannot)?;
    if args.json {
        write_json(world.stdout, &finding(&verified, args.head.is_some()))?;
    } else {
        write_lines(world.stdout, sentences(&verified))?;
    }
    match (verified.problem.is_some(), verified.noted) {
        (true, _) => Ok(Status::No),
        (false, Noted::TooOld) => {
            Err(cannot("the line of --head has had its time: nothing can be said of it; note a newer head"))
        }
        (false, _) => Ok(Status::Good),
    }
}

fn finding(verified: &Verified, asked: bool) -> Finding<'_> {
    let Verified { files, records, first, last, head, removed, unfinished, has_head, cut, lost, noted, problem } =
        verified;
    Finding {
        whole: problem.is_none(),
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
            Noted::Found => "found",
            Noted::TooOld => "too-old",
            Noted::Unseen => "unseen",
        }),
        problem: problem.as_ref().map(|Problem { wrong, file, line, seq }| Wrong {
            wrong: wrong.as_str(),
            file: file.to_string_lossy(),
            line: *line,
            seq: *seq,
        }),
    }
}

/// What was found, for people.
fn sentences(verified: &Verified) -> Vec<String> {
    let Verified { files, records, first, last, head, removed, unfinished, has_head, cut, lost, noted, problem } =
        verified;
    let mut told = Vec::new();
    if let Some(problem) = problem {
        told.push(format!("not whole: {problem}"));
    }
    let begin = if problem.is_some() { "good before it" } else { "whole" };
    told.push(format!(
        "{begin}: {} in {}",
        count_of(*records, "record"),
        count_of(u64::try_from(*files).unwrap_or(u64::MAX), "file")
    ));
    if let (Some((_, first)), Some((_, last))) = (first, last) {
        told.push(format!("from {first} to {last}"));
    }
    if let Some(removed) = removed {
        told.push(format!("those up to {} had had their time and were removed in order", removed.seq));
    }
    if *lost > 0 {
        told.push(format!("{} more counted instead of being written", count_of(*lost, "record")));
    }
    if *cut > 0 {
        told.push(format!("{} cut, for which nobody had been answered", count_of(*cut, "unfinished line")));
    }
    if *unfinished {
        told.push("the last line is not finished: whoever writes next will cut it".to_owned());
    }
    if !*has_head {
        told.push("no head stands beside it, so nobody can tell whether its end is missing".to_owned());
    }
    if *noted == Noted::Found {
        told.push("it leads to the head that was given".to_owned());
    }
    told.push(format!("head {head}"));
    told
}

fn tail(args: &Tail, world: &mut World<'_>) -> Result<Status, Stop> {
    let settings = configured(&args.config)?;
    let lines = last(&settings.file, args.n).map_err(cannot)?;
    let mut rows = vec![["SEQ", "TIME (UTC)", "EVENT", "HANDLER", "TOKEN", "ACTOR", "RESULT"].map(str::to_owned)];
    let mut bad = None;
    for line in lines {
        match line {
            Ok((text, _)) if args.json => writeln!(world.stdout, "{text}").map_err(Stop::stdout)?,
            Ok((_, record)) => rows.push(described(&record)),
            Err(error) => bad = bad.or(Some(error)),
        }
    }
    if !args.json {
        write_lines(world.stdout, table(&rows))?;
    }
    end(bad)
}

/// What cannot be read is said behind what can.
fn end(bad: Option<BadLine>) -> Result<Status, Stop> {
    bad.map_or(Ok(Status::Good), |bad| Err(cannot(bad)))
}

/// A record as a row.
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

/// Lines that fit: names are cut for the result, which has all that they leave.
fn table(rows: &[[String; 7]]) -> Vec<String> {
    /// What columns other than the last are cut to.
    const MOST: [usize; 6] = [20, 19, 7, 10, 8, 10];
    let mut widths = [0; 6];
    for row in rows {
        for ((widest, most), cell) in widths.iter_mut().zip(MOST).zip(row) {
            *widest = width(&cut(cell, most)).max(*widest);
        }
    }
    let line = |row: &[String; 7]| {
        let [seq, others @ .., result] = row;
        let [first, widths @ ..] = widths;
        let mut line = format!("{seq:>first$} ");
        for (cell, width) in others.iter().zip(widths) {
            line += &pad(&cut(cell, width), width);
            line.push(' ');
        }
        let left = WIDTH.saturating_sub(width(&line));
        (line + &cut(result, left)).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Whether a record is about a token: about it, or about one that was to take its place.
fn is_about(record: &Record, id: &str) -> bool {
    let replaces = |detail: &String| {
        let rest = detail.strip_prefix("in the place of ").and_then(|rest| rest.strip_prefix(id));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(','))
    };
    record.token_id.as_deref() == Some(id) || record.detail.as_ref().is_some_and(replaces)
}

fn export(args: Export, world: &mut World<'_>) -> Result<Status, Stop> {
    let Export { config, since, until, event, actor, caller, handler, token_id, json: _ } = args;
    let settings = configured(&config)?;
    // As texts they are in the same order as moments.
    let moment = |at: UnixTime| rfc3339(Duration::new(at.seconds, at.nanoseconds));
    let (since, until) = (since.map(moment), until.map(moment));
    let is_wanted = |record: &Record| {
        let wanted = [(&actor, &record.actor), (&caller, &record.caller), (&handler, &record.handler)];
        wanted.iter().all(|(wanted, is)| wanted.is_none() || wanted == is)
            && token_id.as_ref().is_none_or(|id| is_about(record, id))
            && event.as_ref().is_none_or(|event| *event == record.event)
            && since.as_ref().is_none_or(|since| record.time >= *since)
            && until.as_ref().is_none_or(|until| record.time <= *until)
    };
    let mut bad = None;
    for line in lines(&settings.file).map_err(cannot)? {
        match line {
            Ok((text, record)) if is_wanted(&record) => writeln!(world.stdout, "{text}").map_err(Stop::stdout)?,
            Ok(_) => {}
            Err(error) => bad = bad.or(Some(error)),
        }
    }
    end(bad)
}
