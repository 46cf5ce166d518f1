//! Whether a token's restrictions allow an action: Datasette's rules for `_r`, as of 1.0a41.

use crate::verdict::Restrictions;
use std::collections::{HashMap, HashSet};

/// Actions that count only together with another one, as Datasette's core defines them.
const ALSO_REQUIRES: &[(&str, &str)] = &[
    ("view-database-download", "view-database"),
    ("execute-sql", "view-database"),
    ("execute-write-sql", "view-database"),
    ("store-query", "execute-sql"),
];

/// The actions on tables of Datasette's core. Their resources are compared as SQLite compares table
/// names: without regard to the case of ASCII letters. All other names are case-sensitive.
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

/// The actions on stored queries of Datasette's core. It intersects restrictions with its own list
/// of the queries that are not private, entry by entry, and a whole database is no entry of that
/// list: to these actions it opens nothing.
const ON_QUERIES: &[&str] = &["view-query", "update-query", "delete-query"];

/// An action, and what it is done to.
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
    /// An action on the whole instance. The name is the full one, such as `view-instance`.
    pub fn new(action: impl Into<String>) -> Self {
        Self { action: action.into(), database: None, resource: None }
    }

    /// The action on a database.
    pub fn on_database(self, database: impl Into<String>) -> Self {
        Self { database: Some(database.into()), resource: None, ..self }
    }

    /// The action on one resource of a database, such as a table.
    pub fn on_resource(self, database: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { database: Some(database.into()), resource: Some(resource.into()), ..self }
    }

    /// The action's full name.
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The database, if it is about one.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// The resource, if it is about one.
    pub fn resource(&self) -> Option<&str> {
        self.resource.as_deref()
    }

    /// Whether the restrictions let it through. `short` gives the names that tokens carry instead
    /// of full ones.
    ///
    /// An entry for everything covers all, one for a database covers that and what is in it but
    /// queries, one for a resource covers only that; nothing is implied upwards. An action that
    /// requires another one needs both.
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

    /// Whether all that the one allows is allowed by the other; without restrictions everything is
    /// allowed.
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
            // Tokens carry short names, and the full one stands for both.
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
    fn everything_by_either_name_and_in_the_right_case() {
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
    fn what_an_action_requires_must_be_allowed_too() {
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
