//! Generated Rust bindings for the exports of session handlers. Their imports are those of
//! [`bindings`](crate::bindings).
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
    world: "session",
    pub_export_macro: true,
    default_bindings_module: "::keyward_sdk::session_bindings",
    runtime_path: "::keyward_sdk::bindings::rt",
    additional_derives: [PartialEq, Clone],
    with: {
        "keyward:handler/types@0.1.0": keyward_sdk::bindings::keyward::handler::types,
        "keyward:handler/clock@0.1.0": keyward_sdk::bindings::keyward::handler::clock,
        "keyward:handler/keys@0.1.0": keyward_sdk::bindings::keyward::handler::keys,
        "keyward:handler/public-keys@0.1.0": keyward_sdk::bindings::keyward::handler::public_keys,
        "keyward:handler/settings@0.1.0": keyward_sdk::bindings::keyward::handler::settings,
        "keyward:handler/secrets@0.1.0": keyward_sdk::bindings::keyward::handler::secrets,
        "keyward:handler/random@0.1.0": keyward_sdk::bindings::keyward::handler::random,
        "keyward:handler/digest@0.1.0": keyward_sdk::bindings::keyward::handler::digest,
        "keyward:handler/log@0.1.0": keyward_sdk::bindings::keyward::handler::log,
        "keyward:handler/store@0.1.0": keyward_sdk::bindings::keyward::handler::store,
        "keyward:handler/queries@0.1.0": keyward_sdk::bindings::keyward::handler::queries,
        "keyward:handler/http@0.1.0": keyward_sdk::bindings::keyward::handler::http,
    },
});
