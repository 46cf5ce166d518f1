//! Answers, for people and for programs.

use crate::Stop;
use keyward_runtime::{Created, Creation, Error, printable};
use keyward_server::{Outcome, escape_json};
use serde::Serialize;
use std::io::Write;
use unicode_width::UnicodeWidthChar;

/// An outcome on one line, for people.
pub(crate) fn text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { handler, actor, .. } => format!("accepted by {handler}: {}", actor.get()),
        Outcome::NotMine => "not mine".to_owned(),
        Outcome::Rejected { handler, reason, message } => one_line(&line("rejected by", handler, reason, message)),
        Outcome::Denied { handler, denial, message } => one_line(&line("denied by", handler, denial, message)),
        Outcome::Failed { handler, code, message } => one_line(&line("failed in", handler, code, message)),
    }
}

/// `rejected by signed: expired: Token has expired`; without a handler it was the host, which is left out.
fn line(what: &str, handler: &Option<String>, code: &str, message: &str) -> String {
    match handler {
        Some(handler) => format!("{what} {handler}: {code}: {message}"),
        None => format!("{}: {code}: {message}", what.split(' ').next().unwrap_or_default()),
    }
}

/// A creation: either the token itself, or an outcome that says why there is none.
pub(crate) fn created(creation: Result<Creation, Error>) -> Result<Created, Outcome> {
    match creation {
        Ok(Creation::Created(created)) => Ok(created),
        Ok(Creation::Denied(denied)) => Err(Outcome::of_denial(denied)),
        Err(error) => Err(Outcome::of_error(&error)),
    }
}

/// A token that was made, as JSON.
#[derive(Serialize)]
struct Token<'a> {
    token: &'a str,
    handler: &'a str,
    token_id: Option<&'a str>,
    expires_at: Option<u64>,
}

/// Writes a token, the only place where one leaves.
pub(crate) fn write_token(stdout: &mut dyn Write, created: &Created, json: bool) -> Result<(), Stop> {
    if !json {
        return writeln!(stdout, "{}", created.token).map_err(Stop::stdout);
    }
    let Created { handler, token, token_id, expires_at, key: _ } = created;
    write_json(stdout, &Token { token, handler, token_id: token_id.as_deref(), expires_at: *expires_at })
}

/// Writes one line of JSON. It goes out at once, so that a program can wait for it.
pub(crate) fn write_json(stdout: &mut dyn Write, value: &impl Serialize) -> Result<(), Stop> {
    let text = serde_json::to_string(value).map_err(|error| Stop::stdout(error.into()))?;
    writeln!(stdout, "{}", escape_json(&text)).and_then(|()| stdout.flush()).map_err(Stop::stdout)
}

/// So many: `1 record`, `2 records`.
pub(crate) fn count_of(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// How wide what people read may be.
pub(crate) const WIDTH: usize = 80;

/// Writes lines for people.
pub(crate) fn write_lines(
    stdout: &mut dyn Write,
    lines: impl IntoIterator<Item = impl AsRef<str>>,
) -> Result<(), Stop> {
    for line in lines {
        writeln!(stdout, "{}", one_line(line.as_ref())).map_err(Stop::stdout)?;
    }
    Ok(())
}

/// How many columns of a terminal a text takes. What stands in it is printable.
pub(crate) fn width(text: &str) -> usize {
    text.chars().fold(0, |width, c| width.saturating_add(c.width().unwrap_or(0)))
}

/// A text on one line, no wider than that.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let text = one_line(text);
    if width(&text) <= most {
        return text;
    }
    let mut room = most.saturating_sub(1);
    let fits = text.chars().map_while(|c| {
        room = room.checked_sub(c.width().unwrap_or(0))?;
        Some(c)
    });
    fits.chain(['…']).collect()
}

/// A text with spaces behind it.
pub(crate) fn pad(text: &str, to: usize) -> String {
    format!("{text}{}", " ".repeat(to.saturating_sub(width(text))))
}

/// Lines that are no longer than they may be, if no word is; all but the first are indented.
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

/// What stands in a column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cells {
    /// They begin at the same place, and are whole. A longer one of the first column gets a line of its own.
    Words,
    /// They end at the same place, and are whole.
    Numbers,
    /// They are cut where there is no room.
    Names,
}

/// How narrow names get.
const NARROWEST: usize = 8;

/// A table for people: columns as wide as what stands in them, and together no wider than [`WIDTH`].
pub(crate) struct Table<'a> {
    indent: usize,
    cells: &'a [Cells],
    widths: Vec<usize>,
}

impl<'a> Table<'a> {
    /// For these rows, the heads among them.
    pub(crate) fn of(indent: usize, cells: &'a [Cells], rows: &[Vec<String>]) -> Self {
        let mut widths = vec![0; cells.len()];
        for row in rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = width(cell).max(*widest);
            }
        }
        // First with names as narrow as they get: is there room for all of the first column?
        let least: usize = (cells.iter().zip(&widths).skip(1))
            .map(|(cells, widest)| if *cells == Cells::Names { NARROWEST.min(*widest) } else { *widest })
            .fold(indent, |all, width| all.saturating_add(width).saturating_add(2));
        let room = WIDTH.saturating_sub(least);
        if let (Some(first), Some(Cells::Words)) = (widths.first_mut().filter(|first| **first > room), cells.first()) {
            let fit = rows.iter().filter_map(|row| row.first()).map(|cell| width(cell)).filter(|cell| *cell <= room);
            *first = fit.max().unwrap_or(room);
        }
        let all =
            widths.iter().fold(indent.saturating_sub(2), |all, width| all.saturating_add(width.saturating_add(2)));
        let mut too_wide = all.saturating_sub(WIDTH);
        for (_, widest) in cells.iter().zip(&mut widths).rev().filter(|(cells, _)| **cells == Cells::Names) {
            let narrower = widest.saturating_sub(too_wide).max(NARROWEST.min(*widest));
            too_wide = too_wide.saturating_sub(widest.saturating_sub(narrower));
            *widest = narrower;
        }
        Self { indent, cells, widths }
    }

    /// The lines of a row.
    pub(crate) fn lines(&self, row: &[String]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = " ".repeat(self.indent);
        for (column, ((cells, most), cell)) in self.cells.iter().zip(&self.widths).zip(row).enumerate() {
            if column > 0 {
                line.push_str("  ");
            }
            if column == 0 && *cells == Cells::Words && width(cell) > *most {
                lines.push(format!("{line}{cell}"));
                line.push_str(&pad("", *most));
                continue;
            }
            match cells {
                Cells::Words => line.push_str(&pad(cell, *most)),
                Cells::Names => line.push_str(&pad(&cut(cell, *most), *most)),
                Cells::Numbers => {
                    line.push_str(&pad("", most.saturating_sub(width(cell))));
                    line.push_str(cell);
                }
            }
        }
        lines.push(line.trim_end().to_owned());
        lines
    }

    /// The lines of many.
    pub(crate) fn all(&self, rows: &[Vec<String>]) -> Vec<String> {
        rows.iter().flat_map(|row| self.lines(row)).collect()
    }
}

/// Returns text on one line, with hidden characters as `\u{…}`.
pub(crate) fn one_line(text: &str) -> String {
    printable(text, usize::MAX)
}

/// Returns an untrusted name on one line. Blanks at its ends are escaped too, since they are invisible.
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
    fn a_text_is_cut_to_the_columns_that_it_takes() {
        for (text, most, wanted) in [
            ("alice", 5, "alice"),
            ("alice", 4, "ali…"),
            // Two columns each.
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            // None of its own.
            ("e\u{301}e\u{301}e\u{301}", 3, "e\u{301}e\u{301}e\u{301}"),
            ("a\u{1b}[2J", 6, "a\\u{1…"),
        ] {
            assert_eq!(cut(text, most), wanted);
            assert!(width(&cut(text, most)) <= most, "{text}");
        }
        assert_eq!(pad("日本", 6), "日本  ");
    }

    #[test]
    fn a_table_fits() {
        use Cells::{Names, Numbers, Words};
        let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        let head = row(["ID", "NAME", "N", "ACTOR"]);
        let (id, long) = ("i".repeat(40), "x".repeat(60));
        for (rows, wanted) in [
            (
                vec![row(["a", "b", "10", "c"])],
                vec!["  ID  NAME   N  ACTOR".to_owned(), "  a   b     10  c".to_owned()],
            ),
            // Names give way, the last one first, and an id never.
            (
                vec![row([&id, "b", "1", &long])],
                vec![format!("  ID{:38}  NAME  N  ACTOR", ""), format!("  {id}  b     1  {}…", &long[..26])],
            ),
            // One that has no room stands alone, and does not make the others wider.
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
            let table = Table::of(2, &[Words, Names, Numbers, Names], &rows).all(&rows);
            assert_eq!(table, wanted);
            assert!(table.iter().all(|line| width(line) <= WIDTH), "{table:#?}");
        }
    }

    #[test]
    fn a_line_is_one_line_whatever_stands_in_it() {
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
