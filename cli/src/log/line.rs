//! Formatting of events as JSON lines: the time, the level, the event's own fields in order, and
//! the target.

use keyward_runtime::text::needs_escape;
use std::fmt::{self, Debug, Display, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The format of a line. The JSON format of `tracing_subscriber` takes more than twice as long, and
/// every request logs a line.
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
        let mut fields = Fields { writer: &mut writer, written: Ok(()), cut: false };
        event.record(&mut fields);
        fields.written?;
        if fields.cut {
            writer.write_str(",\"cut\":true")?;
        }
        writer.write_str(",\"target\":\"")?;
        writer.write_str(metadata.target())?;
        writer.write_str("\"}\n")
    }
}

/// Maximum size of a value in bytes. An event has about twenty values, so each line fits in the
/// queue.
const MAX_VALUE: usize = 16 << 10;

/// Writes each field as a member of the object.
struct Fields<'a, 'w> {
    writer: &'a mut Writer<'w>,
    written: fmt::Result,
    /// Set if a value was truncated.
    cut: bool,
}

impl Fields<'_, '_> {
    /// Writes a member whose value is a number or a JSON literal.
    fn plain(&mut self, field: &Field, value: impl Display) {
        let writer = &mut *self.writer;
        self.written = self.written.and_then(|()| write!(writer, ",\"{}\":{value}", field.name()));
    }

    /// Writes a member whose value is text.
    fn text(&mut self, field: &Field, value: impl FnOnce(&mut Text<'_, '_>) -> fmt::Result) {
        let write = || {
            write!(self.writer, ",\"{}\":\"", field.name())?;
            let mut text = Text { writer: &mut *self.writer, room: MAX_VALUE, cut: false };
            value(&mut text)?;
            self.cut |= text.cut;
            self.writer.write_str("\"")
        };
        if self.written.is_ok() {
            self.written = write();
        }
    }
}

impl Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, |text| text.write_str(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    /// Writes any other value as text.
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, |text| write!(text, "{value:?}"));
    }
}

/// A writer for the content of a string. It truncates a value that is too long, with an ellipsis.
struct Text<'a, 'w> {
    writer: &'a mut Writer<'w>,
    room: usize,
    cut: bool,
}

impl Write for Text<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Most text needs no change. A check without an early exit costs almost nothing.
        let is_plain = text.bytes().fold(true, |plain, byte| plain & is_plain(byte));
        if let Some(room) = self.room.checked_sub(text.len()).filter(|_| is_plain && !self.cut) {
            self.room = room;
            return self.writer.write_str(text);
        }
        for c in text.chars() {
            if self.cut {
                break;
            }
            self.write_char(c)?;
        }
        Ok(())
    }

    fn write_char(&mut self, c: char) -> fmt::Result {
        if self.cut {
            return Ok(());
        }
        let mut units = [0; 2];
        let units = c.encode_utf16(&mut units);
        let escaped = must_be_escaped(c);
        let length = if escaped { units.len().saturating_mul(6) } else { c.len_utf8() };
        let Some(room) = self.room.checked_sub(length) else {
            self.cut = true;
            return self.writer.write_char('…');
        };
        self.room = room;
        if !escaped {
            return self.writer.write_char(c);
        }
        units.iter().try_for_each(|unit| write!(self.writer, "\\u{unit:04x}"))
    }
}

/// Returns whether a byte is an ASCII character that needs no escape.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\')
}

/// Returns whether a character is escaped: by RFC 8259 section 7, or because it is invisible in the
/// line.
fn must_be_escaped(c: char) -> bool {
    c == '"' || c == '\\' || needs_escape(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::io;
    use std::sync::{Arc, Mutex};

    /// Returns the output of events.
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
    fn an_event_is_one_line() {
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
    fn any_text_is_one_json_string() {
        let all: String = (0..0x300).filter_map(char::from_u32).collect();
        for text in ["", "a", "\"", "\\", "a\nb", "\n", "é\u{2028}\u{0}", "\u{e0041}😀", "\"}\n{\"level\":\"", &all]
        {
            let line = logged(|| tracing::info!(text));
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert!(!line.trim_end().contains(needs_escape), "{line}");
            let event: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(event["text"], json!(text));
        }
    }

    #[test]
    fn a_long_value_is_truncated_at_a_character() {
        for (text, max) in
            [("x", MAX_VALUE), ("é", MAX_VALUE / 2), ("\n", MAX_VALUE / 6), ("\u{e0041}", MAX_VALUE / 12)]
        {
            for more in [0, 1, 1_000_000] {
                let value = text.repeat(max + more);
                let line = logged(|| tracing::info!(other = 1, text = value, shown = %value, "{value}"));
                assert!(line.ends_with("\n") && line.len() < 4 * MAX_VALUE, "{}", line.len());
                let event: Value = serde_json::from_str(&line).unwrap();
                let wanted = if more == 0 { value } else { text.repeat(max) + "…" };
                for member in ["text", "shown", "message"] {
                    assert!(event[member] == json!(wanted), "{member} with {more} more: {}", line.len());
                }
                assert_eq!(event.get("cut"), (more > 0).then_some(&json!(true)));
                assert_eq!((&event["other"], &event["target"]), (&json!(1), &json!(module_path!())));
            }
        }
    }
}
