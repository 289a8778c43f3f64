//! Limits of the process that the agent lifts for itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets the agent open as many file descriptors as its supervisor lets it: the soft limit is a thousand by custom, and
/// a node of many interfaces pins a link for each.
pub(crate) fn raise_open_files() -> rustix::io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return Ok(());
    }
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
}
