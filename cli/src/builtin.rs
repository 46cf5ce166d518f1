//! The handlers that are part of the command.

/// The component of `builtin:signed`: Datasette's signed tokens.
pub const SIGNED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/signed.wasm"));

/// The component of `builtin:hardcoded`: tokens that stand in the configuration.
pub const HARDCODED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hardcoded.wasm"));

/// The component of `builtin:stored`: Keyward's own tokens, of which the host keeps records.
pub const STORED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stored.wasm"));

/// The component of `builtin:opaque`: hypothesis' developer tokens.
pub const OPAQUE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/opaque.wasm"));

/// The component of `builtin:dsatok`: the managed tokens of datasette-auth-tokens.
pub const DSATOK: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dsatok.wasm"));

/// The component of `builtin:query`: tokens from a table of the operator's.
pub const QUERY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/query.wasm"));

/// A handler that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Builtin {
    pub(crate) name: &'static str,
    pub(crate) component: &'static [u8],
    /// Whether its tokens end with a checksum.
    pub(crate) checksum: bool,
}

/// What stands before the name of one, where a path could stand as well.
const SCHEME: &str = "builtin:";

const ALL: [Builtin; 6] = [
    Builtin { name: "signed", component: SIGNED, checksum: false },
    Builtin { name: "hardcoded", component: HARDCODED, checksum: false },
    Builtin { name: "stored", component: STORED, checksum: true },
    Builtin { name: "opaque", component: OPAQUE, checksum: false },
    Builtin { name: "dsatok", component: DSATOK, checksum: false },
    Builtin { name: "query", component: QUERY, checksum: false },
];

/// Returns whether these bytes are the component of a built-in handler, wherever they were read from.
pub(crate) fn is_builtin(component: &[u8]) -> bool {
    ALL.iter().any(|builtin| builtin.component == component)
}

impl Builtin {
    /// Reads `builtin:NAME`: `None` is a path, an error is a name that does not exist, as a sentence.
    pub(crate) fn parse(text: &str) -> Option<Result<Self, String>> {
        let name = text.strip_prefix(SCHEME)?;
        Some(ALL.into_iter().find(|builtin| builtin.name == name).ok_or_else(|| {
            let known: Vec<_> = ALL.iter().map(|builtin| format!("`{SCHEME}{}`", builtin.name)).collect();
            format!("no handler `{text}` is built in; there are {}", known.join(", "))
        }))
    }
}
