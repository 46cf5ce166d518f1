//! Query texts: checks that a text is one statement that may read, and extracts its parameters.
//! Quoted text and comments are skipped; the database parses everything else.

/// The SQL dialect, which determines the quoting rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// A query whose parameters are numbered, `$1` and so on, as in both databases.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) sql: String,
    /// The names of the parameters, in the order of their numbers.
    pub(super) parameters: Vec<String>,
}

/// Wraps the query as a subquery of at most `rows` rows, which only a reading statement can be.
pub(super) fn within(sql: &str, rows: u64) -> String {
    // A comment at its end must not comment out the closing parenthesis.
    format!("SELECT * FROM (\n{sql}\n) AS named LIMIT {rows}")
}

impl Text {
    /// Parses a query. The error is a message for the operator.
    pub(super) fn parse(text: &str, dialect: Dialect) -> Result<Self, String> {
        let mut scanner = Scanner { dialect, rest: text };
        let mut read = Self { sql: String::with_capacity(text.len()), parameters: Vec::new() };
        let (mut first, mut ended) = (None, false);
        while let Some(piece) = scanner.next()? {
            let code = match piece {
                Piece::Space(_) => None,
                Piece::Parameter(_) => Some(""),
                Piece::Code(code) | Piece::Word(code) => Some(code),
            };
            if ended && code.is_some() {
                return Err("the query has more than one statement: keep one".to_owned());
            }
            first = first.or(code);
            match piece {
                Piece::Code(";") => ended = true,
                Piece::Parameter(name) => {
                    let number = read.number(name);
                    read.sql.push_str(&format!("${number}"));
                }
                Piece::Space(text) | Piece::Code(text) | Piece::Word(text) => read.sql.push_str(text),
            }
        }
        let first = first.unwrap_or_default();
        match ["select", "with", "values"].iter().any(|word| word.eq_ignore_ascii_case(first)) {
            true => Ok(read),
            false => Err("the query does not begin with SELECT, WITH or VALUES: write a query that reads".to_owned()),
        }
    }

    /// Returns the number of a parameter. Equal names share a number.
    fn number(&mut self, name: &str) -> usize {
        let known = self.parameters.iter().position(|known| known == name);
        let at = known.unwrap_or_else(|| {
            self.parameters.push(name.to_owned());
            self.parameters.len().saturating_sub(1)
        });
        at.saturating_add(1)
    }
}

/// A part of the text.
#[derive(Clone, Copy)]
enum Piece<'a> {
    /// Whitespace, or a comment.
    Space(&'a str),
    /// An unquoted name or keyword, or a number.
    Word(&'a str),
    /// The name of a parameter.
    Parameter(&'a str),
    /// Anything else: quoted text, or a symbol.
    Code(&'a str),
}

struct Scanner<'a> {
    dialect: Dialect,
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn next(&mut self) -> Result<Option<Piece<'a>>, String> {
        let sqlite = self.dialect == Dialect::Sqlite;
        let rest = self.rest;
        let mut characters = rest.chars();
        let Some(first) = characters.next() else { return Ok(None) };
        let then = characters.next();
        let piece = match first {
            _ if first.is_ascii_whitespace() => Piece::Space(self.take(first.len_utf8())),
            '-' if then == Some('-') => Piece::Space(self.take(rest.find('\n').unwrap_or(rest.len()))),
            '/' if then == Some('*') => Piece::Space(self.take(self.comment()?)),
            '\'' | '"' => Piece::Code(self.quoted(1, first, false)?),
            '`' if sqlite => Piece::Code(self.quoted(1, first, false)?),
            '[' if sqlite => Piece::Code(self.quoted(1, ']', false)?),
            'e' | 'E' if !sqlite && then == Some('\'') => Piece::Code(self.quoted(2, '\'', true)?),
            '$' if !sqlite => match self.dollar_quoted()? {
                Some(length) => Piece::Code(self.take(length)),
                None => return Err(other_parameter(first)),
            },
            '$' | '?' | '@' if sqlite => return Err(other_parameter(first)),
            // A cast.
            ':' if then == Some(':') => Piece::Code(self.take(2)),
            ':' => match word(rest.get(1..).unwrap_or_default()) {
                "" => Piece::Code(self.take(1)),
                name if name.starts_with(|first: char| first.is_ascii_digit()) => Piece::Code(self.take(1)),
                name => {
                    self.take(name.len().saturating_add(1));
                    Piece::Parameter(name)
                }
            },
            _ if is_in_word(first) => Piece::Word(self.take(word(rest).len())),
            _ => Piece::Code(self.take(first.len_utf8())),
        };
        Ok(Some(piece))
    }

    /// Consumes `length` bytes.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// Consumes text up to the closing quote, after `opened` bytes that open it. A doubled quote is
    /// part of the text.
    fn quoted(&mut self, opened: usize, quote: char, escapes: bool) -> Result<&'a str, String> {
        let mut characters = self.rest.char_indices().skip(opened).peekable();
        while let Some((at, character)) = characters.next() {
            if character == '\\' && escapes {
                characters.next();
            } else if character == quote && characters.next_if(|(_, next)| *next == quote && quote != ']').is_none() {
                return Ok(self.take(at.saturating_add(quote.len_utf8())));
            }
        }
        Err(format!("a closing {quote} is missing"))
    }

    /// Returns the length of the comment that begins here. PostgreSQL's comments nest.
    fn comment(&self) -> Result<usize, String> {
        let (mut at, mut depth) = (0_usize, 0_u32);
        while let Some(rest) = self.rest.get(at..).filter(|rest| !rest.is_empty()) {
            let step = if rest.starts_with("/*") && (depth == 0 || self.dialect == Dialect::Postgres) {
                depth = depth.saturating_add(1);
                2
            } else if rest.starts_with("*/") {
                depth = depth.saturating_sub(1);
                2
            } else {
                rest.chars().next().map_or(1, char::len_utf8)
            };
            at = at.saturating_add(step);
            if depth == 0 {
                return Ok(at);
            }
        }
        Err("a closing */ is missing".to_owned())
    }

    /// Returns the length of dollar-quoted text such as `$tag$ … $tag$`, if it begins here.
    fn dollar_quoted(&self) -> Result<Option<usize>, String> {
        let after = self.rest.get(1..).unwrap_or_default();
        let Some((tag, text)) = after.split_once('$') else { return Ok(None) };
        let is_tag = tag.chars().all(is_in_word) && !tag.starts_with(|first: char| first.is_ascii_digit());
        if !is_tag {
            return Ok(None);
        }
        let quote = format!("${tag}$");
        match text.find(&quote) {
            Some(length) => Ok(Some(length.saturating_add(quote.len().saturating_mul(2)))),
            None => Err(format!("a closing {quote} is missing")),
        }
    }
}

fn is_in_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || !character.is_ascii()
}

/// Returns the word at the start of the text, which may contain dollar signs.
fn word(text: &str) -> &str {
    let end = text.find(|character| !is_in_word(character) && character != '$').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn other_parameter(sign: char) -> String {
    format!("`{sign}` does not begin a parameter: write `:name`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn both(text: &str) -> [Result<(String, String), String>; 2] {
        [Dialect::Sqlite, Dialect::Postgres]
            .map(|dialect| Text::parse(text, dialect).map(|text| (text.sql, text.parameters.join(" "))))
    }

    #[test]
    fn parameters_are_numbered_except_in_quotes_and_comments() {
        for (text, sql, parameters) in [
            ("select :a", "select $1", "a"),
            ("SELECT :a, :b+:a, :_c1\n", "SELECT $1, $2+$1, $3\n", "a b _c1"),
            ("select ':a', \":a\", ':''a', :b", "select ':a', \":a\", ':''a', $1", "b"),
            ("select 1 -- :a\n, :b", "select 1 -- :a\n, $1", "b"),
            ("select 1 /* :a ' */, :b -- it's", "select 1 /* :a ' */, $1 -- it's", "b"),
            ("select x::text = :a::text", "select x::text = $1::text", "a"),
            (" /**/ -- x\n with q as (select 1) select é$1:a", " /**/ -- x\n with q as (select 1) select é$1$1", "a"),
            ("values(1) ; -- done\n", "values(1)  -- done\n", ""),
        ] {
            let wanted = Ok((sql.to_owned(), parameters.to_owned()));
            assert_eq!(both(text), [wanted.clone(), wanted], "{text}");
        }
    }

    #[test]
    fn each_database_has_its_own_quotes() {
        let parameters =
            |text: &str| both(text).map(|read| read.map(|(_, parameters)| parameters).unwrap_or_else(|_| "-".into()));
        for (text, sqlite, postgres) in [
            ("select `:a`", "", "a"),
            ("select [:a]", "", "a"),
            ("select x[1:2]", "", ""),
            (r"select e'\':a', ':b'", "-", ""),
            (r"select '\', :a", "a", "a"),
            ("select $$ :a ' $$, :b", "-", "b"),
            ("select $t$ $$ :a $t$, :b", "-", "b"),
            ("select /* /* */ :a */ */ 1", "a", ""),
        ] {
            assert_eq!(parameters(text), [sqlite, postgres], "{text}");
        }
    }

    #[test]
    fn invalid_queries_are_refused() {
        for (text, why) in [
            ("", "does not begin"),
            ("-- select 1", "does not begin"),
            ("delete from t", "does not begin"),
            ("'select'", "does not begin"),
            (":select", "does not begin"),
            ("selects", "does not begin"),
            ("; select 1", "more than one"),
            ("select 1; delete from t", "more than one"),
            ("select 1;;", "more than one"),
            ("select 1; 'x'", "more than one"),
            ("select 'x", "a closing ' is missing"),
            ("select \"x", "a closing \" is missing"),
            ("select /* x", "a closing */ is missing"),
            ("select $1", "write `:name`"),
        ] {
            for read in both(text) {
                assert!(read.clone().is_err_and(|error| error.contains(why)), "{text}: {read:?}");
            }
        }
        for text in ["select ?", "select ?1", "select @a", "select $a"] {
            assert!(both(text)[0].is_err(), "{text}");
        }
        assert!(both("select a ? 'b', @ -1")[1].is_ok(), "operators of PostgreSQL");
        assert!(both("select $t$ x")[1].clone().is_err_and(|error| error.contains("$t$")));
    }

    proptest! {
        /// Parsing any text terminates, and changes only semicolons and parameters.
        #[test]
        fn any_text_is_read(text in "(select|with )?([:;$'\"`\\[\\]/*e?@\\\\ \n1aé-]|--|/\\*|\\*/|\\$\\$|:a){0,30}") {
            for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                let Ok(Text { sql, parameters }) = Text::parse(&text, dialect) else { continue };
                let semicolons = |text: &str| text.chars().filter(|character| *character == ';').count();
                let same = sql == text || semicolons(&text) == semicolons(&sql) + 1;
                prop_assert!(same || !parameters.is_empty());
                prop_assert!(parameters.iter().all(|name| !name.is_empty() && !name.contains(':')));
            }
        }
    }
}
