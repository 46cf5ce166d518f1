//! Writes handlers for Keyward in Rust: implement [`TokenHandler`], and name the type in
//! [`handler!`]; or [`SessionHandler`], and name it in [`session_handler!`].
//!
//! A token handler creates and verifies tokens, a session handler identifies users by their
//! cookies. Either is compiled to a WebAssembly component, runs in a fresh sandbox for every call,
//! and imports what it needs from its host: [`clock`], [`keys`], [`settings`], [`secrets`],
//! [`random`], [`digest`], [`log`]; for tokens that another issuer signs, [`public_keys`]; for
//! revocable tokens, [`store`]; and for tokens that another system keeps, [`queries`] of its
//! database or [`http`] requests to its API. It never sees a key.
//!
//! A complete handler, whose tokens are `demo_ID.ACTOR.EXPIRY.ACTIONS.SIGNATURE`:
//!
//! ```
//! use keyward_sdk::{Acceptance, CreateError, CreateRequest, Created, Denial, Failure, Reason};
//! use keyward_sdk::{Restrictions, TokenHandler, Verdict, clock, keys, random};
//!
//! struct Demo;
//!
//! impl TokenHandler for Demo {
//!     fn create(request: CreateRequest) -> Result<Created, CreateError> {
//!         let expires_at = request.expires_at()?;
//!         let expiry = expires_at.map(|last| last.to_string()).unwrap_or_default();
//!         // Without restrictions, a token has all rights of its actor; with an empty list, none.
//!         let all = request.restrictions.as_ref().map(|restrictions| restrictions.all.join("+"));
//!         let actions = all.unwrap_or_else(|| "~".to_owned());
//!         // Refuse terms that these tokens cannot carry instead of dropping them.
//!         if !is_expressible(&request) {
//!             let message = "these tokens carry plain names, and actions on everything only";
//!             return Err(CreateError::denied(Denial::InvalidRequest, message));
//!         }
//!         let id = hex(&random::bytes(16));
//!         let claims = format!("{id}.{}.{expiry}.{actions}", request.actor_id);
//!         let signature = keys::sign("token", claims.as_bytes());
//!         let signature = signature.map_err(|error| CreateError::Failed(no_key(error)))?;
//!         let token = format!("demo_{claims}.{}", hex(&signature));
//!         Ok(Created { token, token_id: Some(id), expires_at })
//!     }
//!
//!     fn verify(token: &str) -> Result<Verdict, Failure> {
//!         let malformed = || Ok(Verdict::rejected(Reason::Malformed, "Invalid token: wrong format"));
//!         let Some(signed) = token.strip_prefix("demo_") else { return Ok(Verdict::NotMine) };
//!         let Some((claims, text)) = signed.rsplit_once('.') else { return malformed() };
//!         let Some(signature) = unhex(text) else { return malformed() };
//!         // Nothing is read from claims that this handler did not sign.
//!         if !keys::verify("token", claims.as_bytes(), &signature).map_err(no_key)? {
//!             return Ok(Verdict::rejected(Reason::BadSignature, "Invalid token signature"));
//!         }
//!         let parts: Vec<_> = claims.split('.').collect();
//!         let [id, actor, expiry, actions] = parts[..] else { return malformed() };
//!         let expiry = Some(expiry).filter(|text| !text.is_empty()).map(str::parse);
//!         let Ok(expires_at) = expiry.transpose() else { return malformed() };
//!         if expires_at.is_some_and(|last| clock::now().seconds > last) {
//!             return Ok(Verdict::rejected(Reason::Expired, "Token has expired"));
//!         }
//!         let all = actions.split('+').filter(|action| !action.is_empty()).map(str::to_owned);
//!         let listed = Restrictions { all: all.collect(), database: vec![], resource: vec![] };
//!         Ok(Verdict::Accepted(Acceptance {
//!             actor: format!(r#"{{"id":"{actor}"}}"#), // a plain name needs no escapes
//!             restrictions: if actions == "~" { None } else { Some(listed) },
//!             token_id: Some(id.to_owned()),
//!             issued_at: None,
//!             expires_at,
//!         }))
//!     }
//! }
//!
//! keyward_sdk::handler!(Demo);
//!
//! fn is_expressible(request: &CreateRequest) -> bool {
//!     let is_plain = |text: &String| {
//!         !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
//!     };
//!     is_plain(&request.actor_id)
//!         && request.restrictions.as_ref().is_none_or(|Restrictions { all, database, resource }| {
//!             all.iter().all(is_plain) && database.is_empty() && resource.is_empty()
//!         })
//! }
//!
//! fn no_key(error: keys::KeyError) -> Failure {
//!     Failure::Internal(format!("the key `token`: {error}"))
//! }
//!
//! fn hex(bytes: &[u8]) -> String {
//!     bytes.iter().map(|byte| format!("{byte:02x}")).collect()
//! }
//!
//! /// Decodes lower case only, so that a token has one spelling.
//! fn unhex(text: &str) -> Option<Vec<u8>> {
//!     let pairs = text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).ok());
//!     let bytes = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect::<Option<Vec<_>>>();
//!     bytes.filter(|bytes| hex(bytes) == text)
//! }
//!
//! // Its test, which needs no WebAssembly:
//! use keyward_sdk::testing::Host;
//!
//! let host = |seconds| Host::new().at(seconds, 0).key("token", |m| m.to_vec(), |m, signature| m == signature);
//! let request = CreateRequest {
//!     actor_id: "ann".to_owned(),
//!     expires_after: Some(60),
//!     restrictions: Some(Restrictions { all: vec![], database: vec![], resource: vec![] }),
//!     description: None,
//! };
//! let token = host(7).create::<Demo>(request).unwrap().token;
//! let Ok(Verdict::Accepted(acceptance)) = host(67).run(|| Demo::verify(&token)) else { panic!() };
//! assert_eq!(acceptance.restrictions.unwrap().all, [] as [&str; 0]);
//! assert!(matches!(host(68).run(|| Demo::verify(&token)), Ok(Verdict::Rejected(_))));
//! ```
//!
//! # Cargo.toml
//!
//! `keyward new NAME --lang rust` writes a project, and `keyward build` its component. By hand, the
//! manifest of a handler has
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! keyward-sdk = "0.1"
//!
//! [build-dependencies]
//! keyward-sdk = "0.1"
//!
//! # Small and fast to load: each call gets a fresh instance.
//! [profile.release]
//! opt-level = "s"
//! lto = true
//! codegen-units = 1
//! panic = "abort"
//! strip = "debuginfo"
//! ```
//!
//! and its `build.rs` is `fn main() { keyward_sdk::build::layout(); }`, see [`build::layout`].
//! Until the crate is published, both dependencies have a `path`. Then:
//!
//! ```text
//! cargo build --release --target wasm32-unknown-unknown
//! keyward build target/wasm32-unknown-unknown/release/NAME.wasm --output NAME.component.wasm
//! ```
//!
//! # In the sandbox
//!
//! * A component imports only what the handler calls.
//! * A panic aborts the call, and its text is written to the operator's log. Never put a token into
//!   a panic's message.
//! * Memory is one page of 64 KiB with 16 KiB of stack, and grows only when necessary. The
//!   allocator reclaims only the last block: a handler that needs megabytes should reuse buffers.
//! * The exported functions count as unsafe code: a handler may use `#![deny(unsafe_code)]`, but
//!   not `#![forbid(unsafe_code)]`.

// Generated code and macros refer to this crate by its name, here and in other crates.
extern crate self as keyward_sdk;

#[doc(hidden)]
pub mod bindings;
pub mod build;
mod convert;
mod host;
#[cfg(any(test, all(target_arch = "wasm32", target_os = "unknown")))]
mod memory;
#[doc(hidden)]
pub mod panic_hook;
#[doc(hidden)]
pub mod session_bindings;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use bindings::keyward::handler::types::{
    Acceptance, CreateDenied, CreateError, CreateRequest, Created, Denial, Failure, Reason, Rejection, Restrictions,
    Verdict,
};
pub use host::*;
pub use session_bindings::exports::keyward::handler::session_handler::SessionRequest;

/// A token handler.
///
/// There is no `self`: each call gets a fresh instance, and no state survives between calls.
pub trait TokenHandler {
    /// Creates a token. The host has checked the request: the actor id has a visible character and
    /// no control characters, and is one that this handler may vouch for; the lifetime is not 0.
    ///
    /// # Errors
    /// [`CreateError::Denied`] if the request is refused, [`CreateError::Failed`] if the handler
    /// cannot decide.
    fn create(request: CreateRequest) -> Result<Created, CreateError>;

    /// Verifies a token of at most 8,192 bytes by default.
    ///
    /// An invalid token is not an error, but a [`Verdict::Rejected`].
    ///
    /// # Errors
    /// A [`Failure`] if the handler cannot decide. Its text is for the operator's log, never for
    /// the caller.
    fn verify(token: &str) -> Result<Verdict, Failure>;
}

/// A session handler: knows users by what their browser sends.
///
/// There is no `self`: each call gets a fresh instance, and no state survives between calls.
pub trait SessionHandler {
    /// Identifies the user of a request, of which `request` has the headers and cookies that the
    /// operator lets this handler see. [`Verdict::NotMine`] if it has none that the handler knows.
    ///
    /// The host ignores the token id and the times of an [`Acceptance`].
    ///
    /// # Errors
    /// A [`Failure`] if the handler cannot decide. Its text is for the operator's log, never for
    /// the caller.
    fn identify(request: SessionRequest) -> Result<Verdict, Failure>;
}

/// Exports a type that implements [`TokenHandler`] as the handler of this component, and declares
/// its settings and its token patterns.
///
/// ```
/// # use keyward_sdk::{CreateError, CreateRequest, Created, Failure, TokenHandler, Verdict};
/// # struct Mine;
/// # impl TokenHandler for Mine {
/// #     fn create(_: CreateRequest) -> Result<Created, CreateError> { Err(CreateError::Failed(Failure::Internal(String::new()))) }
/// #     fn verify(_: &str) -> Result<Verdict, Failure> { Ok(Verdict::NotMine) }
/// # }
/// keyward_sdk::handler!(Mine, settings: ["max_age: u64"], patterns: ["[0-9]{1,9}[.]{1}[0-9A-Za-z_-]{43}"]);
/// ```
///
/// Both lists are optional. A setting is declared with the type of its value, which the host checks
/// when it loads the configuration: `bool`, `u64`, `text` or `json` (any value).
///
/// A pattern describes the part of a token after its prefix, or the whole token without a prefix: a
/// sequence of parts `[characters]{count}` or `[characters]{min,max}`, in which no part could also
/// start earlier. The host rejects a token that matches no pattern as malformed, in one pass.
///
/// Use it once per crate. Compiled for any target but wasm32, it only checks that the type
/// implements the trait.
#[macro_export]
macro_rules! handler {
    (
        $handler:ty
        $(, settings: [$($setting:literal),* $(,)?])?
        $(, patterns: [$($form:literal),* $(,)?])?
        $(,)?
    ) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "functions exported from a component are unsafe attributes and raw pointers")]
        const _: () = {
            struct Component;

            impl $crate::bindings::exports::keyward::handler::token_handler::Guest for Component {
                fn create(request: $crate::CreateRequest) -> ::core::result::Result<$crate::Created, $crate::CreateError> {
                    $crate::panic_hook::log();
                    <$handler as $crate::TokenHandler>::create(request)
                }

                fn verify(token: ::std::string::String) -> ::core::result::Result<$crate::Verdict, $crate::Failure> {
                    $crate::panic_hook::log();
                    <$handler as $crate::TokenHandler>::verify(&token)
                }
            }

            $crate::bindings::export!(Component with_types_in $crate::bindings);

            $crate::declare_settings!($($($setting),*)?);

            $(
                /// The token patterns, one per line.
                const PATTERNS: &str = ::core::concat!($($form, "\n"),*);
                #[used]
                #[unsafe(link_section = "keyward:token-patterns")]
                static SECTION: [u8; PATTERNS.len()] = match PATTERNS.as_bytes().first_chunk() {
                    ::core::option::Option::Some(patterns) => *patterns,
                    ::core::option::Option::None => ::core::unreachable!(),
                };
            )?
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn is_a_handler<T: $crate::TokenHandler>() {}
            is_a_handler::<$handler>();
        };
    };
}

/// Exports a type that implements [`SessionHandler`] as the handler of this component, and declares
/// its settings, as [`handler!`] does. A component may export both kinds of handlers: name each in
/// its macro, with its own settings.
///
/// ```
/// # use keyward_sdk::{Failure, SessionHandler, SessionRequest, Verdict};
/// # struct Mine;
/// # impl SessionHandler for Mine {
/// #     fn identify(_: SessionRequest) -> Result<Verdict, Failure> { Ok(Verdict::NotMine) }
/// # }
/// keyward_sdk::session_handler!(Mine, settings: ["cookie: text"]);
/// ```
#[macro_export]
macro_rules! session_handler {
    ($handler:ty $(, settings: [$($setting:literal),* $(,)?])? $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "functions exported from a component are unsafe attributes and raw pointers")]
        const _: () = {
            struct Component;

            impl $crate::session_bindings::exports::keyward::handler::session_handler::Guest for Component {
                fn identify(request: $crate::SessionRequest) -> ::core::result::Result<$crate::Verdict, $crate::Failure> {
                    $crate::panic_hook::log();
                    <$handler as $crate::SessionHandler>::identify(request)
                }
            }

            $crate::session_bindings::export!(Component with_types_in $crate::session_bindings);

            $crate::declare_settings!($($($setting),*)?);
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn is_a_handler<T: $crate::SessionHandler>() {}
            is_a_handler::<$handler>();
        };
    };
}

/// Writes the settings of a handler into its component.
#[doc(hidden)]
#[macro_export]
macro_rules! declare_settings {
    () => {};
    ($($setting:literal),+) => {
        /// The settings, one per line.
        const NAMES: &str = ::core::concat!($($setting, "\n"),*);
        #[used]
        #[unsafe(link_section = "keyward:settings")]
        static SETTINGS: [u8; NAMES.len()] = match NAMES.as_bytes().first_chunk() {
            ::core::option::Option::Some(names) => *names,
            ::core::option::Option::None => ::core::unreachable!(),
        };
    };
}
