//! Write a token handler for Keyward in Rust: implement [`TokenHandler`], and name the type in
//! [`handler!`].
//!
//! A handler creates and verifies tokens. It is compiled to a WebAssembly component, runs in a
//! sandbox that is made anew for every call, and asks its host for what it needs: [`clock`],
//! [`keys`], [`settings`], [`secrets`], [`random`], [`digest`], [`log`]; for tokens that can be
//! taken back, [`store`]; and for those that somebody else keeps, [`queries`]. It never sees a key.
//!
//! A whole handler, whose tokens are `demo_NAME.SIGNATURE`:
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
//!         // Nothing that was asked for is left out in silence.
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
//!             actor: format!(r#"{{"id":"{name}"}}"#), // a name that was signed above is alphanumeric
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
//! /// Lower case only: a token has one spelling.
//! fn unhex(text: &str) -> Option<Vec<u8>> {
//!     let bytes: Option<Vec<u8>> =
//!         text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect();
//!     bytes.filter(|bytes| hex(bytes) == text)
//! }
//!
//! // And its test, which needs no WebAssembly:
//! use keyward_sdk::testing::Host;
//!
//! let host = Host::new().key("token", |m| m.to_vec(), |m, signature| m == signature);
//! assert!(matches!(host.run(|| Demo::verify("demo_ann.616e6e")), Ok(Verdict::Accepted(_))));
//! assert!(matches!(host.run(|| Demo::verify("demo_ann.616e6f")), Ok(Verdict::Rejected(_))));
//! ```
//!
//! # From source to a handler that runs
//!
//! The crate is a `cdylib` with `keyward-sdk` among its `dependencies` and its
//! `build-dependencies`, and a `build.rs` of one line
//! (`fn main() { keyward_sdk::build::layout(); }`, see [`build::layout`]). Then:
//!
//! ```text
//! cargo build --release --target wasm32-unknown-unknown
//! cargo xtask componentize target/wasm32-unknown-unknown/release/NAME.wasm NAME.component.wasm
//! keyward check NAME.component.wasm
//! ```
//!
//! `componentize` runs in a checkout of Keyward. `check` says what the component asks for.
//!
//! # What the crate takes care of
//!
//! * A component imports only what the handler calls.
//! * A panic ends the call, and its text reaches the operator's log. Never put a token into a
//!   panic's message.
//! * Memory: a page of 64 KiB with 16 KiB of stack and an allocator that leaves the page only when
//!   it must. The allocator takes back the last block only, so a handler that needs megabytes
//!   should reuse its buffers.
//! * The settings named in [`handler!`] are written into the component. An operator who misspells
//!   one gets an error. So are the forms of tokens: the host refuses what has none of them, and the
//!   handler is not called for it.
//!
//! The macro writes exported functions, which Rust counts as unsafe code: `#![deny(unsafe_code)]`
//! in a handler is fine, `#![forbid(unsafe_code)]` is not.

// Generated code and macros name this crate by its name, here and in an author's crate.
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
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use bindings::keyward::handler::types::{
    Acceptance, CreateDenied, CreateError, CreateRequest, Created, Denial, Failure, Reason, Rejection, Restrictions,
    Verdict,
};
pub use host::{clock, digest, keys, log, queries, random, secrets, settings, store};

/// A token handler.
///
/// There is no `self`: each call gets a fresh instance, and nothing is kept from one to the next.
pub trait TokenHandler {
    /// Makes a token. The host has checked the request: the actor id is not blank, has no control
    /// characters and is one that this handler may vouch for; the lifetime is not 0.
    ///
    /// # Errors
    /// [`CreateError::Denied`] when the request is refused, [`CreateError::Failed`] when no answer
    /// could be had.
    fn create(request: CreateRequest) -> Result<Created, CreateError>;

    /// Judges a token, of at most 8,192 bytes by default.
    ///
    /// A bad token is an answer, [`Verdict::Rejected`], and no error.
    ///
    /// # Errors
    /// A [`Failure`] when no answer could be had: its text is for the operator's log, never for the
    /// caller.
    fn verify(token: &str) -> Result<Verdict, Failure>;
}

/// Makes a type that implements [`TokenHandler`] the handler of this component, names the settings
/// it knows, and states the forms of its tokens.
///
/// ```
/// # use keyward_sdk::{CreateError, CreateRequest, Created, Failure, TokenHandler, Verdict};
/// # struct Mine;
/// # impl TokenHandler for Mine {
/// #     fn create(_: CreateRequest) -> Result<Created, CreateError> { Err(CreateError::Failed(Failure::Internal(String::new()))) }
/// #     fn verify(_: &str) -> Result<Verdict, Failure> { Ok(Verdict::NotMine) }
/// # }
/// keyward_sdk::handler!(Mine, settings: ["max_age"], patterns: ["[0-9]{1,9}[.]{1}[0-9A-Za-z_-]{43}"]);
/// ```
///
/// Both may be left out. A form is what stands behind the prefix of a token, or all of a token
/// without a prefix: parts `[characters]{count}` or `[characters]{least,most}`, one behind the
/// other, where no part could also begin earlier. The host rejects a token that has none of the
/// forms as malformed, in one pass over it.
///
/// Once in a crate. Compiled for anything but wasm32 it checks the trait and does nothing else.
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

            $(
                /// One name a line.
                const NAMES: &str = ::core::concat!($($setting, "\n"),*);
                #[used]
                #[unsafe(link_section = "keyward:settings")]
                static SETTINGS: [u8; NAMES.len()] = match NAMES.as_bytes().first_chunk() {
                    ::core::option::Option::Some(names) => *names,
                    ::core::option::Option::None => ::core::unreachable!(),
                };
            )?

            $(
                /// The token patterns, one a line.
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
