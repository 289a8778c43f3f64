//! What the privileged tests share: the question whether they can run, and pods behind a node, all in namespaces
//! without names, so that nothing outlives the test.
#![allow(dead_code, reason = "each test binary uses its part")]

/// Whether this process may make namespaces; says why the test does nothing if it may not.
pub fn privileged() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: making network namespaces needs root");
    }
    root
}
