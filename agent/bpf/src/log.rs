//! The debug lines of the programs, for builds with the feature `log`.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use aya_log::EbpfLogger;

use crate::{Fastpath, LoadError};

/// Lines that the programs wrote and nobody read yet. Its descriptor is readable when there are some.
pub struct ProgramLog(EbpfLogger<&'static dyn log::Log>);

impl ProgramLog {
    /// Hands all lines to the `log` crate's logger, at the level debug.
    pub fn flush(&mut self) {
        self.0.flush();
    }
}

impl AsFd for ProgramLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for ProgramLog {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl fmt::Debug for ProgramLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProgramLog")
            .field(&self.as_raw_fd())
            .finish()
    }
}

impl Fastpath {
    /// The programs' debug lines. Can be taken once.
    pub fn log(&mut self) -> Result<ProgramLog, LoadError> {
        Ok(ProgramLog(EbpfLogger::init(&mut self.programs)?))
    }
}
