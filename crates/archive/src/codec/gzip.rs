//! gzip with the same bytes for any number of threads and any sizes of writes.
//!
//! The input is cut into blocks of [`BLOCK`] bytes. Each is compressed on its own and ends with a full flush, as
//! `pigz --independent` does; the last one, which may be empty, ends the only member. Readers that stop at the end of
//! the first member therefore see all of it.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use flate2::{Compress, Crc, FlushCompress, Status};

/// The bytes that are compressed on their own. Part of what makes the output repeatable: another size is another format.
pub(super) const BLOCK: usize = 1 << 20;

/// No name, no time, an unknown system. Spec: RFC 1952, 2.3.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

struct Job {
    block: Vec<u8>,
    last: bool,
    done: SyncSender<io::Result<Vec<u8>>>,
}

pub(super) struct GzipEncoder<W> {
    sink: W,
    level: flate2::Compression,
    block: Vec<u8>,
    crc: Crc,
    /// The length modulo 2^32, as the trailer wants it.
    length: u32,
    started: bool,
    /// Compresses here, where there are no threads.
    compressor: Compress,
    pool: Option<Pool>,
}

/// The threads; they never outlive their owner.
struct Pool {
    /// There until the end.
    jobs: Option<SyncSender<Job>>,
    /// Results in the order of the blocks.
    results: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    threads: Vec<JoinHandle<()>>,
}

impl<W: Write> GzipEncoder<W> {
    pub(super) fn new(sink: W, level: u32, workers: u32) -> Self {
        let level = flate2::Compression::new(level.min(9));
        Self {
            sink,
            level,
            block: Vec::with_capacity(BLOCK),
            crc: Crc::new(),
            length: 0,
            started: false,
            compressor: Compress::new(level, false),
            pool: (workers > 1).then(|| Pool::start(level, workers)).flatten(),
        }
    }

    fn start(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.started, true) {
            self.sink.write_all(&HEADER)?;
        }
        Ok(())
    }

    fn emit(&mut self, last: bool) -> io::Result<()> {
        self.start()?;
        self.crc.update(&self.block);
        self.length = self.length.wrapping_add(self.block.len() as u32);
        let Some(pool) = &mut self.pool else {
            let compressed = compress(&mut self.compressor, &self.block, last)?;
            self.block.clear();
            return self.sink.write_all(&compressed);
        };
        let (done, result) = sync_channel(1);
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        let sent = pool.jobs.as_ref().map(|jobs| jobs.send(Job { block, last, done }));
        if !matches!(sent, Some(Ok(()))) {
            return Err(lost());
        }
        pool.results.push_back(result);
        let keep = if last { 0 } else { pool.threads.len() + 1 };
        while pool.results.len() > keep {
            let Some(result) = pool.results.pop_front() else { break };
            self.sink.write_all(&result.recv().map_err(|_| lost())??)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.emit(true)?;
        self.sink.write_all(&self.crc.sum().to_le_bytes())?;
        self.sink.write_all(&self.length.to_le_bytes())?;
        Ok(self.sink)
    }

    pub(super) fn get_ref(&self) -> &W {
        &self.sink
    }

    pub(super) fn level(&self) -> u32 {
        self.level.level()
    }
}

impl<W: Write> Write for GzipEncoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full block waits for one more byte: only then it is not the last one.
        if self.block.len() == BLOCK && !bytes.is_empty() {
            self.emit(false)?;
        }
        let take = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..take]);
        Ok(take)
    }

    /// Passes on what is complete; a block under way stays, since the output may not depend on flushes.
    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl Pool {
    /// `None` where no thread can be had.
    fn start(level: flate2::Compression, workers: u32) -> Option<Self> {
        let (jobs, queue) = sync_channel::<Job>(workers as usize);
        let queue = Arc::new(Mutex::new(queue));
        let threads: Vec<_> = (0..workers)
            .map_while(|_| {
                let queue = Arc::clone(&queue);
                let run = move || work(level, &queue);
                std::thread::Builder::new().name("gzip".into()).spawn(run).ok()
            })
            .collect();
        (!threads.is_empty()).then(|| Self { jobs: Some(jobs), results: VecDeque::new(), threads })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // Whether one panicked is known already, from the block that it did not give back.
            let _ = thread.join();
        }
    }
}

fn work(level: flate2::Compression, queue: &Mutex<Receiver<Job>>) {
    let mut compressor = Compress::new(level, false);
    loop {
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(Job { block, last, done }) = job else { return };
        // Nobody waits where the encoder was dropped after an error.
        let _ = done.send(compress(&mut compressor, &block, last));
    }
}

/// Compresses one block from a fresh state.
fn compress(compressor: &mut Compress, block: &[u8], last: bool) -> io::Result<Vec<u8>> {
    compressor.reset();
    let flush = if last { FlushCompress::Finish } else { FlushCompress::Full };
    let mut out = Vec::with_capacity(block.len() / 2 + 1024);
    loop {
        let used = usize::try_from(compressor.total_in()).unwrap_or(usize::MAX);
        let status = compressor.compress_vec(block.get(used..).unwrap_or_default(), &mut out, flush)?;
        // A flush is complete when it leaves room.
        let complete = match flush {
            FlushCompress::Finish => status == Status::StreamEnd,
            _ => compressor.total_in() == block.len() as u64 && out.len() < out.capacity(),
        };
        if complete {
            return Ok(out);
        }
        out.reserve(BLOCK / 4);
    }
}

fn lost() -> io::Error {
    io::Error::other("a compression thread ended early")
}
