//! Events as lines of JSON: an object of the time, the level, the event's own fields in their order, and the target.

use std::fmt::{self, Debug, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The form that `tracing_subscriber` has for this takes more than twice as long, and every request is a line.
pub(super) struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        writer.write_str("\",\"level\":\"")?;
        writer.write_str(metadata.level().as_str())?;
        writer.write_str("\"")?;
        let mut fields = Fields { writer: &mut writer, written: Ok(()) };
        event.record(&mut fields);
        fields.written?;
        writer.write_str(",\"target\":")?;
        string(&mut writer, metadata.target())?;
        writer.write_str("}\n")
    }
}

/// Writes each field as a member of the object.
struct Fields<'a, 'w> {
    writer: &'a mut Writer<'w>,
    written: fmt::Result,
}

impl Fields<'_, '_> {
    fn member(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let write = |writer: &mut Writer<'_>| {
            writer.write_str(",")?;
            string(writer, field.name())?;
            writer.write_str(":")?;
            value(writer)
        };
        if self.written.is_ok() {
            self.written = write(self.writer);
        }
    }
}

impl Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, |writer| string(writer, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    /// Everything else, as text.
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.member(field, |writer| {
            writer.write_str("\"")?;
            write!(Escaped(writer), "{value:?}")?;
            writer.write_str("\"")
        });
    }
}

/// A string of JSON.
fn string(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    writer.write_str("\"")?;
    Escaped(writer).write_str(text)?;
    writer.write_str("\"")
}

/// Writes what stands between the quotes of a string.
struct Escaped<'a, 'w>(&'a mut Writer<'w>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Self(writer) = self;
        // Nearly always there is nothing to escape, and to see that, without a way out in between, takes next to no time.
        if !text.bytes().fold(false, |found, byte| found | must_be_escaped(byte.into())) {
            return writer.write_str(text);
        }
        for piece in text.split_inclusive(must_be_escaped) {
            match piece.char_indices().next_back() {
                Some((at, last)) if must_be_escaped(last) => {
                    writer.write_str(piece.get(..at).unwrap_or_default())?;
                    write!(writer, "\\u{:04x}", u32::from(last))?;
                }
                _ => writer.write_str(piece)?,
            }
        }
        Ok(())
    }
}

/// RFC 8259 section 7.
fn must_be_escaped(c: char) -> bool {
    c < ' ' || c == '"' || c == '\\'
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::io;
    use std::sync::{Arc, Mutex};

    /// What is written of what is logged.
    fn logged(log: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Sink(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt().event_format(Lines).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_a_line() {
        let line = logged(|| {
            let (none, some) = (None::<&str>, Some("x"));
            tracing::warn!(target: "t", text = "a", none, some, big = u64::MAX, small = -1, yes = true, shown = %'c', "said {}", 1);
        });
        let (event, rest) = line.split_once('\n').unwrap();
        assert_eq!(rest, "");
        let time = event.strip_prefix("{\"timestamp\":\"").unwrap();
        let (time, rest) = time.split_once('"').unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        let wanted = r#","level":"WARN","message":"said 1","text":"a","some":"x","big":18446744073709551615,"small":-1,"yes":true,"shown":"c","target":"t"}"#;
        assert_eq!(rest, wanted);
    }

    #[test]
    fn any_text_is_one_string() {
        let all: String = (0..0x300).filter_map(char::from_u32).collect();
        for text in ["", "a", "\"", "\\", "a\nb", "\n", "é\u{2028}\u{0}", "\"}\n{\"level\":\"", &all] {
            let line = logged(|| tracing::info!(text));
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            let event: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(event["text"], json!(text));
        }
    }
}
