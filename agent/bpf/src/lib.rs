//! The eBPF half in the kernel: loads it, pins it, fills its maps, attaches it to interfaces.
//!
//! The only crate that knows `aya`. It knows no policy: who is isolated and what is leased comes from its callers.

mod attach;
mod bpffs;
mod clock;
mod fastpath;
mod leases;
#[cfg(feature = "log")]
mod log;
mod maps;
mod object;
mod pinned;
mod repin;
mod slots;
mod sys;
mod table;
#[cfg(feature = "test-run")]
pub mod test_run;

pub use attach::{Attach, AttachError};
pub use clock::now_ns;
pub use fastpath::{Config, Fastpath, LoadError, PodIsolation, Sizes};
pub use leases::Leases;
#[cfg(feature = "log")]
pub use log::ProgramLog;
pub use maps::{Fill, Usage};
pub use pinned::{PinnedState, peek, remove_pins};
pub use table::MapError;
