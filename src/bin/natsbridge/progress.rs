//! A progress bar for large files: for uploads as a file server around another one, for downloads as
//! a sink around another one.

use indicatif::{ProgressBar, ProgressStyle};
use natsbridge::adapter::Upload;
use natsbridge::adapter::{Body, FileServer, FileServerError, Sink, StreamError};

/// Smaller files are through before a bar is of use: 1 MiB.
const LARGE: u64 = 1 << 20;

/// Shows how far an upload is, if stderr is a terminal.
pub(crate) struct Progress<F> {
    inner: F,
}

impl<F> Progress<F> {
    /// The same file server, with a bar.
    pub(crate) fn new(inner: F) -> Self {
        Self { inner }
    }
}

impl<F: FileServer> FileServer for Progress<F> {
    fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        let bar = bar(dataname, body.len());
        let mut counted = CountedBody { body, bar: &bar };
        let uploaded = self.inner.upload(dataname, &mut counted);
        bar.finish_and_clear();
        uploaded
    }

    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        self.inner.download(url, limit, sink)
    }

    fn owns(&self, url: &str) -> bool {
        self.inner.owns(url)
    }

    fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
        self.inner.delete(upload)
    }
}

/// A bar draws to stderr, and only if that is a terminal.
fn bar(dataname: &str, len: u64) -> ProgressBar {
    if len < LARGE {
        return ProgressBar::hidden();
    }
    let template = "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}";
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    // The name may come from a peer, as with `serve --echo`, and must not control the terminal.
    let name = natsbridge::adapter::file_name(dataname);
    ProgressBar::new(len).with_style(style).with_message(name)
}

struct CountedBody<'b> {
    body: &'b mut dyn Body,
    bar: &'b ProgressBar,
}

impl Body for CountedBody<'_> {
    fn len(&self) -> u64 {
        self.body.len()
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        let count = self.body.read(out)?;
        self.bar.inc(count as u64);
        Ok(count)
    }

    fn rewind(&mut self) -> Result<(), StreamError> {
        self.bar.reset();
        self.body.rewind()
    }
}

/// A sink that shows how far a download is, if stderr is a terminal.
pub(crate) struct CountedSink<'s> {
    sink: &'s mut dyn Sink,
    bar: ProgressBar,
}

impl<'s> CountedSink<'s> {
    /// The same sink, with a bar if `len` says that much will come.
    pub(crate) fn new(sink: &'s mut dyn Sink, dataname: &str, len: u64) -> Self {
        let bar = bar(dataname, len);
        Self { sink, bar }
    }
}

impl Drop for CountedSink<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Sink for CountedSink<'_> {
    fn write(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
        self.bar.inc(chunk.len() as u64);
        self.sink.write(chunk)
    }

    fn reset(&mut self) -> Result<(), StreamError> {
        self.bar.reset();
        self.sink.reset()
    }
}
