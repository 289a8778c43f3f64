//! The packet in the kernel's hands.

use core::arch::asm;
use core::mem::{MaybeUninit, offset_of};

use aya_ebpf::bindings::{__sk_buff, bpf_hdr_start_off};
use aya_ebpf::helpers::{bpf_skb_load_bytes, bpf_skb_load_bytes_relative, bpf_skb_pull_data};
use sluice_ebpf::Bytes;

/// The context of a program.
pub(crate) struct Skb {
    raw: *mut __sk_buff,
}

/// Reads from the network header on, where the packet begins before it.
pub(crate) struct AtNetwork<'s>(&'s Skb);

/// Reads from the start, where the packet begins with its network header.
pub(crate) struct AtStart<'s>(&'s Skb);

impl Skb {
    #[inline(always)]
    pub(crate) const fn new(raw: *mut __sk_buff) -> Self {
        Self { raw }
    }

    /// Host order.
    #[inline(always)]
    pub(crate) fn ethertype(&self) -> u16 {
        // SAFETY: the kernel gave the context to this program.
        let [low, high, ..] = unsafe { (*self.raw).protocol }.to_ne_bytes();
        u16::from_be_bytes([low, high])
    }

    #[inline(always)]
    pub(crate) fn is_tagged(&self) -> bool {
        // SAFETY: as above.
        unsafe { (*self.raw).vlan_present != 0 }
    }

    #[inline(always)]
    pub(crate) fn mark(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.raw).mark }
    }

    #[inline(always)]
    pub(crate) fn set_mark(&self, mark: u32) {
        // The verifier wants the offset in the instruction; the compiler would share an address with the read.
        // SAFETY: as above, and classifiers may write the mark.
        unsafe {
            asm!(
                "*(u32 *)({skb} + {at}) = {mark}",
                skb = in(reg) self.raw,
                at = const offset_of!(__sk_buff, mark),
                mark = in(reg) u64::from(mark),
                options(nostack),
            );
        }
    }

    #[inline(always)]
    pub(crate) const fn at_network(&self) -> AtNetwork<'_> {
        AtNetwork(self)
    }

    #[inline(always)]
    pub(crate) const fn at_start(&self) -> AtStart<'_> {
        AtStart(self)
    }
}

impl AtNetwork<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32, into: &mut MaybeUninit<[u32; N]>) -> bool {
        let size = size_of::<[u32; N]>() as u32;
        let start = bpf_hdr_start_off::BPF_HDR_START_NET;
        // SAFETY: `into` has room for `size` bytes, and the context is the kernel's.
        unsafe {
            bpf_skb_load_bytes_relative(
                self.0.raw.cast(),
                offset,
                into.as_mut_ptr().cast(),
                size,
                start,
            ) == 0
        }
    }
}

impl Bytes for AtNetwork<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        let mut words = MaybeUninit::uninit();
        // SAFETY: a successful read has written all of it.
        self.read(offset, &mut words)
            .then(|| unsafe { words.assume_init() })
    }
}

impl Bytes for AtStart<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        let mut words = MaybeUninit::<[u32; N]>::uninit();
        let size = size_of::<[u32; N]>() as u32;
        // SAFETY: `words` has room for `size` bytes, and the context is the kernel's.
        let read = unsafe {
            bpf_skb_load_bytes(self.0.raw.cast(), offset, words.as_mut_ptr().cast(), size) == 0
        };
        // SAFETY: a successful read has written all of it.
        read.then(|| unsafe { words.assume_init() })
    }
}
