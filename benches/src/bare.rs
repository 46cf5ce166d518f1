//! A fresh instance for each call in plain wasmtime: the part of a verification that Keyward cannot
//! save. It has one limit, the size of the memory, and no routing, policy or revocation.

use crate::setup::{NOW, hmac};
use hmac::Mac;
use sha2::{Digest, Sha256};
use wasmtime::component::{
    Component, ComponentExportIndex, InstancePre, Linker, LinkerInstance, ResourceTable, WasmList, WasmStr,
};
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, StoreContextMut};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

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

/// A token handler in an engine with the settings of Keyward.
pub(crate) struct Bare {
    engine: Engine,
    component: InstancePre<World>,
    verify: ComponentExportIndex,
}

impl Bare {
    /// Compiles a component, which may import WASI.
    pub(crate) fn new(component: &[u8]) -> Self {
        let mut pool = PoolingAllocationConfig::new();
        pool.max_core_instances_per_component(64)
            .max_memories_per_component(4)
            .max_tables_per_component(48)
            .total_stacks(1)
            .linear_memory_keep_resident(64 << 10)
            .table_keep_resident(4 << 10);
        let mut config = keyward_engine::config().unwrap();
        // Room for an interpreter: its component has several memories, and it recurses.
        config
            .enable_compiler(true)
            .max_wasm_stack(1 << 20)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).unwrap();
        let component = Component::new(&engine, component).unwrap();
        let exports = component.get_export_index(None, "keyward:handler/token-handler@0.1.0");
        let verify = component.get_export_index(exports.as_ref(), "verify").unwrap();
        let component = linker(&engine).instantiate_pre(&component).unwrap();
        Self { engine, component, verify }
    }

    /// Verifies a valid token.
    pub(crate) fn verify(&self, token: &str) {
        let mut store = Store::new(&self.engine, World::default());
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

/// The WASI of a call, which is created with its first use: other handlers do not pay for it.
#[derive(Default)]
struct World(Option<Box<(WasiCtx, ResourceTable)>>);

impl WasiView for World {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (ctx, table) =
            &mut **self.0.get_or_insert_with(|| Box::new((WasiCtx::builder().build(), ResourceTable::new())));
        WasiCtxView { ctx, table }
    }
}

/// Links WASI, and the functions that a verification calls, over the key of the scheme
/// `hmac-sha256`.
fn linker(engine: &Engine) -> Linker<World> {
    type Context<'a> = StoreContextMut<'a, World>;
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).unwrap();
    let mut define = |interface: &str, with: &dyn Fn(&mut LinkerInstance<'_, World>)| {
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
    for (interface, function) in [("keys", "sign"), ("keys", "signing-key"), ("random", "bytes"), ("log", "write")] {
        define(interface, &|instance| {
            instance.func_new(function, move |_, _, _, _| panic!("a verification calls `{function}`")).unwrap();
        });
    }
    linker
}
