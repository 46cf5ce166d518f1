//! Routing: random prefixes and tokens, against the rule that the longest prefix owns a token.

use crate::boundary::RUNTIME;
use crate::compile::is_one_line;
use keyward_runtime::{Actors, HandlerConfig, Registry, Verdict};
use keyward_tests::hostile::case;
use std::sync::LazyLock;

/// A guest that accepts every token.
static ACCEPTING: LazyLock<Vec<u8>> = LazyLock::new(|| case("benign").bytes);

/// Builds a registry of handlers that accept every token, and verifies tokens.
///
/// The text has one handler per line, which is its prefixes with spaces between, an empty line, and
/// one token per line. Either the prefixes are refused with a one-line error, or each token is
/// accepted by the handler of its longest prefix, or by the one without prefixes, and by no other.
pub fn routing(data: &[u8]) {
    let _ = accepted(data);
}

/// Returns the number of accepted tokens; `None` if the prefixes are refused.
fn accepted(data: &[u8]) -> Option<usize> {
    let text = str::from_utf8(data).ok()?;
    let (handlers, tokens) = text.split_once("\n\n").unwrap_or((text, ""));
    let handlers: Vec<Vec<&str>> = handlers.split('\n').take(4).map(|line| line.split(' ').collect()).collect();
    let handlers = handlers.iter().map(|prefixes| match prefixes.as_slice() {
        [""] => &[],
        prefixes => prefixes,
    });
    let builder = handlers.clone().enumerate().fold(Registry::builder(&RUNTIME), |builder, (number, prefixes)| {
        let mut config = HandlerConfig::new(format!("h{number}"), ACCEPTING.clone(), Actors::Any);
        config.prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        builder.handler(config)
    });
    let registry = match builder.build() {
        Ok(registry) => registry,
        Err(error) => {
            is_one_line(&error);
            return None;
        }
    };
    let mut accepted = 0;
    for token in tokens.split('\n') {
        let longest = |prefixes: &[&str]| {
            let claims = |prefix: &&&str| token.starts_with(**prefix);
            prefixes.iter().filter(claims).map(|prefix| prefix.len() + 1).max()
        };
        let claims = handlers.clone().map(|prefixes| match prefixes {
            [] => 1,
            prefixes => longest(prefixes).unwrap_or(0),
        });
        let owner = claims.enumerate().filter(|(_, length)| *length > 0).max_by_key(|(_, length)| *length);
        match (registry.verify_blocking(token), owner) {
            (Ok(Verdict::Accepted(acceptance)), Some((number, _))) => {
                assert_eq!(*acceptance.handler, format!("h{number}"), "{token:?}");
                accepted += 1;
            }
            (Ok(Verdict::NotMine), None) => {}
            // No token is only its prefix.
            (Ok(Verdict::Rejected(_)), Some((number, _))) => {
                assert!(handlers.clone().nth(number).unwrap().contains(&token), "{token:?}");
            }
            (other, owner) => panic!("{token:?} of {owner:?}: {other:?}"),
        }
    }
    Some(accepted)
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        "a_\n\na_token\nb_token\na_\n",
        "a_ ab_\nabc_\n\nab_token\nabc_token\na_token\nabd_token",
        "\na_\n\na_token\ntoken",
        "a\na_\nab_\na_b\n\na_b\na_bc\nab_c\nac\nA_b",
        "dstok_\ndstok_.\n\ndstok_.x\ndstok_x\n dstok_x",
        "a_\na_\n\na_token",
        "\n\n\ntoken",
        "é\n\nétoken",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_reach_the_handlers() {
        let accepted: Vec<_> = seeds().iter().map(|seed| accepted(seed)).collect();
        assert_eq!(accepted, [Some(1), Some(3), Some(2), Some(3), Some(2), None, Some(2), None]);
    }
}
