//! The one progress display: bytes on a terminal's stderr, silence elsewhere.

use std::io::{self, Read, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::context::Context;

/// A count of bytes on its way, shown after a moment so that short work shows nothing.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A display of `what`; of known length where `total` is given.
    pub(crate) fn bytes(context: &Context, what: &str, total: Option<u64>) -> Self {
        if !context.stderr_is_terminal {
            return Self { bar: ProgressBar::hidden() };
        }
        let (length, template) = match total {
            Some(total) => (total, "{msg} {bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}"),
            None => (0, "{msg} {binary_bytes} {binary_bytes_per_sec} {elapsed}"),
        };
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar }
    }

    /// Says how many bytes there will be, once that is known.
    pub(crate) fn expect(&self, total: Option<u64>) {
        if let Some(total) = total {
            self.bar.set_length(total);
        }
    }

    /// The writer, with what passes through counted.
    pub(crate) fn writer<W: Write>(&self, inner: W) -> Counted<W> {
        Counted { inner, bar: self.bar.clone() }
    }

    /// The reader, with what passes through counted.
    pub(crate) fn reader<R: Read>(&self, inner: R) -> Counted<R> {
        Counted { inner, bar: self.bar.clone() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A reader or writer whose bytes are counted on a [`Progress`].
#[derive(Debug)]
pub(crate) struct Counted<R> {
    inner: R,
    bar: ProgressBar,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bar.inc(count as u64);
        Ok(count)
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.bar.inc(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T> Counted<T> {
    /// What was counted on.
    pub(crate) fn into_inner(self) -> T {
        self.inner
    }
}
