//! Replies of the kernel: whatever a datagram holds, it is taken apart without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sluice_netlink::fuzzing::replies(bytes));
