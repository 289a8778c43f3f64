//! The source as its user sees it: started once, it tells what happens, and can be asked how it stands.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use std::{io, thread};

use sluice_kubernetes::live::Kind;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::OwnedSemaphorePermit;

use crate::access::{Access, AccessError};
use crate::board::{Board, Report};
use crate::discovery;
use crate::follow::Follower;
use crate::hub::Hub;
use crate::reflector::Batch;
use crate::reporter::{Reporter, ReporterOptions};

/// What the source is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The kubeconfig; none for the pod's service account, or the user's own.
    pub kubeconfig: Option<PathBuf>,
    /// The kinds to watch. Those that are custom resources are watched while the API serves them.
    pub kinds: Vec<Kind>,
}

/// Something that the source tells.
#[derive(Debug)]
pub enum Update {
    /// Events of one kind that were read together.
    Batch(Delivery),
    /// Everything that the API serves has been told of, for the first time.
    Complete,
}

/// A batch, and the room that it takes until it is dropped: while there are too many, nothing is read.
#[derive(Debug)]
pub struct Delivery {
    /// The kind that it is about.
    pub kind: Kind,
    /// What happened.
    pub batch: Batch,
    /// When it had been read.
    pub read_at: Instant,
    pub(crate) _room: OwnedSemaphorePermit,
}

/// Why there is no source.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no way to any API.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// No thread for it.
    #[error("thread api: {0}")]
    Thread(#[from] io::Error),
}

/// A source that runs, for as long as the process.
#[derive(Clone, Debug)]
pub struct Source {
    board: Arc<Board>,
    hub: Arc<Hub>,
    runtime: Handle,
}

impl Source {
    /// Starts a thread that watches the API and tells `listener` what happens, in order per kind. `listener` is not to
    /// wait.
    ///
    /// # Errors
    /// Where nothing names an API. A kubeconfig that cannot be used now is no error, and neither is an API that does
    /// not answer: both are tried again, and [`Report::troubles`] says what is wrong.
    pub fn start(
        options: Options,
        listener: impl Fn(Update) + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let access = Access::find(options.kubeconfig.as_deref())?;
        let board = Arc::new(Board::new(&options.kinds));
        let hub = Arc::new(Hub::new(
            access,
            Arc::clone(&board),
            &options.kinds,
            Box::new(listener),
        ));
        let source = Self {
            board,
            hub: Arc::clone(&hub),
            runtime: runtime.handle().clone(),
        };
        thread::Builder::new()
            .name("api".into())
            .spawn(move || run(&runtime, &hub, &options.kinds))?;
        Ok(source)
    }

    /// Starts to tell policies' owners what is handed over to the reporter.
    pub fn start_reporter(&self, options: ReporterOptions) -> Reporter {
        Reporter::start(&self.hub, &self.runtime, options)
    }

    /// How it stands.
    pub fn report(&self) -> Report {
        self.board.report()
    }
}

fn run(runtime: &Runtime, hub: &Arc<Hub>, kinds: &[Kind]) {
    for kind in kinds {
        let follower = Follower::new(Arc::clone(hub), *kind);
        runtime.spawn(follower.run());
    }
    runtime.block_on(discovery::run(Arc::clone(hub), kinds.to_vec()));
}
