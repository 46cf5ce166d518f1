//! Responses in terms that both sides share, so that they can be compared for equality.

use keyward_runtime::store::Record;
use keyward_tests::http::Response;
use serde_json::Value;
use std::fmt;

/// The response to a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// The token identifies this actor.
    Actor(Value),
    /// The request continues as without a token.
    Nobody,
    /// A refusal or an error: the status, and its message.
    Status(u16, String),
    /// An in-process verdict: the token is invalid.
    Refused(String),
    /// A token was created with this record, and a message was returned with it.
    Made { token: String, record: Kept, told: Option<String> },
    /// A record was revoked.
    Ended { id: u64, at: u64 },
    /// An answer after these requests to the site's API.
    Asked { answer: Box<Answer>, requests: Vec<String> },
}

/// The stored terms of a token.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kept {
    id: String,
    actor: String,
    description: Option<String>,
    /// The lifetime in seconds.
    lifetime: Option<i64>,
    issued_at: u64,
    restrictions: Option<Value>,
}

impl Answer {
    /// Converts a response of the original over HTTP.
    pub(super) fn of_original(response: &Value) -> Self {
        let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
        Self::of(status, &response["json"])
    }

    /// Converts Keyward's response on `/v1/actor`.
    pub(super) fn of_ours(response: &Response) -> Self {
        Self::of(response.status, &response.json())
    }

    fn of(status: u16, body: &Value) -> Self {
        match &body["actor"] {
            _ if status != 200 => Self::Status(status, body["error"].as_str().unwrap_or_default().to_owned()),
            actor => Self::of_actor(actor),
        }
    }

    /// Converts the result of `verify_token`.
    pub(super) fn of_actor(actor: &Value) -> Self {
        if actor.is_null() { Self::Nobody } else { Self::Actor(actor.clone()) }
    }
}

impl Kept {
    /// Converts a row of the plugin's table.
    pub(super) fn of_row(row: &Value) -> Self {
        let permissions: Value = serde_json::from_str(row["permissions"].as_str().unwrap()).unwrap();
        Self {
            id: row["id"].to_string(),
            actor: row["actor_id"].as_str().unwrap().to_owned(),
            description: row["description"].as_str().map(str::to_owned),
            lifetime: row["expires_after_seconds"].as_i64(),
            issued_at: row["created_timestamp"].as_u64().unwrap(),
            restrictions: Some(permissions).filter(|permissions| !permissions.is_null()),
        }
    }

    /// Converts a record of Keyward.
    pub(super) fn of_record(record: &Record) -> Self {
        let seconds = |at: u64| i64::try_from(at).unwrap();
        Self {
            id: record.id.clone(),
            actor: record.actor_id.clone(),
            description: record.description.clone(),
            lifetime: record.expires_at.map(|end| seconds(end.seconds) - seconds(record.issued_at.seconds)),
            issued_at: record.issued_at.seconds,
            restrictions: record.restrictions.as_ref().map(|restrictions| serde_json::to_value(restrictions).unwrap()),
        }
    }
}

/// Formats the response for a table cell. A token is never shown.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actor(Value::String(user)) => write!(f, "`{user}`"),
            Self::Actor(actor) => write!(f, "`{actor}`"),
            Self::Nobody => f.write_str("anonymous"),
            Self::Status(status, text) if text.is_empty() => write!(f, "{status}"),
            Self::Status(status, text) => write!(f, "{status}: {text}"),
            Self::Refused(text) => write!(f, "refused: {text}"),
            Self::Made { token: _, record, told } => {
                write!(f, "{record}")?;
                told.iter().try_for_each(|told| write!(f, "; and reports “{told}”"))
            }
            Self::Ended { id, at } => write!(f, "token {id} ended at {at}"),
            Self::Asked { answer, requests } => match requests.as_slice() {
                [] => write!(f, "{answer}, no request"),
                [only] => write!(f, "{answer}, {only}"),
                [first, ..] => write!(f, "{answer}, {} × {first}", requests.len()),
            },
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token {} of `{}`", self.id, self.actor)?;
        self.lifetime.iter().try_for_each(|seconds| write!(f, ", for {seconds} s"))?;
        self.description.iter().try_for_each(|text| write!(f, ", with the note “{text}”"))?;
        self.restrictions.iter().try_for_each(|listed| write!(f, ", `{listed}`"))
    }
}
