//! A pinned map with its types: one system call per operation, from any thread.

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use aya::Pod;

use crate::maps::Fill;
use crate::sys::{self, Cursor};

/// Entries per batched call.
const BATCH: usize = 4096;

/// A map operation failed.
#[derive(Debug, thiserror::Error)]
#[error("map {map}: {call}: {source}")]
pub struct MapError {
    /// The map's name.
    pub map: &'static str,
    /// What was asked of it.
    pub call: &'static str,
    /// What the kernel said.
    pub source: io::Error,
}

/// A map of one key and one value type.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    name: &'static str,
    fd: OwnedFd,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Pod, V: Pod> Table<K, V> {
    /// Opens the map pinned under its name.
    pub(crate) fn open(pins: &Path, name: &'static str) -> Result<Self, MapError> {
        let table = |fd| Self {
            name,
            fd,
            types: PhantomData,
        };
        sys::get(&pins.join(name))
            .map(table)
            .map_err(|source| MapError {
                map: name,
                call: "open",
                source,
            })
    }

    /// Its name and descriptor.
    pub(crate) fn descriptor(&self) -> (&'static str, BorrowedFd<'_>) {
        (self.name, self.fd.as_fd())
    }

    pub(crate) fn get(&self, key: &K) -> Result<Option<V>, MapError> {
        sys::lookup(self.fd.as_fd(), key).map_err(self.failed("lookup"))
    }

    pub(crate) fn insert(&self, key: &K, value: &V) -> Result<(), MapError> {
        sys::update(self.fd.as_fd(), key, value).map_err(self.failed("update"))
    }

    pub(crate) fn remove(&self, key: &K) -> Result<bool, MapError> {
        sys::delete(self.fd.as_fd(), key).map_err(self.failed("delete"))
    }

    pub(crate) fn max(&self) -> Result<u32, MapError> {
        Ok(sys::map_info(self.fd.as_fd())
            .map_err(self.failed("info"))?
            .max_entries)
    }

    /// Every entry, or what of a map that others write meanwhile can be had.
    pub(crate) fn entries(&self) -> Result<Vec<(K, V)>, MapError> {
        let mut entries = Vec::new();
        self.visit(|keys, values| {
            entries.extend(keys.iter().copied().zip(values.iter().copied()));
        })?;
        Ok(entries)
    }

    /// How many entries there are.
    pub(crate) fn count(&self) -> Result<u32, MapError> {
        let mut count = 0_usize;
        self.visit(|keys, _| count += keys.len())?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// How many entries there are, and can be.
    pub(crate) fn fill(&self) -> Result<Fill, MapError> {
        Ok(Fill {
            entries: self.count()?,
            max: self.max()?,
        })
    }

    fn visit(&self, mut each: impl FnMut(&[K], &[V])) -> Result<(), MapError> {
        let mut cursor = Cursor::default();
        let (mut keys, mut values) = (vec![zeroed::<K>(); BATCH], vec![zeroed::<V>(); BATCH]);
        while !cursor.finished() {
            match sys::lookup_batch(self.fd.as_fd(), &mut cursor, &mut keys, &mut values) {
                Ok(count) => each(&keys[..count], &values[..count]),
                Err(error) if no_batches(&error) => return self.walk(each),
                Err(error) => return Err(self.failed("lookup batch")(error)),
            }
        }
        Ok(())
    }

    /// For kernels without batches (before 5.6): two calls per entry.
    fn walk(&self, mut each: impl FnMut(&[K], &[V])) -> Result<(), MapError> {
        let mut key = None;
        while let Some(next) =
            sys::next_key(self.fd.as_fd(), key.as_ref()).map_err(self.failed("next key"))?
        {
            if let Some(value) = self.get(&next)? {
                each(&[next], &[value]);
            }
            key = Some(next);
        }
        Ok(())
    }

    /// Writes many entries, in as few calls as the kernel allows.
    pub(crate) fn insert_all(&self, entries: impl Iterator<Item = (K, V)>) -> Result<(), MapError> {
        let (keys, values): (Vec<K>, Vec<V>) = entries.unzip();
        for (keys, values) in keys.chunks(BATCH).zip(values.chunks(BATCH)) {
            match sys::update_batch(self.fd.as_fd(), keys, values) {
                Ok(()) => {}
                Err(error) if no_batches(&error) => {
                    keys.iter()
                        .zip(values)
                        .try_for_each(|(key, value)| self.insert(key, value))?;
                }
                Err(error) => return Err(self.failed("update batch")(error)),
            }
        }
        Ok(())
    }

    fn failed(&self, call: &'static str) -> impl Fn(io::Error) -> MapError + use<K, V> {
        let map = self.name;
        move |source| MapError { map, call, source }
    }
}

/// Whether the kernel lacks the batched call, for this map or at all (`ENOTSUPP` is the kernel's own 524).
fn no_batches(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EOPNOTSUPP | 524)
    )
}

fn zeroed<T: Pod>() -> T {
    // SAFETY: any bytes are a `Pod`.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

impl<V: Pod + Default> Table<u32, V> {
    /// Every possible CPU's value.
    pub(crate) fn per_cpu(&self, index: u32) -> Result<Vec<V>, MapError> {
        let cpus =
            aya::util::nr_cpus().map_err(|(_, source)| self.failed("possible cpus")(source))?;
        sys::lookup_per_cpu(self.fd.as_fd(), index, cpus).map_err(self.failed("lookup"))
    }
}
