//! What the agent gives up as it starts: it runs no other program and looks into no other process, so whoever takes it
//! over shall not either. The kernel sees to that, whatever profile the agent was started under.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// What the calling thread, and all that it starts from then on, cannot call any more.
const GIVEN_UP: [i64; 5] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
];

/// Gives up running programs and looking into processes, for good: these calls fail with EPERM.
///
/// # Errors
/// Where the kernel has no seccomp filters.
pub fn forbid_programs() -> anyhow::Result<()> {
    let rules: BTreeMap<_, _> = GIVEN_UP.map(|call| (call, Vec::new())).into();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.cast_unsigned()),
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(apply_filter(&BpfProgram::try_from(filter)?)?)
}
