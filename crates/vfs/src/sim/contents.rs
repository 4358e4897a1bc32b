//! The calls of [`State`] that concern the bytes of an open file: read, write, cut, synchronise, map.

use super::fault::{Call, Fault};
use super::ops::{Inode, Op};
use super::state::State;
use super::tree::errno;
use std::io;
use std::sync::Arc;

/// The greatest offset that a file can have.
const MAX_OFFSET: u64 = i64::MAX as u64;

impl State {
    pub(super) fn read_at(&mut self, inode: Inode, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let n = self.transfer(Call::Read, buf.len())?;
        if offset > MAX_OFFSET {
            return Err(errno(libc::EINVAL));
        }
        self.live(inode)?.memory.read(&mut buf[..n], offset)
    }

    pub(super) fn write_at(&mut self, inode: Inode, writable: bool, buf: &[u8], offset: u64) -> io::Result<usize> {
        let n = self.transfer(Call::Write, buf.len())?;
        if offset > MAX_OFFSET {
            return Err(errno(libc::EINVAL));
        }
        if !writable {
            return Err(errno(libc::EBADF));
        }
        if n > 0 {
            if offset + n as u64 > MAX_OFFSET {
                return Err(errno(libc::EFBIG));
            }
            self.write_all(inode, offset, &buf[..n])?;
        }
        Ok(n)
    }

    pub(super) fn write_all(&mut self, inode: Inode, offset: u64, data: &[u8]) -> io::Result<()> {
        self.live(inode)?.memory.write_all(data, offset)?;
        self.log.push(Op::Write { inode, offset, data: Arc::from(data) });
        Ok(())
    }

    pub(super) fn set_len(&mut self, inode: Inode, writable: bool, len: u64) -> io::Result<()> {
        self.call(Call::SetLen)?;
        if !writable || len > MAX_OFFSET {
            return Err(errno(libc::EINVAL));
        }
        self.cut(inode, len)
    }

    pub(super) fn cut(&mut self, inode: Inode, len: u64) -> io::Result<()> {
        self.live(inode)?.memory.set_len(len)?;
        self.log.push(Op::SetLen { inode, len });
        Ok(())
    }

    pub(super) fn len(&mut self, inode: Inode) -> io::Result<u64> {
        self.call(Call::Len)?;
        self.live(inode)?.memory.len()
    }

    pub(super) fn sync(&mut self, inode: Inode) -> io::Result<()> {
        match self.faults.count(Call::Sync) {
            None => {
                self.log.push(Op::Sync { inode });
                Ok(())
            }
            Some(Fault::SyncLies) => Ok(()),
            Some(fault) => {
                if fault == Fault::SyncFailsClean {
                    self.log.push(Op::SyncLost { inode });
                }
                Err(fault.error())
            }
        }
    }

    pub(super) fn map(&mut self, inode: Inode, len: u64) -> io::Result<crate::Mapping> {
        self.call(Call::Map)?;
        self.live(inode)?.memory.map(len)
    }
}
