//! Lines on their way to standard error. That may be a pipe that nobody reads, and calls must go on all the same.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use tracing_subscriber::fmt::MakeWriter;

/// How many lines wait. A line is some hundred bytes.
const LINES: usize = 8_192;

/// How long the end of the program waits for whoever reads.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes lines without waiting. When too many are under way, more are lost, and counted. All clones are one.
#[derive(Clone)]
pub(super) struct Queue {
    sender: SyncSender<Message>,
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
        let (sender, receiver) = sync_channel(LINES);
        let lost = Arc::new(AtomicU64::new(0));
        let queue = Self { sender, lost: lost.clone() };
        thread::Builder::new().name("keyward-log".to_owned()).spawn(move || write(&receiver, sink, &lost, say))?;
        Ok(queue)
    }

    /// Waits until all that is under way has been written, but not for ever.
    pub(super) fn end(&self) {
        let until = Instant::now() + PATIENCE;
        let (done, ended) = sync_channel(1);
        let mut message = Message::End(done);
        while let Err(TrySendError::Full(back)) = self.sender.try_send(message) {
            if Instant::now() > until {
                return;
            }
            message = back;
            thread::sleep(Duration::from_millis(5));
        }
        let _ = ended.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

fn write(receiver: &Receiver<Message>, sink: impl Write, lost: &AtomicU64, say: impl Fn(u64)) {
    let mut sink = BufWriter::new(sink);
    let mut said = 0;
    while let Ok(message) = receiver.recv() {
        let mut next = Some(message);
        let mut done = None;
        while let Some(message) = next {
            match message {
                // If nobody is there to read any more, nobody is there to be told.
                Message::Line(line) => drop(sink.write_all(&line)),
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

impl Write for &Queue {
    /// A whole line at a time, as the log gives it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Message::Line(line.to_owned())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

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
        // More than the queue and the buffer behind it hold.
        let sent = 3 * LINES as u64;
        for number in 0..sent {
            (&queue).write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        queue.end();
        assert!(lost_lines.try_recv().is_err(), "it still blocks");

        drop(open);
        queue.end();
        let lost = lost_lines.recv().unwrap();
        assert!(lost_lines.try_recv().is_err(), "once");
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let numbers: Vec<u64> = written.lines().map(|line| line.parse().unwrap()).collect();
        assert!(lost > 0);
        assert_eq!(numbers.len() as u64 + lost, sent);
        assert!(numbers.is_sorted() && numbers.first() == Some(&0), "what is there is in order");
    }

    #[test]
    fn the_end_waits_for_what_is_under_way() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let (open, gate) = channel();
        drop(open);
        let queue = Queue::to(Gate { open: gate, written: written.clone() }, |_| panic!("nothing is lost")).unwrap();
        for _ in 0..100 {
            (&queue).write_all(b"line\n").unwrap();
        }
        queue.end();
        assert_eq!(written.lock().unwrap().len(), 500);
    }
}
