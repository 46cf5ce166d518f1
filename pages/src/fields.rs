//! The fields of a new token, as a person fills them in: also in the query of a link.

use crate::person::Person;
use crate::request::{Call, Values};
use crate::words::{self, span};
use keyward_runtime::Restrictions;
use keyward_runtime::text::needs_escape;
use std::num::NonZeroU32;

/// Lifetimes to choose from, in seconds.
const LIFETIMES: [u32; 6] = [3_600, 86_400, 604_800, 2_592_000, 7_776_000, 31_536_000];

/// The lifetime that is chosen at first, if the operator has no default.
const USUAL: u32 = 2_592_000;

/// Maximum number of databases and resources in a form.
const PLACES: usize = 20;

/// Maximum number of characters of a description.
const DESCRIPTION: usize = 200;

/// A handler that may issue tokens for a person.
pub(crate) struct Issuer {
    pub(crate) name: String,
    pub(crate) default_ttl: Option<u32>,
    /// Maximum lifetime in seconds; `None` for no limit.
    pub(crate) max_ttl: Option<u64>,
}

impl Issuer {
    /// Returns whether a token may have no expiry.
    fn may_not_expire(&self) -> bool {
        self.default_ttl.is_none() && self.max_ttl.is_none()
    }
}

/// Returns whether the operator lets people create and renew tokens of a handler.
pub(crate) fn is_offered(call: &Call<'_>, handler: &str) -> bool {
    call.pages.config.handlers.as_ref().is_none_or(|names| names.iter().any(|name| name == handler))
}

/// Returns the handlers that may issue a token for a person.
pub(crate) fn issuers(call: &Call<'_>, person: &Person) -> Vec<Issuer> {
    let registry = call.host.registry;
    let handlers = registry.handlers().filter(|handler| handler.component.handles_tokens());
    let handlers = handlers.filter(|handler| is_offered(call, handler.name));
    let usable = handlers.filter(|handler| registry.may_vouch_for(handler.name, &person.id));
    let issuer = usable.map(|handler| Issuer {
        name: handler.name.to_owned(),
        default_ttl: handler.default_ttl.map(Into::into),
        max_ttl: handler.max_ttl,
    });
    issuer.collect()
}

/// The fields, with any content.
pub(crate) struct Draft {
    pub(crate) handler: String,
    pub(crate) description: String,
    /// A number of seconds, `never`, or `days`.
    pub(crate) lifetime: String,
    pub(crate) days: String,
    /// `true` if the token is restricted.
    pub(crate) is_restricted: bool,
    pub(crate) rights: Rights,
}

/// The chosen rights, with any content.
pub(crate) struct Rights {
    /// The actions on everything.
    pub(crate) all: Vec<String>,
    pub(crate) places: Vec<Place>,
}

/// A database or a resource with its actions.
#[derive(Default)]
pub(crate) struct Place {
    pub(crate) database: String,
    pub(crate) resource: String,
    pub(crate) actions: Vec<String>,
}

impl Place {
    fn is_empty(&self) -> bool {
        self.database.is_empty() && self.resource.is_empty() && self.actions.is_empty()
    }
}

/// The checked fields.
pub(crate) struct Wanted {
    pub(crate) handler: String,
    pub(crate) description: String,
    /// `None` for a token that does not expire.
    pub(crate) lifetime: Option<NonZeroU32>,
    pub(crate) restrictions: Option<Restrictions>,
}

/// A field that must be changed.
pub(crate) struct FieldError {
    /// The `id` of the field; empty for the whole form.
    pub(crate) field: String,
    pub(crate) text: String,
}

impl FieldError {
    pub(crate) fn new(field: &str, text: impl Into<String>) -> Self {
        Self { field: field.to_owned(), text: text.into() }
    }

    /// Creates an error of the whole form.
    pub(crate) fn of_form(text: impl Into<String>) -> Self {
        Self::new("", text)
    }

    /// Returns the texts of the errors of a field.
    pub(crate) fn of<'a>(errors: &'a [Self], field: &str) -> Vec<&'a str> {
        errors.iter().filter(|error| error.field == field).map(|error| error.text.as_str()).collect()
    }
}

impl Draft {
    /// Reads the fields of a form or a query. Missing fields get their defaults.
    pub(crate) fn read(values: &Values, issuers: &[Issuer]) -> Self {
        let text = |name: &str| values.one(name).trim().to_owned();
        let first = issuers.first();
        let handler = if values.has("handler") {
            text("handler")
        } else {
            first.map(|issuer| issuer.name.clone()).unwrap_or_default()
        };
        let usual = || {
            let longest = first.and_then(|issuer| issuer.max_ttl).unwrap_or(u64::MAX);
            let default = first.and_then(|issuer| issuer.default_ttl).unwrap_or(USUAL);
            u64::from(default).min(longest).to_string()
        };
        let rights = Rights::read(values);
        let is_restricted = match values.one("rights") {
            "" => !rights.is_empty(),
            chosen => chosen != "all",
        };
        Self {
            handler,
            description: text("description"),
            lifetime: if values.has("lifetime") { text("lifetime") } else { usual() },
            days: text("days"),
            is_restricted,
            rights,
        }
    }

    /// Returns the fields with their names, as [`read`](Self::read) reads them.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        let Self { handler, description, lifetime, days, is_restricted, rights: Rights { all, places } } = self;
        let rights = if *is_restricted { "some" } else { "all" };
        let mut pairs: Vec<(String, String)> = [
            ("handler", handler.as_str()),
            ("description", description),
            ("lifetime", lifetime),
            ("days", days),
            ("rights", rights),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        pairs.extend(all.iter().map(|action| ("all".to_owned(), action.clone())));
        for (number, Place { database, resource, actions }) in places.iter().enumerate() {
            pairs.push((format!("database{number}"), database.clone()));
            pairs.push((format!("resource{number}"), resource.clone()));
            pairs.extend(actions.iter().map(|action| (format!("action{number}"), action.clone())));
        }
        pairs
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// Returns each field that must be changed, in the order of the form.
    pub(crate) fn checked(
        &self,
        call: &Call<'_>,
        person: &Person,
        issuers: &[Issuer],
    ) -> Result<Wanted, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut wrong = |field: &str, text: &str| errors.push(FieldError::new(field, text));
        let issuer = issuers.iter().find(|issuer| issuer.name == self.handler);
        if issuer.is_none() {
            wrong("handler", "Choose a kind of token.");
        }
        if let Err(text) = check_description(&self.description) {
            wrong("description", text);
        }
        let lifetime = match self.seconds() {
            Ok(lifetime) => {
                if lifetime.is_none() && issuer.is_some_and(|issuer| !issuer.may_not_expire()) {
                    wrong("lifetime", "Tokens of this kind expire: choose when.");
                }
                lifetime
            }
            Err((field, text)) => {
                wrong(field, text);
                None
            }
        };
        let restrictions = if self.is_restricted {
            match self.rights.restrictions() {
                Ok(restrictions) => Some(restrictions),
                Err(more) => {
                    more.iter().for_each(|error| wrong(&error.field, &error.text));
                    person.bound.clone()
                }
            }
        } else {
            person.bound.clone()
        };
        if !call.host.registry.is_covered(restrictions.as_ref(), person.bound.as_ref()) {
            wrong("rights", "You are signed in with fewer rights than these: choose only rights that you have.");
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let (handler, description) = (self.handler.clone(), self.description.clone());
        Ok(Wanted { handler, description, lifetime, restrictions })
    }

    /// Returns the lifetime in seconds.
    ///
    /// # Errors
    /// Returns the field that must be changed, and how.
    fn seconds(&self) -> Result<Option<NonZeroU32>, (&'static str, &'static str)> {
        match self.lifetime.as_str() {
            "never" => Ok(None),
            "days" => {
                let days: Option<u32> = digits(&self.days);
                let seconds = days.and_then(|days| days.checked_mul(86_400)).and_then(NonZeroU32::new);
                seconds.map(Some).ok_or(("days", "Enter a whole number of days, from 1 to 49710."))
            }
            seconds => {
                let seconds = digits(seconds).and_then(NonZeroU32::new);
                seconds.map(Some).ok_or(("lifetime", "Choose when the token expires."))
            }
        }
    }
}

impl Rights {
    /// Reads the rights in a form or a query.
    pub(crate) fn read(values: &Values) -> Self {
        let text = |name: String| values.one(&name).trim().to_owned();
        let actions = |name: &str| values.all(name).flat_map(str::split_whitespace).map(str::to_owned).collect();
        let read = |place: usize| Place {
            database: text(format!("database{place}")),
            resource: text(format!("resource{place}")),
            actions: actions(&format!("action{place}")),
        };
        let mut places: Vec<_> = (0..PLACES).map(read).collect();
        while places.last().is_some_and(Place::is_empty) {
            places.pop();
        }
        Self { all: actions("all"), places }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.places.is_empty()
    }

    /// Adds an empty place, up to the maximum number.
    pub(crate) fn add_place(&mut self) {
        if self.places.len() < PLACES {
            self.places.push(Place::default());
        }
    }

    /// Returns the restrictions.
    ///
    /// # Errors
    /// Returns each field that must be changed.
    pub(crate) fn restrictions(&self) -> Result<Restrictions, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut wrong = |field: &str, text: String| errors.push(FieldError::new(field, text));
        let mut restrictions = self.all.iter().fold(Restrictions::new(), Restrictions::allow_all);
        for (number, place) in self.places.iter().enumerate().filter(|(_, place)| !place.is_empty()) {
            let Place { database, resource, actions } = place;
            let (field, shown) = (format!("database{number}"), number.saturating_add(1));
            if database.is_empty() {
                wrong(&field, format!("Name database {shown}."));
            }
            if actions.is_empty() {
                wrong(&field, format!("Choose at least one action for database {shown}."));
            }
            let resource = Some(resource.as_str()).filter(|resource| !resource.is_empty());
            for action in actions {
                restrictions = allow(restrictions, (action, Some(database), resource));
            }
        }
        if restrictions.iter().next().is_none() {
            wrong("rights", "Choose at least one action.".to_owned());
        }
        if errors.is_empty() { Ok(restrictions) } else { Err(errors) }
    }
}

/// Adds an entry to restrictions, as [`Restrictions::iter`] returns it.
pub(crate) fn allow(to: Restrictions, (action, database, resource): Entry<'_>) -> Restrictions {
    match (database, resource) {
        (None, _) => to.allow_all(action),
        (Some(database), None) => to.allow_database(database, action),
        (Some(database), Some(resource)) => to.allow_resource(database, resource, action),
    }
}

/// An action, and the database and resource that it is allowed on.
pub(crate) type Entry<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// Checks the description of a token.
///
/// # Errors
/// Returns what to change.
pub(crate) fn check_description(text: &str) -> Result<(), &'static str> {
    match text.chars().count() {
        0 => Err("Enter a description, so that you can recognize the token later."),
        length if length > DESCRIPTION => Err("Use at most 200 characters for the description."),
        _ if text.chars().any(needs_escape) => Err("Use only visible characters in the description."),
        _ => Ok(()),
    }
}

/// Parses a number that consists of digits.
pub(crate) fn digits(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A choice in a form.
pub(crate) struct Choice {
    pub(crate) value: String,
    pub(crate) label: String,
    pub(crate) is_chosen: bool,
}

impl Choice {
    pub(crate) fn new(value: impl Into<String>, label: impl Into<String>, is_chosen: bool) -> Self {
        Self { value: value.into(), label: label.into(), is_chosen }
    }
}

/// Returns the lifetimes that the issuers allow, and the chosen one.
pub(crate) fn lifetimes(issuers: &[Issuer], chosen: &str) -> Vec<Choice> {
    // Which kind of token it will be is not known yet: the longest maximum counts.
    let longest = issuers.iter().map(|issuer| issuer.max_ttl.unwrap_or(u64::MAX)).max().unwrap_or(u64::MAX);
    let mut seconds: Vec<_> = LIFETIMES.into_iter().filter(|seconds| u64::from(*seconds) <= longest).collect();
    seconds.extend(u32::try_from(longest).ok());
    seconds.extend(digits(chosen));
    seconds.sort_unstable();
    seconds.dedup();
    let choice = |value: &str, label: &str| Choice::new(value, label, value == chosen);
    let mut choices: Vec<_> =
        seconds.into_iter().map(|seconds| choice(&seconds.to_string(), &span(seconds.into()))).collect();
    choices.push(choice("days", "another number of days"));
    if issuers.iter().any(Issuer::may_not_expire) {
        choices.push(choice("never", "never (only if you cannot renew the token)"));
    }
    choices
}

/// The actions of a place in a form.
pub(crate) struct Actions {
    /// The name of the fields.
    pub(crate) field: String,
    pub(crate) known: Vec<Choice>,
    /// The chosen actions that are not known; `None` if there can be none.
    pub(crate) others: Option<String>,
}

impl Actions {
    pub(crate) fn new(call: &Call<'_>, field: String, chosen: &[String]) -> Self {
        let (actions, are_others_allowed) = call.host.registry.actions();
        let is_chosen = |names: [&str; 2]| chosen.iter().any(|action| names.contains(&action.as_str()));
        let known = actions.iter().map(|(name, short)| Choice::new(*name, words::name(name), is_chosen([name, short])));
        let known: Vec<_> = known.collect();
        let is_known = |action: &str| actions.iter().any(|(name, short)| [*name, *short].contains(&action));
        let others: Vec<_> = chosen.iter().filter(|action| !is_known(action)).cloned().collect();
        let others = (are_others_allowed || !others.is_empty()).then(|| others.join(" "));
        Self { field, known, others }
    }
}
