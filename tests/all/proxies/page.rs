//! Compares the tables of `docs/proxies.md` with the results.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Held while a test reads and writes the page.
static PAGE: Mutex<()> = Mutex::new(());

/// A table of results by row and column.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<&'static str>,
    columns: Vec<&'static str>,
    cells: BTreeMap<(String, String), String>,
}

impl Table {
    pub(super) fn new(
        rows: impl IntoIterator<Item = &'static str>,
        columns: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        Self { rows: rows.into_iter().collect(), columns: columns.into_iter().collect(), cells: BTreeMap::new() }
    }

    pub(super) fn set(&mut self, row: &'static str, column: &'static str, cell: String) {
        assert!(self.rows.contains(&row) && self.columns.contains(&column), "{row}, {column}");
        self.cells.insert((row.to_owned(), column.to_owned()), cell);
    }

    /// Compares the table with the one in the page between the comments of this name.
    ///
    /// Columns without a cell belong to programs that are not installed, and are omitted. With
    /// `KEYWARD_BLESS` the page is updated.
    pub(super) fn compare(&self, name: &str) -> Result<(), String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/proxies.md");
        let _lock = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
        let page = fs::read_to_string(&path).unwrap();
        let (begin, end) = (format!("<!-- {name}: written by the tests -->\n"), format!("<!-- end of {name} -->"));
        let from = page.find(&begin).unwrap() + begin.len();
        let to = page.find(&end).unwrap();
        if std::env::var_os("KEYWARD_BLESS").is_some() {
            let seen = |column: &&&str| self.cells.keys().any(|(_, of)| of == **column);
            assert_eq!(self.columns.iter().filter(seen).count(), self.columns.len(), "programs are missing");
            fs::write(path, format!("{}{}{}", &page[..from], self.markdown(), &page[to..])).unwrap();
            return Ok(());
        }
        let there = parse(&page[from..to]);
        let mut wrong = String::new();
        for (place, cell) in &self.cells {
            let in_page = there.get(place).map_or("nothing", String::as_str);
            if in_page != cell {
                let (row, column) = place;
                let _ = writeln!(wrong, "{column}, {row}: {cell}, but {in_page} in the page");
            }
        }
        let is_known = |row: &str, column: &str| self.rows.contains(&row) && self.columns.contains(&column);
        for (row, column) in there.keys().filter(|(row, column)| !is_known(row, column)) {
            let _ = writeln!(wrong, "{column}, {row}: in the page only");
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(format!("docs/proxies.md is not what was seen; KEYWARD_BLESS=1 writes it:\n{wrong}"))
    }

    fn markdown(&self) -> String {
        let mut text = format!("| | {} |\n|{}\n", self.columns.join(" | "), " --- |".repeat(self.columns.len() + 1));
        for row in &self.rows {
            let _ = write!(text, "| {row} |");
            for column in &self.columns {
                let cell = self.cells.get(&((*row).to_owned(), (*column).to_owned()));
                let _ = write!(text, " {} |", cell.map_or("", String::as_str));
            }
            text.push('\n');
        }
        text
    }
}

/// Parses the cells of a Markdown table, by row and column.
fn parse(table: &str) -> BTreeMap<(String, String), String> {
    let mut lines = table.lines().map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let columns = lines.next().unwrap_or_default();
    let rows = lines.skip(1);
    let cells = rows.flat_map(|row| {
        let (name, cells) = row.split_first().unwrap();
        let cells = cells.iter().zip(&columns[1..]);
        cells.map(|(cell, column)| (((*name).to_owned(), (*column).to_owned()), (*cell).to_owned())).collect::<Vec<_>>()
    });
    cells.collect()
}
