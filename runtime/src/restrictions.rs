//! Evaluation of a token's [`Restrictions`]: Datasette's rules for `_r`, as of 1.0a41.

use crate::verdict::Restrictions;
use std::collections::{HashMap, HashSet};

/// Actions that are allowed only together with another one, as Datasette's core defines them.
const ALSO_REQUIRES: &[(&str, &str)] = &[
    ("view-database-download", "view-database"),
    ("execute-sql", "view-database"),
    ("execute-write-sql", "view-database"),
    ("store-query", "execute-sql"),
];

/// Actions on tables in Datasette's core. Their resources are compared as SQLite compares table
/// names: ASCII letters without regard to case. All other names are case-sensitive.
const ON_TABLES: &[&str] = &[
    "view-table",
    "insert-row",
    "delete-row",
    "update-row",
    "alter-table",
    "set-column-type",
    "drop-table",
    "drop-view",
];

/// Actions on stored queries in Datasette's core. Datasette intersects restrictions with its own
/// list of the queries that are not private, entry by entry, and that list has no entry for a whole
/// database: a restriction to a database allows none of these actions.
const ON_QUERIES: &[&str] = &["view-query", "update-query", "delete-query"];

/// An action, and the database or resource that it applies to.
///
/// ```
/// # use keyward_runtime::Permission;
/// let needed = Permission::new("insert-row").on_resource("shop", "orders");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    action: String,
    database: Option<String>,
    resource: Option<String>,
}

impl Permission {
    /// Creates a [`Permission`] for an action on the whole instance. `action` is the full name,
    /// such as `view-instance`.
    pub fn new(action: impl Into<String>) -> Self {
        Self { action: action.into(), database: None, resource: None }
    }

    /// Applies the action to a database.
    pub fn on_database(self, database: impl Into<String>) -> Self {
        Self { database: Some(database.into()), resource: None, ..self }
    }

    /// Applies the action to one resource of a database, such as a table.
    pub fn on_resource(self, database: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { database: Some(database.into()), resource: Some(resource.into()), ..self }
    }

    /// Returns the action's full name.
    pub fn action(&self) -> &str {
        &self.action
    }

    /// Returns the database, or `None` for the whole instance.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// Returns the resource, or `None` for a database or the whole instance.
    pub fn resource(&self) -> Option<&str> {
        self.resource.as_deref()
    }

    /// Returns whether `restrictions` allow this permission. `short` maps full action names to the
    /// names that tokens carry instead.
    ///
    /// An entry for everything covers all, an entry for a database covers it and all in it except
    /// queries, and an entry for a resource covers only that resource; nothing is implied upwards.
    /// An action that requires another one needs both.
    pub(crate) fn is_allowed_by(&self, restrictions: &Restrictions, short: &HashMap<String, String>) -> bool {
        let mut action = self.action.as_str();
        loop {
            if !self.is_listed(action, restrictions, short) {
                return false;
            }
            match ALSO_REQUIRES.iter().find(|(name, _)| *name == action) {
                Some((_, required)) => action = required,
                None => return true,
            }
        }
    }

    /// Returns whether `wide` allows everything that `narrow` allows; `None` allows everything.
    pub(crate) fn is_covered(
        narrow: Option<&Restrictions>,
        wide: Option<&Restrictions>,
        short: &HashMap<String, String>,
    ) -> bool {
        let Some(wide) = wide else { return true };
        let Some(narrow) = narrow else { return false };
        let listed: HashSet<_> = wide.iter().collect();
        narrow.iter().all(|entry @ (action, database, resource)| {
            if listed.contains(&entry) {
                return true;
            }
            // Tokens carry short names, and the full name covers both.
            let full = short.iter().find(|(_, known)| *known == action).map_or(action, |(name, _)| name.as_str());
            let permission =
                Self { action: full.into(), database: database.map(Into::into), resource: resource.map(Into::into) };
            permission.is_listed(full, wide, short)
        })
    }

    fn is_listed(&self, action: &str, restrictions: &Restrictions, short: &HashMap<String, String>) -> bool {
        let short = short.get(action).map(String::as_str);
        let lists = |actions: &Vec<String>| actions.iter().any(|name| name == action || Some(name.as_str()) == short);
        if lists(&restrictions.all) {
            return true;
        }
        let Some(database) = &self.database else { return false };
        if !ON_QUERIES.contains(&action) && restrictions.database.get(database).is_some_and(lists) {
            return true;
        }
        let (Some(resource), Some(resources)) = (&self.resource, restrictions.resource.get(database)) else {
            return false;
        };
        let on_table = ON_TABLES.contains(&action);
        resources.iter().any(|(name, actions)| {
            (name == resource || on_table && name.eq_ignore_ascii_case(resource)) && lists(actions)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short() -> HashMap<String, String> {
        let known = [("view-instance", "vi"), ("view-table", "vt"), ("view-database", "vd"), ("execute-sql", "es")];
        known.into_iter().map(|(name, short)| (name.to_owned(), short.to_owned())).collect()
    }

    #[track_caller]
    fn check(restrictions: Restrictions, permission: Permission, allowed: bool) {
        assert_eq!(permission.is_allowed_by(&restrictions, &short()), allowed, "{permission:?} by {restrictions:?}");
    }

    fn none() -> Restrictions {
        Restrictions::new()
    }

    fn instance() -> Permission {
        Permission::new("view-instance")
    }

    fn table(name: &str) -> Permission {
        Permission::new("view-table").on_resource("one", name)
    }

    #[test]
    fn an_empty_list_allows_nothing() {
        check(none(), instance(), false);
        check(none(), table("t1"), false);
    }

    #[test]
    fn an_action_is_allowed_by_either_name_in_the_same_case() {
        check(none().allow_all("vi"), instance(), true);
        check(none().allow_all("view-instance"), instance(), true);
        check(none().allow_all("VI"), instance(), false);
        check(none().allow_all("vt"), Permission::new("view-table").on_resource("no-such", "no-such"), true);
        check(none().allow_all("vt"), instance(), false);
    }

    #[test]
    fn a_database_covers_what_is_in_it_and_nothing_above() {
        let restrictions = || none().allow_database("one", "vt").allow_database("one", "vi");
        check(restrictions(), table("t1"), true);
        check(restrictions(), Permission::new("view-table").on_database("one"), true);
        check(restrictions(), Permission::new("view-table").on_resource("ONE", "t1"), false);
        check(restrictions(), Permission::new("view-table").on_resource("two", "t1"), false);
        check(restrictions(), instance(), false);
    }

    #[test]
    fn a_resource_covers_itself_and_table_names_fold_case() {
        let restrictions = || none().allow_resource("one", "T1", "vt").allow_resource("one", "Q", "view-query");
        check(restrictions(), table("T1"), true);
        check(restrictions(), table("t1"), true);
        check(restrictions(), table("t2"), false);
        check(restrictions(), Permission::new("view-table").on_database("one"), false);
        check(restrictions(), Permission::new("view-query").on_resource("one", "Q"), true);
        check(restrictions(), Permission::new("view-query").on_resource("one", "q"), false);
        check(none().allow_resource("one", "É", "vt"), table("é"), false);
    }

    #[test]
    fn an_action_needs_the_action_that_it_requires() {
        let execute = || Permission::new("execute-sql").on_database("one");
        check(none().allow_database("one", "es"), execute(), false);
        check(none().allow_database("one", "es").allow_database("one", "vd"), execute(), true);
        check(none().allow_database("one", "es").allow_all("vd"), execute(), true);
        check(none().allow_database("one", "es").allow_database("two", "vd"), execute(), false);
        let store = || Permission::new("store-query").on_database("one");
        let two = || none().allow_all("store-query").allow_all("es");
        check(two(), store(), false);
        check(two().allow_all("vd"), store(), true);
    }
}
