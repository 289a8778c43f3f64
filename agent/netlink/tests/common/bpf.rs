//! Two constant socket filters, pinned on a bpffs that only the calling thread sees.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::UnshareFlags;

/// `BPF_PROG_LOAD`, `BPF_OBJ_PIN`, `BPF_PROG_TYPE_SOCKET_FILTER`.
const LOAD: libc::c_long = 5;
const PIN: libc::c_long = 6;
const SOCKET_FILTER: u32 = 1;

/// The pinned programs.
pub struct Programs {
    directory: tempfile::TempDir,
}

impl Programs {
    /// Moves the calling thread into a mount namespace of its own. `pass` and `deny` are what the programs answer.
    pub fn pin(pass: bool, deny: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // SAFETY: the table of file descriptors stays shared.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
        mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )
        .unwrap();
        mount("bpf", directory.path(), "bpf", MountFlags::empty(), None).unwrap();
        let programs = Self { directory };
        pin(&load(pass).unwrap(), &programs.pass()).unwrap();
        pin(&load(deny).unwrap(), &programs.deny()).unwrap();
        programs
    }

    pub fn pass(&self) -> PathBuf {
        self.directory.path().join("gate_pass")
    }

    pub fn deny(&self) -> PathBuf {
        self.directory.path().join("gate_deny")
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        rustix::mount::unmount(self.directory.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

/// `r0 = answer; exit`.
fn load(answer: bool) -> io::Result<OwnedFd> {
    let instructions: [[u8; 8]; 2] = [
        [0xb7, 0, 0, 0, u8::from(answer), 0, 0, 0],
        [0x95, 0, 0, 0, 0, 0, 0, 0],
    ];
    let mut attributes = Vec::new();
    attributes.extend_from_slice(&SOCKET_FILTER.to_ne_bytes());
    attributes.extend_from_slice(&2u32.to_ne_bytes());
    attributes.extend_from_slice(&(instructions.as_ptr() as u64).to_ne_bytes());
    attributes.extend_from_slice(&(c"GPL".as_ptr() as u64).to_ne_bytes());
    let fd = bpf(LOAD, attributes)?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap()) })
}

fn pin(program: &OwnedFd, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = Vec::new();
    attributes.extend_from_slice(&(path.as_ptr() as u64).to_ne_bytes());
    attributes.extend_from_slice(&program.as_raw_fd().to_ne_bytes());
    bpf(PIN, attributes).map(drop)
}

fn bpf(command: libc::c_long, mut attributes: Vec<u8>) -> io::Result<libc::c_long> {
    attributes.resize(128, 0);
    // SAFETY: the attributes are a zero-extended `union bpf_attr` whose pointers outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_ptr(),
            attributes.len(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
