//! The eBPF object, embedded by the build script; empty where the build machine could not make it.

/// Bytes in the alignment that the object parser wants.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/sluice-ebpf.o")));

/// The object, if there is one.
pub(crate) fn bytes() -> Option<&'static [u8]> {
    Some(&OBJECT.0).filter(|bytes| !bytes.is_empty())
}
