//! The bpf(2) calls that the loader's library has no words for: typed access to pinned maps from several threads,
//! batches, and links by interface index. Knows nothing of what the maps mean.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aya::Pod;
use rustix::net::{AddressFamily, SocketType};

/// Attach type of TCX ingress links.
const TCX_INGRESS: u32 = 46;

/// `enum bpf_cmd`.
#[derive(Clone, Copy)]
enum Command {
    MapLookup = 1,
    MapUpdate = 2,
    MapDelete = 3,
    MapNextKey = 4,
    Pin = 6,
    Get = 7,
    Info = 15,
    MapLookupBatch = 24,
    MapUpdateBatch = 26,
    LinkCreate = 28,
    LinkUpdate = 29,
    LinkDetach = 34,
}

/// The part of `union bpf_attr` for single elements.
#[repr(C)]
#[derive(Default)]
struct Element {
    map_fd: u32,
    reserved: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The part for batches.
#[repr(C)]
#[derive(Default)]
struct Batch {
    from: u64,
    next: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// The part for pins.
#[repr(C)]
#[derive(Default)]
struct Object {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// The part for information.
#[repr(C)]
#[derive(Default)]
struct InfoCall {
    bpf_fd: u32,
    length: u32,
    into: u64,
}

/// The part for links to interfaces.
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    relative_fd: u32,
    reserved: u32,
    expected_revision: u64,
}

/// The part for changing links.
#[repr(C)]
#[derive(Default)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// The head of `struct bpf_map_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MapInfo {
    pub(crate) kind: u32,
    pub(crate) id: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) flags: u32,
    pub(crate) name: [u8; 16],
}

/// The head of `struct bpf_link_info`, as TCX links fill it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkInfo {
    kind: u32,
    id: u32,
    prog_id: u32,
    reserved: u32,
    /// 0 where the interface is gone.
    pub(crate) ifindex: u32,
    attach_type: u32,
}

fn bpf<T>(command: Command, attr: &mut T) -> io::Result<i64> {
    let size = size_of::<T>();
    // SAFETY: `attr` is a live, fully initialised prefix of `union bpf_attr` of the size given; what it points to
    // is owned by the callers below for the length of the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_int,
            std::ptr::from_mut(attr),
            size,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    // A borrowed descriptor is never negative.
    fd.as_raw_fd().unsigned_abs()
}

fn address<T>(of: &T) -> u64 {
    std::ptr::from_ref(of).expose_provenance() as u64
}

fn address_mut<T>(of: &mut T) -> u64 {
    std::ptr::from_mut(of).expose_provenance() as u64
}

fn owned(result: io::Result<i64>) -> io::Result<OwnedFd> {
    let fd = i32::try_from(result?).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// Opens what is pinned at `path`.
pub(crate) fn get(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attr = Object {
        pathname: path.as_ptr().expose_provenance() as u64,
        ..Object::default()
    };
    owned(bpf(Command::Get, &mut attr))
}

/// Pins an object.
pub(crate) fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let pathname = path.as_ptr().expose_provenance() as u64;
    bpf(
        Command::Pin,
        &mut Object {
            pathname,
            bpf_fd: number(fd),
            ..Object::default()
        },
    )
    .map(drop)
}

/// A value; none where the key is not there.
pub(crate) fn lookup<K: Pod, V: Pod>(map: BorrowedFd<'_>, key: &K) -> io::Result<Option<V>> {
    let mut value = MaybeUninit::<V>::zeroed();
    let (key, into) = (address(key), address_mut(&mut value));
    match bpf(
        Command::MapLookup,
        &mut Element {
            map_fd: number(map),
            key,
            value: into,
            ..Element::default()
        },
    ) {
        // SAFETY: the kernel has written the whole value, and any bytes are a `Pod`.
        Ok(_) => Ok(Some(unsafe { value.assume_init() })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// One value per possible CPU.
pub(crate) fn lookup_per_cpu<V: Pod + Default>(
    map: BorrowedFd<'_>,
    key: u32,
    cpus: usize,
) -> io::Result<Vec<V>> {
    const {
        assert!(
            size_of::<V>().is_multiple_of(8),
            "the kernel spaces them by multiples of eight"
        );
    };
    let mut values = vec![V::default(); cpus];
    let value = values.as_mut_ptr().expose_provenance() as u64;
    bpf(
        Command::MapLookup,
        &mut Element {
            map_fd: number(map),
            key: address(&key),
            value,
            ..Element::default()
        },
    )?;
    Ok(values)
}

/// Inserts or replaces.
pub(crate) fn update<K: Pod, V: Pod>(map: BorrowedFd<'_>, key: &K, value: &V) -> io::Result<()> {
    let (key, value) = (address(key), address(value));
    bpf(
        Command::MapUpdate,
        &mut Element {
            map_fd: number(map),
            key,
            value,
            ..Element::default()
        },
    )
    .map(drop)
}

/// Removes; whether it was there.
pub(crate) fn delete<K: Pod>(map: BorrowedFd<'_>, key: &K) -> io::Result<bool> {
    match bpf(
        Command::MapDelete,
        &mut Element {
            map_fd: number(map),
            key: address(key),
            ..Element::default()
        },
    ) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The key behind `key`, or the first.
pub(crate) fn next_key<K: Pod>(map: BorrowedFd<'_>, key: Option<&K>) -> io::Result<Option<K>> {
    let mut next = MaybeUninit::<K>::zeroed();
    let (key, value) = (key.map_or(0, address), address_mut(&mut next));
    match bpf(
        Command::MapNextKey,
        &mut Element {
            map_fd: number(map),
            key,
            value,
            ..Element::default()
        },
    ) {
        // SAFETY: the kernel has written the whole key, and any bytes are a `Pod`.
        Ok(_) => Ok(Some(unsafe { next.assume_init() })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where a walk by [`lookup_batch`] stands.
#[derive(Default)]
pub(crate) struct Cursor {
    /// Hash maps keep a bucket's number here, arrays a key.
    token: u64,
    started: bool,
    finished: bool,
}

impl Cursor {
    pub(crate) const fn finished(&self) -> bool {
        self.finished
    }
}

/// Up to `keys.len()` entries into `keys` and `values`, which are of one length; how many.
pub(crate) fn lookup_batch<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    cursor: &mut Cursor,
    keys: &mut [K],
    values: &mut [V],
) -> io::Result<usize> {
    assert_eq!(keys.len(), values.len(), "batches are pairs");
    let mut next = 0_u64;
    let mut attr = Batch {
        from: if cursor.started {
            address(&cursor.token)
        } else {
            0
        },
        next: address_mut(&mut next),
        keys: keys.as_mut_ptr().expose_provenance() as u64,
        values: values.as_mut_ptr().expose_provenance() as u64,
        count: u32::try_from(keys.len()).map_err(io::Error::other)?,
        map_fd: number(map),
        ..Batch::default()
    };
    match bpf(Command::MapLookupBatch, &mut attr) {
        Ok(_) => {}
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => cursor.finished = true,
        Err(error) => return Err(error),
    }
    cursor.token = next;
    cursor.started = true;
    Ok(attr.count as usize)
}

/// Updates all pairs in one call.
pub(crate) fn update_batch<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    keys: &[K],
    values: &[V],
) -> io::Result<()> {
    assert_eq!(keys.len(), values.len(), "batches are pairs");
    let mut attr = Batch {
        keys: keys.as_ptr().expose_provenance() as u64,
        values: values.as_ptr().expose_provenance() as u64,
        count: u32::try_from(keys.len()).map_err(io::Error::other)?,
        map_fd: number(map),
        ..Batch::default()
    };
    bpf(Command::MapUpdateBatch, &mut attr).map(drop)
}

fn info<T: Default>(fd: BorrowedFd<'_>) -> io::Result<T> {
    let mut info = T::default();
    let length = u32::try_from(size_of::<T>()).map_err(io::Error::other)?;
    bpf(
        Command::Info,
        &mut InfoCall {
            bpf_fd: number(fd),
            length,
            into: address_mut(&mut info),
        },
    )?;
    Ok(info)
}

/// What the kernel knows of a map.
pub(crate) fn map_info(map: BorrowedFd<'_>) -> io::Result<MapInfo> {
    info(map)
}

/// What the kernel knows of a TCX link.
pub(crate) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    info(link)
}

/// Attaches a classifier behind those already there.
pub(crate) fn tcx_attach(program: impl AsFd, ifindex: u32) -> io::Result<OwnedFd> {
    let prog_fd = number(program.as_fd());
    let mut attr = LinkCreate {
        prog_fd,
        target_ifindex: ifindex,
        attach_type: TCX_INGRESS,
        ..LinkCreate::default()
    };
    owned(bpf(Command::LinkCreate, &mut attr))
}

/// Replaces a link's program atomically.
pub(crate) fn link_update(link: BorrowedFd<'_>, program: impl AsFd) -> io::Result<()> {
    let program = number(program.as_fd());
    bpf(
        Command::LinkUpdate,
        &mut LinkUpdate {
            link: number(link),
            program,
            ..LinkUpdate::default()
        },
    )
    .map(drop)
}

/// Detaches a link for all who hold it.
pub(crate) fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    bpf(Command::LinkDetach, &mut number(link)).map(drop)
}

/// `ARPHRD_…` of an interface of this thread's network namespace.
pub(crate) fn hardware_type(name: &str) -> io::Result<u16> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: an all-zero `ifreq` is one.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    // Requests are of one type in glibc and of another in musl, and fit into both.
    let hardware_address = libc::SIOCGIFHWADDR as libc::Ioctl;
    // SAFETY: the request is alive and of the type that this call reads and writes.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), hardware_address, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call filled this member.
    Ok(unsafe { request.ifr_ifru.ifru_hwaddr.sa_family })
}
