//! The two primitives that differ between kernels, as expressions: the queue, and the call of a pinned program. xtables
//! extensions are C structures, padded to `XT_ALIGN`, which is 8 bytes.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::QueueVerb;
use crate::Error;
use crate::nft::{Expression, Extension};

/// `NFQ_FLAG_BYPASS` and `NFT_QUEUE_FLAG_BYPASS`: accept where nobody listens.
const BYPASS: u16 = 1;
/// `NFQ_FLAG_CPU_FANOUT` and `NFT_QUEUE_FLAG_CPU_FANOUT`: the CPU chooses the queue.
const FANOUT: u16 = 2;
/// `XT_BPF_MODE_PATH_PINNED`.
const PINNED: u16 = 1;
/// `XT_BPF_PATH_MAX`, the NUL included.
const PATH: usize = 512;

/// Hands packets to `count` queues from `first` on.
pub(super) fn queue(verb: QueueVerb, first: u16, count: u16, bypass: bool) -> Expression {
    let flags = if bypass { BYPASS } else { 0 } | if count > 1 { FANOUT } else { 0 };
    match verb {
        QueueVerb::Nft => Expression::Queue {
            first,
            total: count,
            flags,
        },
        QueueVerb::Xt => {
            // struct xt_NFQ_info_v3, six bytes of eight
            let info = [first, count, flags, 0]
                .into_iter()
                .flat_map(u16::to_ne_bytes)
                .collect();
            Expression::Target(Extension {
                name: c"NFQUEUE",
                revision: 3,
                info,
            })
        }
    }
}

/// Asks the socket filter pinned at `program`.
pub(super) fn bpf(program: &Path) -> Result<Expression, Error> {
    let path = program.as_os_str().as_bytes();
    if path.len() >= PATH || path.contains(&0) {
        let why = format!(
            "{} is longer than {} bytes, or contains a NUL",
            program.display(),
            PATH - 1
        );
        return Err(Error::Argument {
            what: "bpf program",
            why,
        });
    }
    // struct xt_bpf_info_v1: mode, instructions (none), descriptor (none), path, and a pointer that is the kernel's
    let mut info = Vec::with_capacity(8 + PATH + 8);
    info.extend_from_slice(&PINNED.to_ne_bytes());
    info.extend_from_slice(&0u16.to_ne_bytes());
    info.extend_from_slice(&(-1i32).to_ne_bytes());
    info.extend_from_slice(path);
    info.resize(8 + PATH + 8, 0);
    Ok(Expression::Match(Extension {
        name: c"bpf",
        revision: 1,
        info,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_have_the_kernels_layout() {
        let Expression::Target(queue) = queue(QueueVerb::Xt, 0x0102, 3, true) else {
            panic!("no target")
        };
        assert_eq!(
            queue.info,
            [0x0102u16, 3, BYPASS | FANOUT, 0]
                .map(u16::to_ne_bytes)
                .concat()
        );
        let Expression::Match(bpf) = bpf(Path::new("/p")).unwrap() else {
            panic!("no match")
        };
        assert_eq!(bpf.info.len(), 528);
        assert_eq!(
            bpf.info[..11],
            [
                &1u16.to_ne_bytes()[..],
                &[0, 0, 255, 255, 255, 255],
                b"/p\0"
            ]
            .concat()
        );
    }

    #[test]
    fn one_queue_needs_no_fanout() {
        let expected = Expression::Queue {
            first: 7,
            total: 1,
            flags: 0,
        };
        assert_eq!(queue(QueueVerb::Nft, 7, 1, false), expected);
    }
}
