//! The packet in the kernel's hands: three ways to read it, by what is known of where its network header is.

use core::arch::asm;
use core::ffi::c_void;
use core::mem::{MaybeUninit, offset_of};

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{__sk_buff, bpf_hdr_start_off};
use aya_ebpf::helpers::{bpf_skb_load_bytes, bpf_skb_load_bytes_relative};
use sluice_ebpf::Bytes;

/// Length of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;

/// The context of a program.
pub(crate) struct Skb {
    raw: *mut __sk_buff,
}

/// Reads the packet in place, behind its Ethernet header; by the helper what is not in one piece.
pub(crate) struct BehindEthernet<'s>(&'s Skb);

/// Reads from the network header on, wherever it is; only what is in one piece with it.
pub(crate) struct AtNetwork<'s>(&'s Skb);

/// Reads from the start, wherever the bytes are.
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

    /// Whether it belongs to a VLAN. Tagged with number 0 it belongs to none, and the kernel takes it as untagged.
    #[inline(always)]
    pub(crate) fn is_tagged(&self) -> bool {
        const NUMBER: u32 = 0xfff;
        // SAFETY: as above.
        unsafe { (*self.raw).vlan_present != 0 && (*self.raw).vlan_tci & NUMBER != 0 }
    }

    /// Whether it is addressed to this link (`PACKET_HOST`), and not only seen by it.
    #[inline(always)]
    pub(crate) fn is_for_us(&self) -> bool {
        // SAFETY: as above.
        unsafe { (*self.raw).pkt_type == 0 }
    }

    /// The interface that it comes in by. In a socket filter behind the routing, the one that it goes out by.
    #[inline(always)]
    pub(crate) fn interface(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.raw).ifindex }
    }

    /// The interface that it came in by; 0 where it was sent here.
    #[inline(always)]
    pub(crate) fn came_in_by(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.raw).ingress_ifindex }
    }

    /// Whether it is to be cut into segments on its way.
    #[inline(always)]
    pub(crate) fn is_segmented(&self) -> bool {
        // SAFETY: as above.
        unsafe { (*self.raw).gso_size != 0 }
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
    pub(crate) const fn behind_ethernet(&self) -> BehindEthernet<'_> {
        BehindEthernet(self)
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

impl EbpfContext for Skb {
    fn as_ptr(&self) -> *mut c_void {
        self.raw.cast()
    }
}

impl BehindEthernet<'_> {
    /// Whether the packet begins as it should: its header says what the kernel says.
    #[inline(always)]
    pub(crate) fn is_ethernet(&self) -> bool {
        const TYPE: usize = 12;
        // SAFETY: the kernel gave the context to this program.
        let (start, end) =
            unsafe { ((*self.0.raw).data as usize, (*self.0.raw).data_end as usize) };
        let word = if start + TYPE + size_of::<u32>() <= end {
            load_word(start + TYPE)
        } else {
            // The sender decides how much of a large packet is in one piece: as little as this header.
            match self.0.at_start().load::<1>(TYPE as u32) {
                Some([word]) => word,
                None => return false,
            }
        };
        // SAFETY: as above.
        (word ^ unsafe { (*self.0.raw).protocol }) & u32::from_ne_bytes([0xff, 0xff, 0, 0]) == 0
    }
}

impl Bytes for BehindEthernet<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        // SAFETY: the kernel gave the context to this program.
        let (start, end) =
            unsafe { ((*self.0.raw).data as usize, (*self.0.raw).data_end as usize) };
        let from = start + ETHERNET + offset as usize;
        if from + size_of::<[u32; N]>() > end {
            return self.0.at_start().load(ETHERNET as u32 + offset);
        }
        let mut words = [0; N];
        let mut index = 0;
        while index < N {
            words[index] = load_word(from + index * size_of::<u32>());
            index += 1;
        }
        Some(words)
    }
}

impl Bytes for AtNetwork<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        let mut words = MaybeUninit::<[u32; N]>::uninit();
        let size = size_of::<[u32; N]>() as u32;
        let start = bpf_hdr_start_off::BPF_HDR_START_NET;
        // SAFETY: `words` has room for `size` bytes, and the context is the kernel's.
        let read = unsafe {
            bpf_skb_load_bytes_relative(
                self.0.raw.cast(),
                offset,
                words.as_mut_ptr().cast(),
                size,
                start,
            )
        };
        // SAFETY: a successful read has written all of it.
        (read == 0).then(|| unsafe { words.assume_init() })
    }
}

impl Bytes for AtStart<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        let mut words = MaybeUninit::<[u32; N]>::uninit();
        let size = size_of::<[u32; N]>() as u32;
        // SAFETY: `words` has room for `size` bytes, and the context is the kernel's.
        let read = unsafe {
            bpf_skb_load_bytes(self.0.raw.cast(), offset, words.as_mut_ptr().cast(), size)
        };
        // SAFETY: a successful read has written all of it.
        (read == 0).then(|| unsafe { words.assume_init() })
    }
}

/// One load of a word that is aligned to nothing: the kernel runs it as such where its machine can, and the compiler
/// alone would make four loads of it.
#[inline(always)]
fn load_word(address: usize) -> u32 {
    let word: u64;
    // SAFETY: the caller compared with the packet's end, which the verifier checks.
    unsafe {
        asm!(
            "{word} = *(u32 *)({address} + 0)",
            word = out(reg) word,
            address = in(reg) address,
            options(pure, readonly, nostack),
        );
    }
    word as u32
}
