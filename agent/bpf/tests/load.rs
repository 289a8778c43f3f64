//! Loading, pinning, adopting and removing, in mounts and interfaces of each test's own.

mod support;

use sluice_bpf::Fastpath;
use support::Ground;

#[test]
fn a_first_open_pins_programs_and_maps() {
    let Some(ground) = Ground::new("a_first_open_pins_programs_and_maps") else {
        return;
    };
    let fastpath = Fastpath::open(&ground.config()).unwrap_or_else(|error| panic!("{error:#?}"));
    let (pass, deny) = fastpath.gate_programs();
    assert!(pass.exists() && deny.exists());
}
