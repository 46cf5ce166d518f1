//! Generated Rust bindings for the contract in `wit/`.
#![allow(
    missing_docs,
    unused_qualifications,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code, which differs between targets, so `expect` cannot be met on both"
)]

wit_bindgen::generate!({
    path: "wit",
    world: "handler",
    pub_export_macro: true,
    default_bindings_module: "::keyward_sdk::bindings",
    runtime_path: "::keyward_sdk::bindings::rt",
    additional_derives: [PartialEq, Clone],
});

#[doc(hidden)]
pub use wit_bindgen::rt;
