//! `keyward:handler/clock`: the same time during a whole call, so that a handler cannot measure its
//! own duration.

use super::{Calls, State};
use crate::bindings::{clock, types};
use crate::clock::UnixTime;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

/// The host side of `clock`.
pub(crate) struct Clock<'a> {
    calls: &'a mut Calls,
    now: UnixTime,
}

pub(crate) struct HasClock;

impl HasData for HasClock {
    type Data<'a> = Clock<'a>;
}

impl clock::Host for Clock<'_> {
    fn now(&mut self) -> Result<clock::Datetime> {
        self.calls.enter_repeatable(0)?;
        Ok(clock::Datetime { seconds: self.now.seconds, nanoseconds: self.now.nanoseconds })
    }
}

/// An empty implementation: `types` has no functions, but its linker needs a host.
impl types::Host for Clock<'_> {}

pub(crate) fn view(state: &mut State) -> Clock<'_> {
    Clock { calls: &mut state.calls, now: state.now }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    clock::add_to_linker::<State, HasClock>(linker, view)
}
