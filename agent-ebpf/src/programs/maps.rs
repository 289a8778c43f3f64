//! The maps as the programs see them.

use core::ptr;

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray};
use sluice_ebpf::{
    Addr, Counter, Counters, EPOCH_SLOTS, Epochs, Flow, FlowChange, FlowKey, Guard, Lease,
    LeaseKey, Links, MAX_DENIALS, MAX_FLOWS, MAX_GUARDS, MAX_LEASES, MAX_PODS, MAX_REDIRECTS, Maps,
    PODS_COMPLETE, Parsed, PodEntry, Redirect, Slot, Write, stopped,
};

#[map(name = "pods")]
static PODS: HashMap<Addr, PodEntry> = HashMap::with_max_entries(MAX_PODS, BPF_F_NO_PREALLOC);
#[map(name = "slots")]
static SLOTS: Array<Slot> = Array::with_max_entries(EPOCH_SLOTS, 0);
#[map(name = "leases")]
static LEASES: LruHashMap<LeaseKey, Lease> = LruHashMap::with_max_entries(MAX_LEASES, 0);
#[map(name = "denials")]
static DENIALS: LruHashMap<LeaseKey, Lease> = LruHashMap::with_max_entries(MAX_DENIALS, 0);
#[map(name = "flows")]
static FLOWS: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(MAX_FLOWS, 0);
#[map(name = "redirects")]
static REDIRECTS: LruHashMap<FlowKey, Redirect> = LruHashMap::with_max_entries(MAX_REDIRECTS, 0);
#[map(name = "guards")]
static GUARDS: HashMap<u32, Guard> = HashMap::with_max_entries(MAX_GUARDS, BPF_F_NO_PREALLOC);
#[map(name = "epochs")]
static EPOCHS: Array<u32> = Array::with_max_entries(EPOCH_SLOTS, 0);
#[map(name = "state")]
static STATE: Array<u32> = Array::with_max_entries(1, 0);
#[map(name = "counters")]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// The maps and the clock of the kernel.
pub(crate) struct Kernel;

impl Maps for Kernel {
    #[inline(always)]
    fn lease(&self, key: &LeaseKey) -> Option<Lease> {
        // SAFETY: a live entry.
        LEASES
            .get_ptr(key)
            .map(|lease| unsafe { read_lease(lease) })
    }

    #[inline(always)]
    fn denial(&self, key: &LeaseKey) -> Option<Lease> {
        // SAFETY: a live entry.
        DENIALS
            .get_ptr(key)
            .map(|lease| unsafe { read_lease(lease) })
    }

    #[inline(always)]
    fn flow(&self, key: &FlowKey) -> Option<Flow> {
        let flow = FLOWS.get_ptr(key)?;
        // SAFETY: as in `read_lease`.
        unsafe {
            let epochs = read_epochs(&raw const (*flow).epochs);
            let last_seen_ns = ptr::read_volatile(&raw const (*flow).last_seen_ns);
            Some(Flow::from_parts(
                epochs,
                last_seen_ns,
                ptr::read_volatile(flow.cast::<u32>()),
            ))
        }
    }

    #[inline(always)]
    fn redirect(&self, key: &FlowKey) -> Option<Redirect> {
        let redirect = REDIRECTS.get_ptr(key)?;
        // SAFETY: as in `read_lease`.
        unsafe {
            let epochs = read_epochs(&raw const (*redirect).epochs);
            let links = Links {
                input: ptr::read_volatile(&raw const (*redirect).links.input),
                output: ptr::read_volatile(&raw const (*redirect).links.output),
            };
            let confirmed_ns = ptr::read_volatile(&raw const (*redirect).confirmed_ns);
            let tag = ptr::read_volatile(redirect.cast::<u32>());
            Some(Redirect::from_parts(epochs, links, confirmed_ns, tag))
        }
    }

    #[inline(always)]
    fn slot(&self, slot: u32) -> Option<Slot> {
        // SAFETY: the entry stays mapped while the program runs. Read while it is written, it has flags and a pod
        // of different moments, each of which was true; the flags are one aligned word.
        SLOTS.get_ptr(slot).map(|entry| unsafe { *entry })
    }

    #[inline(always)]
    fn pod(&self, address: &Addr) -> Option<PodEntry> {
        // SAFETY: the entry stays mapped while the program runs, and is one aligned word.
        PODS.get_ptr(address)
            .map(|pod| unsafe { ptr::read_volatile(pod) })
    }

    #[inline(always)]
    fn epoch(&self, slot: u32) -> Option<u32> {
        // SAFETY: as for pods.
        EPOCHS
            .get_ptr(slot)
            .map(|epoch| unsafe { ptr::read_volatile(epoch) })
    }

    #[inline(always)]
    fn guard(&self, ifindex: u32) -> Option<&Guard> {
        // SAFETY: the entry stays mapped while the program runs. It is replaced and never written, and tells whose it
        // is, should it become another's.
        GUARDS.get_ptr(&ifindex).map(|guard| unsafe { &*guard })
    }

    #[inline(always)]
    fn pods_complete(&self) -> bool {
        // SAFETY: as for pods.
        STATE
            .get_ptr(0)
            .is_some_and(|state| unsafe { ptr::read_volatile(state) } & PODS_COMPLETE != 0)
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // The clock of the last tick: seconds are what counts, and it costs a third.
        // SAFETY: no arguments, no state.
        unsafe { bpf_ktime_get_coarse_ns() }
    }
}

/// Adds one on this CPU.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        // SAFETY: the value is this CPU's, and a counter is the position of a field.
        unsafe { *counters.cast::<u64>().add(counter as usize) += 1 };
    }
}

/// Does what was decided for a packet. A full map or a lost race costs a queued packet.
#[inline(always)]
pub(crate) fn change(parsed: &Parsed, change: FlowChange) {
    let Parsed::Whole(packet) = parsed else {
        return;
    };
    if change.write == Write::Keep {
        return;
    }
    let key = change.key(packet);
    let _: Result<(), i32> = match change.write {
        Write::Put => FLOWS.insert(key, change.flow(&key), 0),
        Write::Keep | Write::End => FLOWS.remove(key),
    };
}

/// Remembers what may be redirected. A full map costs the slower way.
#[inline(always)]
pub(crate) fn confirm(key: &FlowKey, redirect: &Redirect) {
    let _: Result<(), i32> = REDIRECTS.insert(key, redirect, 0);
}

/// Stops what a packet stops, in place: an entry that has become another key's meanwhile is nobody's then, and that
/// costs the slower way.
#[inline(always)]
pub(crate) fn stop(parsed: &Parsed) {
    let Parsed::Whole(packet) = parsed else {
        return;
    };
    let Some(stopped) = stopped(packet) else {
        return;
    };
    for (key, tag) in &stopped {
        if let Some(redirect) = REDIRECTS.get_ptr_mut(key) {
            // SAFETY: the entry stays mapped while the program runs, and its tag is one aligned word.
            unsafe { ptr::write_volatile(redirect.cast::<u32>(), *tag) };
        }
    }
}

/// # Safety
///
/// The pointer is to a live map entry.
#[inline(always)]
unsafe fn read_lease(lease: *const Lease) -> Lease {
    // SAFETY: the entry stays mapped while the program runs. It may become another key's meanwhile, which the tag
    // tells: it is written first, and read last by these volatile reads.
    unsafe {
        let epochs = read_epochs(&raw const (*lease).epochs);
        let expires_ns = ptr::read_volatile(&raw const (*lease).expires_ns);
        Lease::from_parts(epochs, expires_ns, ptr::read_volatile(lease.cast::<u32>()))
    }
}

/// # Safety
///
/// The pointer is into a live map entry.
#[inline(always)]
unsafe fn read_epochs(epochs: *const Epochs) -> Epochs {
    // SAFETY: the caller's word.
    unsafe {
        Epochs {
            source: ptr::read_volatile(&raw const (*epochs).source),
            destination: ptr::read_volatile(&raw const (*epochs).destination),
        }
    }
}
