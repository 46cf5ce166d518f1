//! WASI 0.2 over an inert world, for languages whose runtimes need it: the time of the call, the
//! host's randomness, and the handler's log as output. There are no files, sockets, variables or
//! arguments.
//!
//! No function waits: timers are over at once, and the input has ended. The clock for durations
//! advances by a microsecond with each reading, so that nothing measures the host.

use super::output::Outputs;
use super::{State, random};
use wasmtime::component::{HasData, HasSelf, Linker, Resource, ResourceTable, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random as secure};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::bindings::{cli, filesystem, io, sockets};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi::{I32Exit, ResourceTableError, WasiCtx, WasiCtxView, WasiView, async_trait};

/// Maximum number of resources of a call, such as streams and timers.
pub(crate) const HANDLES: usize = 256;

/// The resources of a call, for functions that need nothing else.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// Links the interfaces. Those of clocks, randomness and names are ours; behind the others of
/// wasmtime there is nothing to reach.
pub(crate) fn link(linker: &mut Linker<State>) -> Result<()> {
    wall_clock::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    monotonic_clock::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    secure::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    insecure::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    insecure_seed::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;

    fn table(state: &mut State) -> &mut ResourceTable {
        state.ctx().table
    }
    io::error::add_to_linker::<State, Table>(linker, table)?;
    io::poll::add_to_linker::<State, Table>(linker, table)?;
    io::streams::add_to_linker::<State, Table>(linker, table)?;

    cli::environment::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;

    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    filesystem::types::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;

    sockets::instance_network::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    link_names(linker)?;
    let network = sockets::network::LinkOptions::default();
    sockets::network::add_to_linker::<State, WasiSockets>(linker, &network, State::sockets)?;
    sockets::tcp::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    sockets::udp::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    sockets::udp_create_socket::add_to_linker::<State, WasiSockets>(linker, State::sockets)
}

/// Links `wasi:sockets/ip-name-lookup`: no name has an address. The implementation of wasmtime
/// starts threads to say so.
fn link_names(linker: &mut Linker<State>) -> Result<()> {
    /// The addresses of a name, of which there are none.
    struct Addresses;
    let mut names = linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?;
    names.resource("resolve-address-stream", ResourceType::host::<Addresses>(), |_, _| Ok(()))?;
    names.func_wrap("resolve-addresses", |mut store, (_, _): (Resource<Network>, String)| {
        store.data_mut().calls.note();
        Ok((Err::<Resource<Addresses>, _>(ErrorCode::PermanentResolverFailure),))
    })?;
    let next = |_: StoreContextMut<'_, State>, (_,): (Resource<Addresses>,)| {
        Ok((Err::<Option<IpAddress>, _>(ErrorCode::InvalidState),))
    };
    names.func_wrap("[method]resolve-address-stream.resolve-next-address", next)?;
    let subscribe = |_: StoreContextMut<'_, State>, (_,): (Resource<Addresses>,)| {
        Err::<(Resource<DynPollable>,), _>(ResourceTableError::NotPresent.into())
    };
    names.func_wrap("[method]resolve-address-stream.subscribe", subscribe)
}

/// Nanoseconds between two readings of the monotonic clock.
const READING: u64 = 1_000;

/// The inert world of a call.
pub(crate) struct World {
    context: WasiCtx,
    table: ResourceTable,
    readings: u64,
}

impl World {
    fn new(Outputs { stdout, stderr }: Outputs) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let mut builder = WasiCtx::builder();
        builder.stdout(stdout).stderr(stderr);
        builder.allow_tcp(false).allow_udp(false);
        Self { context: builder.build(), table, readings: 0 }
    }
}

/// Returns a description if the guest ended the call itself, or has too many resources.
pub(crate) fn ended(error: &wasmtime::Error) -> Option<String> {
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return Some(format!("wasi:cli/exit with the status {status}"));
    }
    error.downcast_ref::<ResourceTableError>().map(|error| format!("WASI: {error} (at most {HANDLES} at once)"))
}

/// A timer, which is over.
struct Over;

#[async_trait]
impl Pollable for Over {
    async fn ready(&mut self) {}
}

impl State {
    /// Returns the inert world, which is created with its first use.
    fn world(&mut self) -> &mut World {
        self.world.get_or_insert_with(|| Box::new(World::new(self.lines.outputs())))
    }
}

/// Counts each call of a function of wasmtime's. The sandbox ends a call with one too many.
impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.calls.note();
        let World { context, table, .. } = self.world();
        WasiCtxView { ctx: context, table }
    }
}

impl wall_clock::Host for State {
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        self.calls.enter_repeatable(0)?;
        Ok(wall_clock::Datetime { seconds: self.now.seconds, nanoseconds: self.now.nanoseconds })
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        self.calls.enter_repeatable(0)?;
        Ok(wall_clock::Datetime { seconds: 1, nanoseconds: 0 })
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> Result<monotonic_clock::Instant> {
        self.calls.enter_repeatable(0)?;
        let readings = &mut self.world().readings;
        *readings = readings.saturating_add(1);
        Ok(readings.saturating_mul(READING))
    }

    fn resolution(&mut self) -> Result<monotonic_clock::Duration> {
        self.calls.enter_repeatable(0)?;
        Ok(READING)
    }

    fn subscribe_instant(&mut self, _: monotonic_clock::Instant) -> Result<Resource<DynPollable>> {
        self.calls.enter_repeatable(0)?;
        let table = &mut self.world().table;
        let over = table.push(Over)?;
        subscribe(table, over)
    }

    fn subscribe_duration(&mut self, _: monotonic_clock::Duration) -> Result<Resource<DynPollable>> {
        self.subscribe_instant(0)
    }
}

impl secure::Host for State {
    fn get_random_bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        random::fill(&self.calls, count)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        let bytes = random::fill(&self.calls, 8)?;
        Ok(bytes.first_chunk().copied().map_or(0, u64::from_le_bytes))
    }
}

impl insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        random::fill(&self.calls, count)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        secure::Host::get_random_u64(self)
    }
}

impl insecure_seed::Host for State {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        Ok((secure::Host::get_random_u64(self)?, secure::Host::get_random_u64(self)?))
    }
}
