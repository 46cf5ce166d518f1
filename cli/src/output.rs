//! Output for humans and for programs.

use crate::{CliError, Env};
use keyward_runtime::text::escape_untrusted;
use keyward_runtime::{Created, Creation, Error};
use keyward_service::{Outcome, escape_json};
use serde::Serialize;
use std::fmt;
use std::io::Write;
use std::os::fd::AsFd;
use unicode_width::UnicodeWidthChar;

/// Formats an outcome on one line for humans.
pub(crate) fn text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { handler, actor, .. } => format!("accepted by {handler}: {}", actor.get()),
        Outcome::NotMine => "not mine".to_owned(),
        Outcome::Rejected { handler, reason, message } => one_line(&line("rejected by", handler, reason, message)),
        Outcome::Denied { handler, denial, message } => one_line(&line("denied by", handler, denial, message)),
        Outcome::Failed { handler, code, message } => one_line(&line("failed in", handler, code, message)),
    }
}

/// Formats a line such as `rejected by signed: expired: Token has expired`. Without a handler, the
/// outcome is the host's and names none.
fn line(what: &str, handler: &Option<String>, code: &str, message: &str) -> String {
    match handler {
        Some(handler) => format!("{what} {handler}: {code}: {message}"),
        None => format!("{}: {code}: {message}", what.split(' ').next().unwrap_or_default()),
    }
}

/// Converts a creation to the created token, or to the outcome with the reason that there is none.
pub(crate) fn created(creation: Result<Creation, Error>) -> Result<Created, Outcome> {
    match creation {
        Ok(Creation::Created(created)) => Ok(created),
        Ok(Creation::Denied(denied)) => Err(Outcome::of_denial(denied)),
        Err(error) => Err(Outcome::of_error(&error)),
    }
}

/// A created token, as JSON.
#[derive(Serialize)]
struct Token<'a> {
    token: &'a str,
    handler: &'a str,
    token_id: Option<&'a str>,
    expires_at: Option<u64>,
}

/// Writes a token. All tokens are printed here.
pub(crate) fn write_token(stdout: &mut dyn Write, created: &Created, json: bool) -> Result<(), CliError> {
    if !json {
        return writeln!(stdout, "{}", created.token).map_err(CliError::stdout);
    }
    let Created { handler, token, token_id, expires_at, .. } = created;
    write_json(
        stdout,
        &Token { token, handler, token_id: token_id.as_deref(), expires_at: expires_at.map(|time| time.seconds) },
    )
}

/// Writes one line of JSON and flushes it, so that a program can wait for it.
pub(crate) fn write_json(stdout: &mut dyn Write, value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(value).map_err(|error| CliError::stdout(error.into()))?;
    writeln!(stdout, "{}", escape_json(&text)).and_then(|()| stdout.flush()).map_err(CliError::stdout)
}

/// A line about the progress of a command on standard error, if that is a terminal. Erased when it
/// is dropped. The command goes on if it cannot be displayed.
pub(crate) struct Progress<'a> {
    stderr: Option<&'a mut dyn Write>,
    is_displayed: bool,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(stderr: &'a mut dyn Write, is_terminal: bool) -> Self {
        Self { stderr: is_terminal.then_some(stderr), is_displayed: false }
    }

    /// Displays a text in place of the last one.
    pub(crate) fn display(&mut self, text: &str) {
        if let Some(stderr) = &mut self.stderr {
            self.is_displayed = true;
            let _ = write!(stderr, "\r{}\u{1b}[K", one_line(text)).and_then(|()| stderr.flush());
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(stderr) = self.stderr.as_mut().filter(|_| self.is_displayed) {
            let _ = write!(stderr, "\r\u{1b}[K").and_then(|()| stderr.flush());
        }
    }
}

/// Formats a count with its noun: `1 record`, `2 records`.
pub(crate) fn count_of(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Width of text for humans in columns, and minimum width of tables.
pub(crate) const WIDTH: usize = 80;

/// Returns the width of tables in columns: `COLUMNS`, or the width of the terminal, or else 80.
pub fn columns(env: &Env, stdout: &impl AsFd) -> usize {
    let set = || env("COLUMNS")?.to_str()?.parse().ok();
    let terminal = || Some(rustix::termios::tcgetwinsize(stdout).ok()?.ws_col.into());
    set().or_else(terminal).unwrap_or(WIDTH).max(WIDTH)
}

/// Appends the code of an error, which `keyward explain` explains.
pub(crate) fn with_code(error: impl fmt::Display, code: &str) -> String {
    format!("{error} [{code}]")
}

/// Writes lines for humans.
pub(crate) fn write_lines(
    stdout: &mut dyn Write,
    lines: impl IntoIterator<Item = impl AsRef<str>>,
) -> Result<(), CliError> {
    for line in lines {
        writeln!(stdout, "{}", one_line(line.as_ref())).map_err(CliError::stdout)?;
    }
    Ok(())
}

/// Returns the width of printable text in columns of a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.chars().fold(0, |width, c| width.saturating_add(c.width().unwrap_or(0)))
}

/// Formats text on one line, truncated to `max` columns.
pub(crate) fn cut(text: &str, max: usize) -> String {
    let text = one_line(text);
    if width(&text) <= max {
        return text;
    }
    let mut room = max.saturating_sub(1);
    let matches = text.chars().map_while(|c| {
        room = room.checked_sub(c.width().unwrap_or(0))?;
        Some(c)
    });
    matches.chain(['…']).collect()
}

/// Pads text with trailing spaces.
pub(crate) fn pad(text: &str, to: usize) -> String {
    format!("{text}{}", " ".repeat(to.saturating_sub(width(text))))
}

/// Wraps text at [`WIDTH`], and indents all lines but the first. A word that is wider gets a line
/// of its own.
pub(crate) fn wrap(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width(line).saturating_add(1).saturating_add(width(word)) <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("  {word}")),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The kind of a column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Left-aligned text, never truncated. In the first column, text that is too wide gets a line
    /// of its own.
    Words,
    /// Right-aligned numbers, never truncated.
    Numbers,
    /// Left-aligned names, truncated if the table is too wide.
    Names,
}

/// Minimum width of a column of names.
const NARROWEST: usize = 8;

/// A table for humans. Columns are as wide as their content, and together at most as wide as the
/// terminal.
pub(crate) struct Table<'a> {
    indent: usize,
    cells: &'a [Column],
    widths: Vec<usize>,
}

impl<'a> Table<'a> {
    /// Computes the layout for these rows, which include the head, within `columns`.
    pub(crate) fn of(columns: usize, indent: usize, cells: &'a [Column], rows: &[Vec<String>]) -> Self {
        let mut widths = vec![0; cells.len()];
        for row in rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = width(cell).max(*widest);
            }
        }
        // Checks whether the first column fits if names have their minimum width.
        let min: usize = (cells.iter().zip(&widths).skip(1))
            .map(|(cells, widest)| if *cells == Column::Names { NARROWEST.min(*widest) } else { *widest })
            .fold(indent, |all, width| all.saturating_add(width).saturating_add(2));
        let room = columns.saturating_sub(min);
        if let (Some(first), Some(Column::Words)) = (widths.first_mut().filter(|first| **first > room), cells.first()) {
            let fit = rows.iter().filter_map(|row| row.first()).map(|cell| width(cell)).filter(|cell| *cell <= room);
            *first = fit.max().unwrap_or(room);
        }
        let all =
            widths.iter().fold(indent.saturating_sub(2), |all, width| all.saturating_add(width.saturating_add(2)));
        let mut too_wide = all.saturating_sub(columns);
        for (_, widest) in cells.iter().zip(&mut widths).rev().filter(|(cells, _)| **cells == Column::Names) {
            let narrower = widest.saturating_sub(too_wide).max(NARROWEST.min(*widest));
            too_wide = too_wide.saturating_sub(widest.saturating_sub(narrower));
            *widest = narrower;
        }
        Self { indent, cells, widths }
    }

    /// Returns the lines of a row.
    pub(crate) fn lines(&self, row: &[String]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = " ".repeat(self.indent);
        for (column, ((cells, max), cell)) in self.cells.iter().zip(&self.widths).zip(row).enumerate() {
            if column > 0 {
                line.push_str("  ");
            }
            if column == 0 && *cells == Column::Words && width(cell) > *max {
                lines.push(format!("{line}{cell}"));
                line.push_str(&pad("", *max));
                continue;
            }
            match cells {
                Column::Words => line.push_str(&pad(cell, *max)),
                Column::Names => line.push_str(&pad(&cut(cell, *max), *max)),
                Column::Numbers => {
                    line.push_str(&pad("", max.saturating_sub(width(cell))));
                    line.push_str(cell);
                }
            }
        }
        lines.push(line.trim_end().to_owned());
        lines
    }

    /// Returns the lines of many rows.
    pub(crate) fn all(&self, rows: &[Vec<String>]) -> Vec<String> {
        rows.iter().flat_map(|row| self.lines(row)).collect()
    }
}

/// Returns text on one line, with hidden characters as `\u{…}`.
pub(crate) fn one_line(text: &str) -> String {
    escape_untrusted(text, usize::MAX)
}

/// Returns an untrusted name on one line. Spaces at its ends are escaped too, since they are
/// invisible.
pub(crate) fn name(text: &str) -> String {
    let escape = |count: usize| "\\u{20}".repeat(count);
    let rest = text.trim_start_matches(' ');
    let shown = rest.trim_end_matches(' ');
    let [before, behind] = [(text, rest), (rest, shown)].map(|(long, short)| long.len().saturating_sub(short.len()));
    escape(before) + &one_line(shown) + &escape(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_truncated_by_display_width() {
        for (text, max, wanted) in [
            ("alice", 5, "alice"),
            ("alice", 4, "ali…"),
            // Wide characters.
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            // Combining characters.
            ("e\u{301}e\u{301}e\u{301}", 3, "e\u{301}e\u{301}e\u{301}"),
            ("a\u{1b}[2J", 6, "a\\u{1…"),
        ] {
            assert_eq!(cut(text, max), wanted);
            assert!(width(&cut(text, max)) <= max, "{text}");
        }
        assert_eq!(pad("日本", 6), "日本  ");
    }

    #[test]
    fn a_table_fits() {
        use Column::{Names, Numbers, Words};
        let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        let head = row(["ID", "NAME", "N", "ACTOR"]);
        let (id, long) = ("i".repeat(40), "x".repeat(60));
        for (rows, wanted) in [
            (
                vec![row(["a", "b", "10", "c"])],
                vec!["  ID  NAME   N  ACTOR".to_owned(), "  a   b     10  c".to_owned()],
            ),
            // Names are truncated, the last one first, and ids are not.
            (
                vec![row([&id, "b", "1", &long])],
                vec![format!("  ID{:38}  NAME  N  ACTOR", ""), format!("  {id}  b     1  {}…", &long[..26])],
            ),
            // Text that is too wide is put on its own line, and does not widen the column.
            (
                vec![row([&long, &long, "1", &long]), row(["a", "b", "1", "c"])],
                vec![
                    format!("  ID  NAME{:56}  N  ACTOR", ""),
                    format!("  {long}"),
                    format!("      {long}  1  {}…", &long[..8]),
                    format!("  a   b{:59}  1  c", ""),
                ],
            ),
        ] {
            let rows = [vec![head.clone()], rows].concat();
            let table = Table::of(WIDTH, 2, &[Words, Names, Numbers, Names], &rows).all(&rows);
            assert_eq!(table, wanted);
            assert!(table.iter().all(|line| width(line) <= WIDTH), "{table:#?}");
        }
    }

    #[test]
    fn any_text_is_one_line() {
        assert_eq!(one_line("a\nb\u{1b}[2J"), "a\\u{a}b\\u{1b}[2J");
        for (text, wanted) in
            [("a b", "a b"), (" a", "\\u{20}a"), ("a\u{3164}  ", "a\\u{3164}\\u{20}\\u{20}"), ("", "")]
        {
            assert_eq!(name(text), wanted);
        }
        let mut out = Vec::new();
        write_json(&mut out, &Outcome::malformed("a\u{9b}2J\u{202e}é")).unwrap();
        let json =
            concat!(r#"{"outcome":"rejected","handler":null,"reason":"malformed","message":"a\u009b2J\u202eé"}"#, "\n");
        assert_eq!(String::from_utf8(out).unwrap(), json);
    }
}
