//! Hands packets to the other pod's link, as a router would have: with its own addresses, and one hop less.

use core::mem::zeroed;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{
    BPF_F_RECOMPUTE_CSUM, TC_ACT_SHOT, bpf_check_mtu_flags::BPF_MTU_CHK_SEGS, bpf_fib_lookup,
};
use aya_ebpf::helpers::{
    bpf_check_mtu, bpf_fib_lookup as fib_lookup, bpf_redirect_peer, bpf_skb_store_bytes,
};
use sluice_ebpf::{Bytes, Family, Packet, one_hop};

use crate::skb::{ETHERNET, Skb};

/// Hands the packet over to the pod behind `output`, where the kernel would send it there as well, knows its neighbour,
/// and would cut nothing up; the classifier's answer then.
#[inline(always)]
pub(crate) fn hand_over(
    skb: &Skb,
    bytes: &impl Bytes,
    family: Family,
    packet: &Packet,
    output: u32,
) -> Option<i32> {
    if !skb.is_for_us() {
        return None;
    }
    let offset = match family {
        Family::V4 => 8,
        Family::V6 => 4,
    };
    let [word] = bytes.load::<1>(offset)?;
    let word = one_hop(family, word.to_ne_bytes())?;
    let route = route(skb, family, packet)?;
    if route.ifindex != output || !fits(skb, output) {
        return None;
    }
    let mut ends = [0; 12];
    ends[..6].copy_from_slice(&route.dmac);
    ends[6..].copy_from_slice(&route.smac);
    if !store(skb, 0, &ends, 0) {
        return None;
    }
    // The sum of an IPv4 header is what it was.
    let sum = match family {
        Family::V4 => 0,
        Family::V6 => u64::from(BPF_F_RECOMPUTE_CSUM),
    };
    if !store(skb, ETHERNET as u32 + offset, &word, sum) {
        return Some(TC_ACT_SHOT);
    }
    // Marks do not cross namespaces.
    skb.set_mark(0);
    // SAFETY: no pointers.
    Some(unsafe { bpf_redirect_peer(output, 0) } as i32)
}

/// What the kernel's own routing says, with the neighbour's address; none where it would do anything but send.
#[inline(always)]
fn route(skb: &Skb, family: Family, packet: &Packet) -> Option<bpf_fib_lookup> {
    // SAFETY: integers and arrays of integers.
    let mut route: bpf_fib_lookup = unsafe { zeroed() };
    route.ifindex = skb.interface();
    route.l4_protocol = packet.transport.number();
    route.sport = packet.source_port.to_be();
    route.dport = packet.destination_port.to_be();
    match family {
        Family::V4 => {
            route.family = 2;
            route.__bindgen_anon_3.ipv4_src = packet.source.ipv4_word();
            route.__bindgen_anon_4.ipv4_dst = packet.destination.ipv4_word();
        }
        Family::V6 => {
            route.family = 10;
            route.__bindgen_anon_3.ipv6_src = packet.source.words();
            route.__bindgen_anon_4.ipv6_dst = packet.destination.words();
        }
    }
    let size = size_of::<bpf_fib_lookup>() as i32;
    // SAFETY: the context is the kernel's, and `route` has `size` bytes.
    let answer = unsafe { fib_lookup(skb.as_ptr(), &raw mut route, size, 0) };
    (answer == 0).then_some(route)
}

/// Whether the segments of a large packet fit into the link; of any other the routing has told.
#[inline(always)]
fn fits(skb: &Skb, output: u32) -> bool {
    if !skb.is_segmented() {
        return true;
    }
    let mut largest = 0;
    // SAFETY: the context is the kernel's, and `largest` a word.
    let answer = unsafe {
        let segments = u64::from(BPF_MTU_CHK_SEGS);
        bpf_check_mtu(skb.as_ptr(), output, &raw mut largest, 0, segments)
    };
    answer == 0
}

#[inline(always)]
fn store<const N: usize>(skb: &Skb, offset: u32, bytes: &[u8; N], flags: u64) -> bool {
    // SAFETY: the context is the kernel's, and `bytes` has `N` bytes.
    let answer = unsafe {
        bpf_skb_store_bytes(
            skb.as_ptr().cast(),
            offset,
            bytes.as_ptr().cast(),
            N as u32,
            flags,
        )
    };
    answer == 0
}
