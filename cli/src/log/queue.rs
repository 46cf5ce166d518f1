//! The queue of log lines for standard error, so that calls continue even if it is a pipe that is
//! not being read.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// The target of the lines of decisions.
pub(super) const DECISION: &str = "keyward::decision";

/// Maximum number of bytes in the queue.
const ROOM: usize = 4 << 20;

/// Maximum number of bytes in the queue at which lines other than decisions are accepted, so that a
/// verbose handler does not displace decisions.
const ROOM_FOR_OTHERS: usize = ROOM / 2;

/// Time for which lines are collected before they are written. Waking the writing thread for each
/// line would cost more than the line itself.
const GATHER: Duration = Duration::from_millis(5);

/// Maximum time that the end of the program waits for queued lines to be written.
const PATIENCE: Duration = Duration::from_secs(1);

/// A queue that accepts lines without waiting. If it is full, lines are dropped and counted. All
/// clones share one queue.
#[derive(Clone)]
pub(super) struct Queue {
    sender: Sender<Message>,
    /// Number of bytes in the queue.
    waiting: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
}

enum Message {
    Line(Vec<u8>),
    /// A request to write all queued lines, then to confirm.
    End(SyncSender<()>),
}

impl Queue {
    /// Starts the writing thread. Once it has caught up after a loss, it calls `say` with the total
    /// number of dropped lines.
    pub(super) fn to(sink: impl Write + Send + 'static, say: impl Fn(u64) + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let (waiting, lost) = (Arc::<AtomicUsize>::default(), Arc::<AtomicU64>::default());
        let queue = Self { sender, waiting: waiting.clone(), lost: lost.clone() };
        let work = move || write(&receiver, sink, &waiting, &lost, say);
        thread::Builder::new().name("keyward-log".to_owned()).spawn(work)?;
        Ok(queue)
    }

    /// Waits until all queued lines have been written, for at most [`PATIENCE`].
    pub(super) fn end(&self) {
        let (done, ended) = sync_channel(1);
        if self.sender.send(Message::End(done)).is_ok() {
            let _ = ended.recv_timeout(PATIENCE);
        }
    }

    /// Queues a line, unless the queue would then exceed `room` bytes.
    fn put(&self, line: &[u8], room: usize) {
        let waiting = self.waiting.fetch_add(line.len(), Ordering::Relaxed).saturating_add(line.len());
        if waiting > room || self.sender.send(Message::Line(line.to_owned())).is_err() {
            self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(receiver: &Receiver<Message>, sink: impl Write, waiting: &AtomicUsize, lost: &AtomicU64, say: impl Fn(u64)) {
    let mut sink = BufWriter::new(sink);
    let mut said = 0;
    while let Ok(message) = receiver.recv() {
        thread::sleep(GATHER);
        let mut next = Some(message);
        let mut done = None;
        while let Some(message) = next {
            match message {
                // If standard error is closed, the error cannot be reported anywhere.
                Message::Line(line) => {
                    let _ = sink.write_all(&line);
                    waiting.fetch_sub(line.len(), Ordering::Relaxed);
                }
                Message::End(ended) => done = Some(ended),
            }
            next = receiver.try_recv().ok();
            // The queue is empty, so it has room for a line with the number of dropped ones.
            let so_far = lost.load(Ordering::Relaxed);
            if next.is_none() && so_far > said {
                said = so_far;
                say(so_far);
                next = receiver.try_recv().ok();
            }
        }
        let _ = sink.flush();
        if let Some(done) = done {
            let _ = done.send(());
        }
    }
}

/// A writer for one event.
pub(super) struct Writer<'a> {
    queue: &'a Queue,
    room: usize,
}

impl Write for Writer<'_> {
    /// Queues a line. The log passes whole lines.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.put(line, self.room);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Writer<'a>;

    fn make_writer(&'a self) -> Writer<'a> {
        Writer { queue: self, room: ROOM_FOR_OTHERS }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Writer<'a> {
        Writer { queue: self, room: if event.target() == DECISION { ROOM } else { ROOM_FOR_OTHERS } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A sink that blocks until its gate is opened.
    struct Gate {
        open: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Once the sender is dropped, the gate is open.
            let _ = self.open.recv();
            self.written.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_blocked_sink_drops_lines_and_blocks_no_caller() {
        let (open, gate) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (lost, lost_lines) = channel();
        let sink = Gate { open: gate, written: written.clone() };
        let queue = Queue::to(sink, move |lines| lost.send(lines).unwrap()).unwrap();
        // Far more lines than fit, and then a decision, which must not be dropped.
        let line = |number: u64| format!("{number:01000}\n");
        let sent = 20_000;
        for number in 0..sent {
            queue.put(line(number).as_bytes(), ROOM_FOR_OTHERS);
        }
        queue.put(line(sent).as_bytes(), ROOM);
        queue.end();
        assert!(lost_lines.try_recv().is_err(), "it still blocks");

        drop(open);
        queue.end();
        let lost = lost_lines.recv().unwrap();
        assert!(lost_lines.try_recv().is_err(), "once");
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let numbers: Vec<u64> = written.lines().map(|line| line.parse().unwrap()).collect();
        assert!(lost > sent / 2, "{lost}");
        assert_eq!(numbers.len() as u64 + lost, sent + 1);
        assert!(numbers.is_sorted() && numbers.first() == Some(&0), "the lines are in order");
        assert_eq!(numbers.last(), Some(&sent), "there was still room for decisions");
    }

    #[test]
    fn the_end_waits_for_queued_lines() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let (open, gate) = channel();
        drop(open);
        let queue = Queue::to(Gate { open: gate, written: written.clone() }, |_| panic!("nothing is lost")).unwrap();
        for _ in 0..100 {
            queue.put(b"line\n", ROOM_FOR_OTHERS);
        }
        queue.end();
        assert_eq!(written.lock().unwrap().len(), 500);
    }
}
