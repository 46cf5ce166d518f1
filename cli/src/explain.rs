//! `keyward explain`: the pages of `docs/errors`, which are part of the program.

use crate::args::kit::Explain;
use crate::output::{pad, width};
use crate::{CliError, ExitStatus, Io};
use keyward_runtime::text::suggest_name;

// `PAGES`: each code with its page, in the order of the codes.
include!(concat!(env!("OUT_DIR"), "/pages.rs"));

pub(crate) fn run(args: &Explain, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let text = match &args.code {
        None => overview(),
        Some(code) => {
            let code = code.trim_matches(['[', ']', '`']);
            let known = PAGES.iter().find(|(known, _)| *known == code);
            known.map(|(_, page)| (*page).to_owned()).ok_or_else(|| {
                // The argument is not repeated: it may be a token.
                let hint = suggest_name(code, PAGES.iter().map(|(code, _)| *code));
                CliError::Usage(format!("there is no such code; `keyward explain` lists them{hint}"))
            })?
        }
    };
    io.stdout.write_all(text.as_bytes()).map_err(CliError::stdout)?;
    Ok(ExitStatus::Success)
}

/// Returns a line for each code.
fn overview() -> String {
    let widest = PAGES.iter().map(|(code, _)| width(code)).max().unwrap_or(0);
    let line = |(code, page): &(&str, &str)| format!("{}  {}\n", pad(code, widest), summary(page));
    PAGES.iter().map(line).collect()
}

/// Returns the first sentence of a page, on one line.
fn summary(page: &str) -> String {
    let first = page.split("\n\n").nth(1).unwrap_or_default().replace('\n', " ");
    match first.split_once(". ") {
        Some((sentence, _)) => format!("{sentence}."),
        None => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_page_has_its_code_as_title_and_its_parts() {
        for (code, page) in PAGES {
            assert!(page.starts_with(&format!("# `{code}`\n\n")), "{code}");
            for part in ["## Example", "## Cause", "## Cure"] {
                assert_eq!(page.matches(&format!("\n{part}\n\n")).count(), 1, "{code}: {part}");
            }
            assert!(summary(page).ends_with('.') && width(&summary(page)) <= 120, "{code}: {}", summary(page));
        }
    }

    #[test]
    fn the_list_in_the_documentation_has_each_page() {
        let lines = include_str!("../errors/README.md").lines();
        let listed: BTreeSet<_> = lines.filter_map(|line| line.strip_prefix("* ")).map(str::to_owned).collect();
        let line = |(code, page): &(&str, &str)| format!("[`{code}`]({code}.md): {}", summary(page));
        let pages: BTreeSet<_> = PAGES.iter().map(line).collect();
        assert_eq!(listed.symmetric_difference(&pages).collect::<Vec<_>>(), Vec::<&String>::new());
    }
}
