//! Lines on their way to standard error. That may be a pipe that nobody reads, and calls must go on all the same.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// The target of the line that each decision is.
pub(super) const DECISION: &str = "keyward::decision";

/// How many bytes may wait.
const ROOM: usize = 4 << 20;

/// How many of them may be other lines than decisions: a handler that talks a lot must not push out who was let in.
const ROOM_FOR_OTHERS: usize = ROOM / 2;

/// How long lines gather before they are written: to wake the thread that writes for each of them would cost whoever logs
/// more than the line itself.
const GATHER: Duration = Duration::from_millis(5);

/// How long the end of the program waits for whoever reads.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes lines without waiting. When too many are under way, more are lost, and counted. All clones are one.
#[derive(Clone)]
pub(super) struct Queue {
    sender: Sender<Message>,
    /// Bytes that wait.
    waiting: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
}

enum Message {
    Line(Vec<u8>),
    /// Write all that is there, and say so.
    End(SyncSender<()>),
}

impl Queue {
    /// Starts the thread that writes. Once it has caught up, it calls `say` with how many lines were lost so far.
    pub(super) fn to(sink: impl Write + Send + 'static, say: impl Fn(u64) + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let (waiting, lost) = (Arc::<AtomicUsize>::default(), Arc::<AtomicU64>::default());
        let queue = Self { sender, waiting: waiting.clone(), lost: lost.clone() };
        let work = move || write(&receiver, sink, &waiting, &lost, say);
        thread::Builder::new().name("keyward-log".to_owned()).spawn(work)?;
        Ok(queue)
    }

    /// Waits until all that is under way has been written, but not for ever.
    pub(super) fn end(&self) {
        let (done, ended) = sync_channel(1);
        if self.sender.send(Message::End(done)).is_ok() {
            let _ = ended.recv_timeout(PATIENCE);
        }
    }

    /// Takes a line, if no more than `room` bytes wait with it.
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
                // If nobody is there to read any more, nobody is there to be told.
                Message::Line(line) => {
                    let _ = sink.write_all(&line);
                    waiting.fetch_sub(line.len(), Ordering::Relaxed);
                }
                Message::End(ended) => done = Some(ended),
            }
            next = receiver.try_recv().ok();
            // Now there is room for one line more, which says how many there were too few.
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

/// Where one event is written to.
pub(super) struct Writer<'a> {
    queue: &'a Queue,
    room: usize,
}

impl Write for Writer<'_> {
    /// A whole line at a time, as the log gives it.
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

    /// A sink that takes nothing before it is told to.
    struct Gate {
        open: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Once the other end is gone, it stands open.
            let _ = self.open.recv();
            self.written.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_sink_that_blocks_costs_lines_and_no_time() {
        let (open, gate) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (lost, lost_lines) = channel();
        let sink = Gate { open: gate, written: written.clone() };
        let queue = Queue::to(sink, move |lines| lost.send(lines).unwrap()).unwrap();
        // Far more than there is room for, and then what must not be lost for it.
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
        assert!(numbers.is_sorted() && numbers.first() == Some(&0), "what is there is in order");
        assert_eq!(numbers.last(), Some(&sent), "there was still room for decisions");
    }

    #[test]
    fn the_end_waits_for_what_is_under_way() {
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
