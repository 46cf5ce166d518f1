//! Writes handlers for Keyward in Rust: implement [`TokenHandler`], and name the type in
//! [`handler!`]; or [`SessionHandler`], and name it in [`session_handler!`].
//!
//! A token handler creates and verifies tokens, a session handler knows users by their cookies. It
//! is compiled to a WebAssembly component, runs in a fresh sandbox for every call, and imports what
//! it needs from its host: [`clock`], [`keys`], [`settings`], [`secrets`], [`random`], [`digest`],
//! [`log`]; for tokens that another issuer signs, [`public_keys`]; for revocable tokens, [`store`];
//! and for tokens that another system keeps, [`queries`] of its database or [`http`] requests to
//! its API. It never sees a key.
//!
//! A complete handler, whose tokens are `demo_NAME.SIGNATURE`:
//!
//! ```
//! use keyward_sdk::{Acceptance, CreateDenied, CreateError, CreateRequest, Created, Denial};
//! use keyward_sdk::{Failure, Reason, Rejection, TokenHandler, Verdict, keys};
//!
//! struct Demo;
//!
//! impl TokenHandler for Demo {
//!     fn create(request: CreateRequest) -> Result<Created, CreateError> {
//!         let name = request.actor_id;
//!         // Refuse terms that these tokens cannot carry instead of dropping them.
//!         if request.expires_after.is_some() || request.restrictions.is_some() || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
//!             let message = "these tokens carry a plain name and nothing else".to_owned();
//!             return Err(CreateError::Denied(CreateDenied { denial: Denial::InvalidRequest, message }));
//!         }
//!         let signature = keys::sign("token", name.as_bytes()).map_err(|e| CreateError::Failed(no_key(e)))?;
//!         Ok(Created { token: format!("demo_{name}.{}", hex(&signature)), token_id: Some(name), expires_at: None })
//!     }
//!
//!     fn verify(token: &str) -> Result<Verdict, Failure> {
//!         let Some(rest) = token.strip_prefix("demo_") else { return Ok(Verdict::NotMine) };
//!         let Some((name, text)) = rest.rsplit_once('.') else { return Ok(bad()) };
//!         let Some(signature) = unhex(text) else { return Ok(bad()) };
//!         if !keys::verify("token", name.as_bytes(), &signature).map_err(no_key)? {
//!             return Ok(bad());
//!         }
//!         Ok(Verdict::Accepted(Acceptance {
//!             actor: format!(r#"{{"id":"{name}"}}"#), // a signed name is alphanumeric
//!             restrictions: None,
//!             token_id: Some(name.to_owned()),
//!             issued_at: None,
//!             expires_at: None,
//!         }))
//!     }
//! }
//!
//! keyward_sdk::handler!(Demo);
//!
//! fn bad() -> Verdict {
//!     Verdict::Rejected(Rejection { reason: Reason::BadSignature, message: "Invalid signature".to_owned() })
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
//!     let bytes: Option<Vec<u8>> =
//!         text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect();
//!     bytes.filter(|bytes| hex(bytes) == text)
//! }
//!
//! // Its test, which needs no WebAssembly:
//! use keyward_sdk::testing::Host;
//!
//! let host = Host::new().key("token", |m| m.to_vec(), |m, signature| m == signature);
//! assert!(matches!(host.run(|| Demo::verify("demo_ann.616e6e")), Ok(Verdict::Accepted(_))));
//! assert!(matches!(host.run(|| Demo::verify("demo_ann.616e6f")), Ok(Verdict::Rejected(_))));
//! ```
//!
//! # Build and check
//!
//! `keyward new NAME --lang rust` writes such a project, `keyward build` in its folder makes the
//! component, and `keyward check NAME.component.wasm` lists its imports. By hand, the crate is a
//! `cdylib` with `keyward-sdk` among its `dependencies` and its `build-dependencies`, and a
//! `build.rs` of one line (`fn main() { keyward_sdk::build::layout(); }`, see [`build::layout`]).
//! Then:
//!
//! ```text
//! cargo build --release --target wasm32-unknown-unknown
//! keyward build target/wasm32-unknown-unknown/release/NAME.wasm --output NAME.component.wasm
//! ```
//!
//! # Features
//!
//! * A component imports only what the handler calls.
//! * A panic aborts the call, and its text is written to the operator's log. Never put a token into
//!   a panic's message.
//! * Memory is one page of 64 KiB with 16 KiB of stack, and an allocator that grows it only when
//!   necessary. The allocator reclaims only the last block, so a handler that needs megabytes
//!   should reuse its buffers.
//! * The settings named in [`handler!`] are written into the component, so an operator who
//!   misspells one gets an error. The token patterns are, too: the host rejects a token that
//!   matches none of them without calling the handler.
//!
//! The macro generates exported functions, which Rust counts as unsafe code: a handler may use
//! `#![deny(unsafe_code)]`, but not `#![forbid(unsafe_code)]`.

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
