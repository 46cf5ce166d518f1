//! Key sets in JSON.

use keyward_runtime::key_sets::KeySetStatus;
use serde::{Deserialize, Serialize};

/// A key set in the output of a program. The members are in the order of the JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeySetReport {
    /// The name of the set.
    pub set: String,
    /// `false` if the set verifies nothing, because it is too old or was never fetched.
    pub usable: bool,
    /// Its keys.
    pub keys: Vec<PublicKeyReport>,
    /// Time since the keys were fetched; `None` if they never were, or come from files.
    pub age_seconds: Option<u64>,
    /// Time until the next refresh; `None` for keys from files.
    pub next_refresh_seconds: Option<u64>,
    /// The error of the last refresh; `None` if that succeeded.
    pub error: Option<String>,
}

/// A public key in the output of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PublicKeyReport {
    /// Its id.
    pub id: String,
    /// The name of its algorithm in JWS.
    pub algorithm: String,
}

impl From<KeySetStatus> for KeySetReport {
    fn from(status: KeySetStatus) -> Self {
        let KeySetStatus { name: set, keys, is_usable: usable, remote, .. } = status;
        let keys =
            keys.into_iter().map(|(id, algorithm)| PublicKeyReport { id, algorithm: algorithm.as_str().to_owned() });
        let seconds = |time: std::time::Duration| time.as_secs();
        let (age_seconds, next_refresh_seconds, error) = match remote {
            None => (None, None, None),
            Some(remote) => (remote.age.map(seconds), Some(seconds(remote.next_refresh)), remote.error),
        };
        Self { set, usable, keys: keys.collect(), age_seconds, next_refresh_seconds, error }
    }
}
