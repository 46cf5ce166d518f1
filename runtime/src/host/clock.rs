//! `keyward:handler/clock`: the same time during a whole call, so that a handler cannot measure its
//! own duration.

use super::{Linking, State};
use crate::bindings::clock::Datetime;
use wasmtime::{Result, StoreContext};

fn now(store: StoreContext<'_, State>, (): ()) -> Result<(Datetime,)> {
    let State { calls, now, .. } = store.data();
    calls.enter_repeatable(0)?;
    Ok((Datetime { seconds: now.seconds, nanoseconds: now.nanoseconds },))
}

pub(crate) fn link(linking: &mut Linking<'_>) -> Result<()> {
    linking.interface("clock")?.quick("now", now)
}
