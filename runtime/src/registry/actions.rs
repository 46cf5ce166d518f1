//! The names of actions: unique among the configured ones, known in requests, and abbreviated in
//! tokens.

use super::{Handlers, Registry};
use crate::error::{LoadError, LoadErrorKind};
use crate::sanitize::{MAX_NAME, escape_untrusted, suggest_name};
use crate::verdict::Restrictions;
use std::collections::{HashMap, HashSet};

impl Registry {
    /// Replaces action names by those that tokens carry.
    pub(super) fn abbreviate(&self, restrictions: Restrictions) -> Restrictions {
        restrictions.map_actions(|action| self.0.actions.get(action).cloned())
    }

    /// Checks that requested restrictions name known actions, by either name. Those that `wide`
    /// lists are accepted, too, so that a token can be narrowed whose actions are no longer known.
    ///
    /// # Errors
    /// Returns a message for the client about the first unknown action.
    pub(super) fn check_known_actions(
        &self,
        restrictions: &Restrictions,
        wide: Option<&Restrictions>,
    ) -> Result<(), String> {
        let Handlers { actions, actions_open, .. } = &*self.0;
        if *actions_open || actions.is_empty() {
            return Ok(());
        }
        let names = actions.iter().flat_map(|(name, short)| [name.as_str(), short.as_str()]);
        let listed = wide.into_iter().flat_map(Restrictions::iter).map(|(action, ..)| action);
        let known: HashSet<&str> = names.chain(listed).collect();
        let Some((unknown, ..)) = restrictions.iter().find(|(action, ..)| !known.contains(action)) else {
            return Ok(());
        };
        let hint = suggest_name(unknown, actions.keys().map(String::as_str));
        let unknown = escape_untrusted(unknown, MAX_NAME);
        Err(format!("the action `{unknown}` is not in `[actions]`: correct it, or add it there{hint}"))
    }
}

/// Checks that each name in a token is of one action only: otherwise a token for one action would
/// be valid for another.
pub(super) fn check_actions(actions: &HashMap<String, String>) -> Result<(), LoadError> {
    let wrong = |name: &str, text: &str| {
        let name = escape_untrusted(name, MAX_NAME);
        Err(LoadError::new(
            LoadErrorKind::BadAction,
            format!("the action `{name}`: {text}: give it a unique short name"),
        ))
    };
    let mut seen = HashSet::new();
    for (name, short) in actions {
        if name.is_empty() || short.is_empty() {
            return wrong(name, "its name or its short name is empty");
        }
        if name != short && actions.contains_key(short) {
            return wrong(name, "its short name is the name of another action");
        }
        if !seen.insert(short) {
            return wrong(name, "its short name is also that of another action");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Runtime;

    #[test]
    fn a_name_in_a_token_is_of_one_action() {
        let runtime = Runtime::new().unwrap();
        let build = |actions: &[(&str, &str)]| {
            let builder = Registry::builder(&runtime);
            let builder = actions.iter().fold(builder, |builder, (name, short)| builder.action(*name, *short));
            builder.build().map(drop).map_err(|error| error.code())
        };
        for fine in [&[("view-instance", "vi"), ("drop-table", "dt")][..], &[("view-instance", "view-instance")]] {
            assert_eq!(build(fine), Ok(()), "{fine:?}");
        }
        for other in [
            &[("view-instance", "vi"), ("drop-table", "vi")][..],
            &[("view-instance", "drop-table"), ("drop-table", "dt")],
            &[("view-instance", "drop-table"), ("drop-table", "view-instance")],
            &[("view-instance", "")],
            &[("", "vi")],
        ] {
            assert_eq!(build(other), Err("bad-action"), "{other:?}");
        }
    }
}
