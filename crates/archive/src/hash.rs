//! SHA-256 of a stream, beside the work that makes or reads it.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

/// Bytes after which a thread is worth its start: about 4 ms of hashing against about 50 microseconds.
const THREAD_AFTER: u64 = 4 << 20;

/// The bytes that are handed to the thread at once.
const PIECE: usize = 256 << 10;

/// Pieces on their way: enough that neither side waits for the other's short pauses.
const PIECES: usize = 4;

/// Hashes what it is given; long streams on a thread of their own, so that hashing overlaps with reading and writing.
#[derive(Debug, Default)]
pub struct StreamHasher {
    hasher: Sha256,
    count: u64,
    worker: Option<Worker>,
    /// No thread could be had, or none is wanted.
    alone: bool,
}

/// The thread and its two channels. It never outlives its owner, since other parts of a process may need it to have
/// one thread only: both are there until [`Worker::end`].
#[derive(Debug)]
struct Worker {
    piece: Vec<u8>,
    full: Option<SyncSender<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<Sha256>>,
}

impl StreamHasher {
    /// A hasher that starts a thread for a long stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A hasher that never starts a thread.
    #[must_use]
    pub fn on_this_thread() -> Self {
        Self { alone: true, ..Self::default() }
    }

    /// Bytes hashed so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Hashes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.count += bytes.len() as u64;
        let short = self.alone || self.count < THREAD_AFTER;
        if self.worker.is_none() && (short || !self.start()) {
            self.hasher.update(bytes);
            return;
        }
        let Some(worker) = &mut self.worker else { return };
        while !bytes.is_empty() {
            let take = bytes.len().min(PIECE - worker.piece.len());
            worker.piece.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if worker.piece.len() == PIECE {
                worker.hand_over();
            }
        }
    }

    /// Moves the state to a new thread; false where there is none to be had.
    fn start(&mut self) -> bool {
        let (full, jobs) = sync_channel::<Vec<u8>>(PIECES);
        let (done, empty) = sync_channel::<Vec<u8>>(PIECES + 1);
        let mut hasher = std::mem::take(&mut self.hasher);
        let kept = hasher.clone();
        let thread = std::thread::Builder::new().name("hash".into()).spawn(move || {
            for mut piece in jobs {
                hasher.update(&piece);
                piece.clear();
                // Nobody takes it back at the very end.
                let _ = done.try_send(piece);
            }
            hasher
        });
        match thread {
            Ok(thread) => {
                let (full, thread) = (Some(full), Some(thread));
                self.worker = Some(Worker { piece: Vec::with_capacity(PIECE), full, empty, thread });
                true
            }
            Err(_) => {
                // No more threads for this process: slower, but not an error.
                self.hasher = kept;
                self.alone = true;
                false
            }
        }
    }

    /// The digest of all bytes.
    #[must_use]
    pub fn finish(mut self) -> [u8; 32] {
        if let Some(mut worker) = self.worker.take() {
            worker.hand_over();
            self.hasher = worker.end().expect("the thread only hashes, which does not panic");
        }
        self.hasher.finalize().into()
    }
}

impl Worker {
    fn hand_over(&mut self) {
        let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE));
        let piece = std::mem::replace(&mut self.piece, next);
        let sent = self.full.as_ref().map(|full| full.send(piece));
        assert!(matches!(sent, Some(Ok(()))), "the thread lives as long as its sender, since hashing does not panic");
    }

    /// Waits for the end of the thread; its state, once.
    fn end(&mut self) -> Option<Sha256> {
        self.full = None;
        self.thread.take()?.join().ok()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

/// Passes bytes on and hashes them: the two ends of a stream's journey.
#[derive(Debug)]
pub struct Hashing<T> {
    inner: T,
    hasher: StreamHasher,
}

impl<T> Hashing<T> {
    /// Hashes what passes to or from `inner`.
    pub fn new(inner: T) -> Self {
        Self { inner, hasher: StreamHasher::new() }
    }

    /// What the bytes pass to or from.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Bytes that passed so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.hasher.count()
    }

    /// What the bytes passed to or from, their sha256 and their number.
    pub fn finish(self) -> (T, [u8; 32], u64) {
        let count = self.hasher.count();
        (self.inner, self.hasher.finish(), count)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(target)?;
        self.hasher.update(&target[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_changes_nothing() {
        let bytes: Vec<u8> = (0..(THREAD_AFTER + 3 * PIECE as u64 + 7)).map(|i| ((i * i) >> 7) as u8).collect();
        let lengths =
            [0, 1, PIECE, THREAD_AFTER as usize - 1, THREAD_AFTER as usize, THREAD_AFTER as usize + 1, bytes.len()];
        for length in lengths {
            for step in [1 << 12, PIECE, 1 << 20, usize::MAX] {
                let mut hasher = StreamHasher::new();
                let mut alone = StreamHasher::on_this_thread();
                for piece in bytes[..length].chunks(step) {
                    hasher.update(piece);
                    alone.update(piece);
                }
                assert_eq!(hasher.count(), length as u64);
                let expected: [u8; 32] = Sha256::digest(&bytes[..length]).into();
                assert_eq!((hasher.finish(), alone.finish()), (expected, expected), "{length} in steps of {step}");
            }
        }
    }
}
