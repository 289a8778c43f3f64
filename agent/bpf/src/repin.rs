//! Pins that somebody removed while the agent runs: what they stood for is still held, and is pinned again.

use std::os::fd::AsFd as _;

use sluice_ebpf::names;

use crate::{Fastpath, LoadError, bpffs, sys};

impl Fastpath {
    /// Pins again what is pinned no more, and says what that was. Rules name programs by their pins: without them, no
    /// gate can be put back.
    pub fn repin(&mut self) -> Result<Vec<&'static str>, LoadError> {
        bpffs::prepare(&self.pins)?;
        let mut objects = self.maps.descriptors().to_vec();
        for name in names::PROGRAMS {
            let program = self.programs.program(name).ok_or(LoadError::NoObject)?;
            let descriptor = program.fd().map_err(|source| LoadError::Program {
                name,
                source: Box::new(source),
            })?;
            objects.push((name, descriptor.as_fd()));
        }
        let mut missing = Vec::new();
        for (name, descriptor) in objects {
            let path = self.pins.join(name);
            if !path.exists() {
                sys::pin(descriptor, &path).map_err(|source| LoadError::Pin { path, source })?;
                missing.push(name);
            }
        }
        Ok(missing)
    }
}
