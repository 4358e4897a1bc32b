//! [`File`]: the bytes of one open file, at explicit offsets, and [`FileExt`]: whole reads and writes on top of it.
//!
//! There is no file position and no buffer: every call names its offset, so that threads may share a handle.

use crate::Mapping;
use std::fmt;
use std::io;

/// One open file. Handles may be used from several threads at once.
pub trait File: Send + Sync + fmt::Debug {
    /// Reads at most `buf.len()` bytes at `offset`; fewer at the end of the file, or whenever the system likes.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at most `buf.len()` bytes at `offset`, extending the file if need be; the number written may be smaller.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes all earlier writes to this file durable, its length included (`fdatasync`).
    ///
    /// # Errors
    /// After a failure nothing is known about any earlier write, and trying again proves nothing: the system may have
    /// dropped the data and report success.
    fn sync_data(&self) -> io::Result<()>;

    /// Like [`File::sync_data`], with all metadata (`fsync`).
    fn sync_all(&self) -> io::Result<()>;

    /// Asks the system to begin to write these bytes to the disk, and does not wait. A hint for whoever has more to write
    /// before it synchronises: then the disk is not idle meanwhile. It makes nothing durable, and takes no error away from
    /// [`File::sync_data`]; what goes wrong is told there. Does nothing where there is no such call.
    fn begin_writing(&self, _offset: u64, _len: u64) {}

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or extends it with zeros that take no space yet.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Maps the first `len` bytes of the file for reading; `len` may exceed the file's length, which reserves addresses
    /// into which the file can grow. Touching what lies beyond the end of the file kills the process (`SIGBUS`): see
    /// [`Mapping`].
    fn map(&self, len: u64) -> io::Result<Mapping>;
}

/// Whole reads and writes over any [`File`].
pub trait FileExt: File {
    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before the buffer is full; other errors as from [`File::read_at`]. Interrupted
    /// calls are repeated.
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, offset) {
                Ok(0) => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends early"));
                }
                Ok(n) => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Writes all of `buf` at `offset`.
    ///
    /// # Errors
    /// As from [`File::write_at`]; a part may have been written. Interrupted calls are repeated; a write of zero bytes
    /// is the error `WriteZero`.
    fn write_all_at(&self, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write_at(buf, offset) {
                Ok(0) => {
                    return Err(io::Error::new(io::ErrorKind::WriteZero, "the file takes no more bytes"));
                }
                Ok(n) => {
                    buf = &buf[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl<T: File + ?Sized> FileExt for T {}
