//! What the agent's threads tell each other without waiting: health, readiness, and what status reports.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use super::published::Published;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::status::{Invalid, KernelState};

/// Handles that HTTP and the socket answer from.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) published: Arc<ArcSwap<Published>>,
    pub(crate) started: Instant,
    pub(crate) workers: Vec<Arc<AtomicBool>>,
    ready: AtomicBool,
    facts: Mutex<Facts>,
}

/// What the writer knows and others report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// How the kernel half is set up.
    pub(crate) kernel: KernelState,
    /// Invalid objects, as messages.
    pub(crate) invalid: Vec<Invalid>,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        metrics: Arc<Metrics>,
        published: Arc<ArcSwap<Published>>,
        workers: Vec<Arc<AtomicBool>>,
    ) -> Self {
        Self {
            config,
            metrics,
            published,
            started: Instant::now(),
            workers,
            ready: AtomicBool::new(false),
            facts: Mutex::default(),
        }
    }

    /// The gate is in place and the first snapshot is enforced.
    pub(crate) fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Every queue has a worker.
    pub(crate) fn healthy(&self) -> bool {
        self.workers
            .iter()
            .all(|alive| alive.load(Ordering::Relaxed))
    }

    /// What the source said at that time is enforced, on open connections too.
    pub(crate) fn set_enforced_as_of(&self, time: SystemTime) {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.metrics.enforced_as_of.set(since_epoch.as_secs_f64());
    }

    pub(crate) fn facts(&self) -> Facts {
        self.facts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn update_facts(&self, update: impl FnOnce(&mut Facts)) {
        update(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
