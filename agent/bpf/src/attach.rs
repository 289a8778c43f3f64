//! The classifier on interfaces: TCX links where the kernel has them (6.6), clsact filters below.
//!
//! A TCX link is pinned as `links/IFINDEX`. A clsact filter cannot be pinned, but lives with its interface; that it
//! is there is recorded as the directory `clsact/IFINDEX`. Either way a restarted agent finds what it had, and
//! replaces the program in place.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use aya::programs::links::Link as _;
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact,
};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};
use sluice_ebpf::names;
use tracing::{debug, warn};

use crate::{Fastpath, bpffs, sys};

/// Where the filter sits in its clsact chain; one place, so that a filter is replaced and never stacked.
const PRIORITY: u16 = 0x5c;
const HANDLE: TcHandle = TcHandle::new(0, 0x5c);

pub(crate) const LINKS: &str = "links";
pub(crate) const CLSACT: &str = "clsact";

/// By what means an interface has the classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attach {
    /// A pinned TCX link.
    Tcx,
    /// A direct-action filter of the clsact qdisc.
    Clsact,
}

/// An interface did not get, or did not lose, the classifier.
#[derive(Debug, thiserror::Error)]
#[error("interface {ifindex}: {call}: {source}")]
pub struct AttachError {
    /// The interface.
    pub ifindex: u32,
    /// What was tried.
    pub call: &'static str,
    /// What the kernel said.
    pub source: io::Error,
}

impl Fastpath {
    /// Puts the classifier on an interface, or replaces it there, atomically and without stacking. It stays when the
    /// agent ends.
    pub fn attach(&mut self, ifindex: u32, name: &str) -> Result<Attach, AttachError> {
        if self.prefer_clsact {
            return self.attach_clsact(ifindex, name);
        }
        match self.attach_tcx(ifindex) {
            Err(error) if error.source.raw_os_error() == Some(libc::EINVAL) => {
                self.attach_clsact(ifindex, name)
            }
            result => result,
        }
    }

    /// Takes the classifier off an interface; whether it was there.
    pub fn detach(&mut self, ifindex: u32) -> Result<bool, AttachError> {
        detach(&self.pins, ifindex)
    }

    /// Whether the classifier is where [`Fastpath::attach`] put it. A clsact filter, which nothing points to, is put in
    /// its own place again to find out.
    pub fn is_attached(
        &mut self,
        ifindex: u32,
        name: &str,
        attach: Attach,
    ) -> Result<bool, AttachError> {
        match attach {
            Attach::Tcx => Ok(pinned_link(&self.pins, ifindex)?.is_some()),
            Attach::Clsact => self.replace_clsact(ifindex, name),
        }
    }

    /// The interfaces that have the classifier, by index.
    pub fn attached(&self) -> Vec<(u32, Attach)> {
        attached(&self.pins)
    }

    /// Uses clsact even where the kernel has TCX; what is attached already stays as it is until it is attached
    /// again.
    pub fn prefer_clsact(&mut self) {
        self.prefer_clsact = true;
    }

    /// Replaces the program wherever an earlier one is attached, and forgets interfaces that are gone.
    pub(crate) fn adopt(&mut self) -> Result<(), AttachError> {
        for (ifindex, attach) in attached(&self.pins) {
            let adopted = match attach {
                Attach::Tcx => self.update_tcx(ifindex)?,
                Attach::Clsact => match interface_name(ifindex) {
                    Some(name) => self.replace_clsact(ifindex, &name)?,
                    None => false,
                },
            };
            if !adopted {
                debug!(ifindex, "the interface is gone");
                forget(&self.pins, ifindex).map_err(failed(ifindex, "unpin"))?;
            }
        }
        Ok(())
    }

    fn classifier(&mut self, ifindex: u32) -> Result<&mut SchedClassifier, AttachError> {
        let missing = || failed(ifindex, "program")(io::ErrorKind::NotFound.into());
        let name = if is_ethernet(ifindex) {
            names::TC
        } else {
            names::TC_ANY
        };
        let program = self.programs.program_mut(name).ok_or_else(missing)?;
        program.try_into().map_err(refused(ifindex, "program"))
    }

    fn attach_tcx(&mut self, ifindex: u32) -> Result<Attach, AttachError> {
        if self.update_tcx(ifindex)? {
            return Ok(Attach::Tcx);
        }
        let pin = link_pin(&self.pins, ifindex);
        bpffs::remove(&pin).map_err(failed(ifindex, "unpin"))?;
        let link = {
            let program = self
                .classifier(ifindex)?
                .fd()
                .map_err(refused(ifindex, "program"))?;
            sys::tcx_attach(program, ifindex).map_err(failed(ifindex, "attach"))?
        };
        fs::create_dir_all(self.pins.join(LINKS)).map_err(failed(ifindex, "pin"))?;
        sys::pin(link.as_fd(), &pin).map_err(failed(ifindex, "pin"))?;
        Ok(Attach::Tcx)
    }

    /// Replaces the program of a pinned link; false where there is no link, or its interface is gone.
    fn update_tcx(&mut self, ifindex: u32) -> Result<bool, AttachError> {
        let Some(link) = pinned_link(&self.pins, ifindex)? else {
            return Ok(false);
        };
        let program = self
            .classifier(ifindex)?
            .fd()
            .map_err(refused(ifindex, "program"))?;
        match sys::link_update(link.as_fd(), program) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => Ok(false),
            Err(error) => Err(failed(ifindex, "replace")(error)),
        }
    }

    fn attach_clsact(&mut self, ifindex: u32, name: &str) -> Result<Attach, AttachError> {
        // That it exists already is as good.
        if let Err(error) = qdisc_add_clsact(name) {
            debug!(ifindex, %error, "clsact was not added");
        }
        fs::create_dir_all(clsact_record(&self.pins, ifindex))
            .map_err(failed(ifindex, "record"))?;
        if !self.replace_clsact(ifindex, name)? {
            let options = TcAttachOptions::Netlink(NlOptions {
                priority: PRIORITY,
                handle: HANDLE,
                classid: None,
            });
            let program = self.classifier(ifindex)?;
            let id = program
                .attach_with_options(name, TcAttachType::Ingress, options)
                .map_err(refused(ifindex, "attach clsact"))?;
            keep(
                program
                    .take_link(id)
                    .map_err(refused(ifindex, "attach clsact"))?,
            );
        }
        // A link from before would run the program twice.
        detach_link(&self.pins, ifindex)?;
        Ok(Attach::Clsact)
    }

    /// Replaces the filter in its place; false where there is none.
    fn replace_clsact(&mut self, ifindex: u32, name: &str) -> Result<bool, AttachError> {
        let link = clsact_link(name).map_err(failed(ifindex, "replace clsact"))?;
        let program = self.classifier(ifindex)?;
        match program.attach_to_link(link) {
            Ok(id) => {
                keep(
                    program
                        .take_link(id)
                        .map_err(refused(ifindex, "replace clsact"))?,
                );
                Ok(true)
            }
            Err(error) => {
                debug!(ifindex, %error, "no filter to replace");
                Ok(false)
            }
        }
    }
}

/// The interfaces that have the classifier, by their pins.
pub(crate) fn attached(pins: &Path) -> Vec<(u32, Attach)> {
    let mut attached = Vec::new();
    for (directory, attach) in [(LINKS, Attach::Tcx), (CLSACT, Attach::Clsact)] {
        let names = bpffs::names(&pins.join(directory)).unwrap_or_else(|error| {
            warn!(directory, %error, "attachments cannot be listed");
            Vec::new()
        });
        attached.extend(
            names
                .iter()
                .filter_map(|name| Some((name.parse().ok()?, attach))),
        );
    }
    attached.sort_unstable_by_key(|&(ifindex, _)| ifindex);
    attached
}

/// Takes the classifier off an interface, by the pins alone; whether it was there.
pub(crate) fn detach(pins: &Path, ifindex: u32) -> Result<bool, AttachError> {
    let linked = detach_link(pins, ifindex)?;
    let record = clsact_record(pins, ifindex);
    if !record.exists() {
        return Ok(linked);
    }
    if let Some(name) = interface_name(ifindex) {
        let link = clsact_link(&name).map_err(failed(ifindex, "detach clsact"))?;
        if let Err(error) = link.detach() {
            debug!(ifindex, %error, "no filter to detach");
        }
    }
    fs::remove_dir(record).map_err(failed(ifindex, "record"))?;
    Ok(true)
}

/// Detaches for every holder of the link, then unpins it. Whoever may not ask for links, as a container of a mode without
/// eBPF, only unpins: a link that nobody holds ends with its pin.
fn detach_link(pins: &Path, ifindex: u32) -> Result<bool, AttachError> {
    match pinned_link(pins, ifindex) {
        Ok(Some(link)) => sys::link_detach(link.as_fd()).map_err(failed(ifindex, "detach"))?,
        Ok(None) => {}
        Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {
            debug!(ifindex, %error, "unpinned without a look");
        }
        Err(error) => return Err(error),
    }
    bpffs::remove(&link_pin(pins, ifindex)).map_err(failed(ifindex, "unpin"))
}

fn forget(pins: &Path, ifindex: u32) -> io::Result<()> {
    bpffs::remove(&link_pin(pins, ifindex))?;
    match fs::remove_dir(clsact_record(pins, ifindex)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The link pinned for an interface, unless it points elsewhere: an index is used again for another interface, and
/// a link whose interface is gone has none.
fn pinned_link(pins: &Path, ifindex: u32) -> Result<Option<OwnedFd>, AttachError> {
    let link = match sys::get(&link_pin(pins, ifindex)) {
        Ok(link) => link,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(ifindex, "open link")(error)),
    };
    let info = sys::link_info(link.as_fd()).map_err(failed(ifindex, "link info"))?;
    Ok((info.ifindex == ifindex).then_some(link))
}

fn link_pin(pins: &Path, ifindex: u32) -> PathBuf {
    pins.join(LINKS).join(ifindex.to_string())
}

fn clsact_record(pins: &Path, ifindex: u32) -> PathBuf {
    pins.join(CLSACT).join(ifindex.to_string())
}

fn clsact_link(name: &str) -> io::Result<SchedClassifierLink> {
    SchedClassifierLink::attached(name, TcAttachType::Ingress, PRIORITY, HANDLE, None)
}

/// Lets a filter outlive the value that stands for it.
fn keep(link: SchedClassifierLink) {
    #[expect(clippy::mem_forget, reason = "dropping it would detach the filter")]
    std::mem::forget(link);
}

/// Whether packets begin with an Ethernet header there. The program for any other also works on Ethernet, only
/// slower, so it is the answer where the interface cannot be asked.
fn is_ethernet(ifindex: u32) -> bool {
    interface_name(ifindex)
        .is_some_and(|name| sys::hardware_type(&name).is_ok_and(|kind| kind == libc::ARPHRD_ETHER))
}

fn interface_name(ifindex: u32) -> Option<String> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )
    .ok()?;
    rustix::net::netdevice::index_to_name(socket.as_fd(), ifindex).ok()
}

fn failed(ifindex: u32, call: &'static str) -> impl Fn(io::Error) -> AttachError {
    move |source| AttachError {
        ifindex,
        call,
        source,
    }
}

fn refused(ifindex: u32, call: &'static str) -> impl Fn(ProgramError) -> AttachError {
    move |error| {
        let source = match error {
            ProgramError::SyscallError(error) => error.io_error,
            error => io::Error::other(error),
        };
        AttachError {
            ifindex,
            call,
            source,
        }
    }
}
