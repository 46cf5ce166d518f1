//! A fresh instance for each call in plain wasmtime: the part of a verification that Keyward cannot
//! save. It has one limit, the size of the memory, and no routing, policy or revocation.

use crate::setup::{NOW, hmac};
use hmac::Mac;
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker, WasmList, WasmStr};
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, StoreContextMut};

#[allow(
    clippy::allow_attributes,
    dead_code,
    unused_qualifications,
    unreachable_pub,
    missing_debug_implementations,
    reason = "generated"
)]
mod generated {
    wasmtime::component::bindgen!({ path: "../wit", world: "handler" });
}

use generated::exports::keyward::handler::token_handler::Verdict;
use generated::keyward::handler::clock::Datetime;
use generated::keyward::handler::keys::KeyError;
use generated::keyward::handler::types::Failure;

/// `builtin:signed` in an engine with the settings of Keyward.
pub(crate) struct Bare {
    engine: Engine,
    component: InstancePre<()>,
    verify: ComponentExportIndex,
}

impl Bare {
    pub(crate) fn new() -> Self {
        let mut pool = PoolingAllocationConfig::new();
        pool.linear_memory_keep_resident(64 << 10).table_keep_resident(4 << 10).total_stacks(1);
        let mut config = keyward_engine::config().unwrap();
        config.enable_compiler(true).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).unwrap();
        let component = Component::new(&engine, keyward_handlers::SIGNED.component()).unwrap();
        let exports = component.get_export_index(None, "keyward:handler/token-handler@0.1.0");
        let verify = component.get_export_index(exports.as_ref(), "verify").unwrap();
        let component = linker(&engine, &component).instantiate_pre(&component).unwrap();
        Self { engine, component, verify }
    }

    /// Verifies a valid token.
    pub(crate) fn verify(&self, token: &str) {
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(1);
        let instance = self.component.instantiate(&mut store).unwrap();
        type Verified = (Result<Verdict, Failure>,);
        let verify = instance.get_typed_func::<(&str,), Verified>(&mut store, &self.verify).unwrap();
        match verify.call(&mut store, (token,)).unwrap() {
            (Ok(Verdict::Accepted(_)),) => {}
            (other,) => panic!("{other:?}"),
        }
    }
}

/// Links the functions that a verification calls, over the key of the scheme `hmac-sha256`.
fn linker(engine: &Engine, component: &Component) -> Linker<()> {
    type Context<'a> = StoreContextMut<'a, ()>;
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    linker.define_unknown_imports_as_traps(component).unwrap();
    let mut define = |interface: &str, with: &dyn Fn(&mut wasmtime::component::LinkerInstance<'_, ()>)| {
        with(&mut linker.instance(&format!("keyward:handler/{interface}@0.1.0")).unwrap());
    };
    define("settings", &|settings| {
        let get = |_: Context<'_>, _: (WasmStr,)| Ok((None::<String>,));
        settings.func_wrap("get", get).unwrap();
    });
    define("clock", &|clock| {
        let now = |_: Context<'_>, (): ()| Ok((Datetime { seconds: NOW.seconds, nanoseconds: NOW.nanoseconds },));
        clock.func_wrap("now", now).unwrap();
    });
    define("digest", &|digest| {
        let sha256 =
            |store: Context<'_>, (data,): (WasmList<u8>,)| Ok((Sha256::digest(data.as_le_slice(&store)).to_vec(),));
        digest.func_wrap("sha256", sha256).unwrap();
    });
    define("keys", &|keys| {
        let mac = hmac();
        let verify = move |store: Context<'_>, (_, message, signature): (WasmStr, WasmList<u8>, WasmList<u8>)| {
            let mac = mac.clone().chain_update(message.as_le_slice(&store));
            Ok((Ok::<_, KeyError>(mac.verify_slice(signature.as_le_slice(&store)).is_ok()),))
        };
        keys.func_wrap("verify", verify).unwrap();
    });
    linker
}
