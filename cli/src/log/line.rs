//! Events as lines of JSON.

use std::error::Error;
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer};

/// A sink for whole lines.
pub(super) trait Sink {
    fn line(&self, line: Vec<u8>);
}

/// Writes each event as an object: its time, its level, its fields in their order, its target.
pub(super) struct Lines<S>(pub(super) S);

impl<S: Sink + 'static, T: Subscriber> Layer<T> for Lines<S> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, T>) {
        self.0.line(line(event));
    }
}
