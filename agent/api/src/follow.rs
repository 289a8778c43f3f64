//! One kind of objects, listed and then watched for as long as the agent lives. A thin loop: what is known is the
//! reflector's, what is written on the wire is read by [`crate::wire`].

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use kube::client::Body;
use sluice_kubernetes::live::{self, Kind, Reader};
use tokio::time::{Instant, sleep, timeout};

use crate::backoff::{Backoff, at_least, between};
use crate::board::Who;
use crate::hub::{Hub, collect};
use crate::reflector::{Batch, Reflector};
use crate::trouble::Trouble;
use crate::wire::{Lines, Page, Told};

/// The server ends a watch after some time between these, so that agents spread over its replicas again, and because
/// rights are asked about when a watch begins and never again: one that is taken away is missed within four minutes.
/// That costs a request per resource in three minutes on average, of seven resources 0.04 a second on a node, which is no
/// third of what [`crate::discovery`] asks; client-go's watches of five to ten minutes cost 0.016.
const WATCH: (Duration, Duration) = (Duration::from_mins(2), Duration::from_mins(4));
/// A watch that says nothing for so long is asked for again: servers send bookmarks every minute.
const QUIET: Duration = Duration::from_secs(150);
/// A streaming list that says nothing for so long is not going to end: some servers wait for an etcd that cannot tell
/// how far it is.
const STALLED: Duration = Duration::from_secs(5);
/// The longest wait between two tries.
const MOST_WAIT: Duration = Duration::from_secs(30);
/// When the API is back, agents come back within this time.
const SPREAD: Duration = Duration::from_secs(1);
/// A watch that lasted for so long was a good one.
const GOOD: Duration = Duration::from_secs(10);
/// Objects on a page of a list.
const PAGE: usize = 500;
/// Events that are handed on together, at most.
const MOST_EVENTS: usize = 1024;

/// Follows a kind.
pub(crate) struct Follower {
    hub: Arc<Hub>,
    kind: Kind,
    reader: Reader,
    reflector: Reflector,
    /// What was read and not handed on yet.
    batch: Batch,
    /// The next list is read page by page: the server refused to stream it, or came to no end.
    paged: bool,
    /// How many objects a page is asked to have: fewer where so many were too long.
    page: usize,
}

/// Why a turn of listing and watching is over.
enum End {
    /// As watches end.
    Over,
    /// The connection is broken, or as good as.
    Cut,
    /// What is served is different.
    Served,
    /// A request failed.
    Trouble(Trouble),
}

/// What a wait came to.
#[derive(PartialEq, Eq)]
enum Waited {
    /// All of it, or there is something else to do.
    ForAll,
    /// The API answers again: what failed before says nothing about it now.
    UntilBack,
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl Follower {
    pub(crate) fn new(hub: Arc<Hub>, kind: Kind) -> Self {
        Self {
            hub,
            kind,
            reader: Reader::new(kind),
            reflector: Reflector::new(kind),
            batch: Batch::default(),
            paged: false,
            page: PAGE,
        }
    }

    /// Never returns: whatever happens, it is tried again.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::up_to(MOST_WAIT);
        loop {
            self.await_served().await;
            let began = Instant::now();
            let end = self.turn().await;
            self.hand_on().await;
            if began.elapsed() >= GOOD {
                backoff.reset();
            }
            let mut asked = None;
            // For a server that was too busy for a page, to begin again would be more to do.
            if !matches!(&end, End::Trouble(trouble) if trouble.is_busy()) {
                self.reflector.broke_off();
            }
            match end {
                End::Over if began.elapsed() >= GOOD => continue,
                End::Over | End::Served => {}
                End::Cut if self.reflector.version().is_some() => {}
                End::Cut => {
                    let cut = Trouble::Unreachable("the list broke off".into());
                    self.note(&cut).await;
                }
                End::Trouble(Trouble::Expired) => self.reflector.expired(),
                End::Trouble(Trouble::Unsupported(_)) if self.is_streaming() => {
                    self.paged = true;
                    continue;
                }
                End::Trouble(trouble) => {
                    self.note(&trouble).await;
                    asked = trouble.retry_after();
                }
            }
            if self.wait(asked, backoff.wait()).await == Waited::UntilBack {
                backoff.reset();
            }
        }
    }

    /// Whether a list was being streamed.
    fn is_streaming(&self) -> bool {
        !self.paged && self.reflector.version().is_none()
    }

    async fn note(&self, trouble: &Trouble) {
        let who = Who::Kind(self.kind);
        self.hub.board.trouble(who, trouble);
        if *trouble == Trouble::NotServed {
            self.hub.ask.notify_one();
        }
        if let Err(trouble) = self.hub.renew(trouble).await {
            self.hub.board.trouble(who, &trouble);
        }
    }

    /// Waits, but no longer than until the API is back, or what it serves is different. Where it asked to be left alone
    /// for some time, that is waited for in any case.
    async fn wait(&self, asked: Option<Duration>, due: Duration) -> Waited {
        let mut back = self.hub.back.subscribe();
        let mut served = self.hub.served.subscribe();
        let is_back = async {
            sleep(asked.unwrap_or_default()).await;
            let _changed = back.changed().await;
            // Not all agents at the same moment.
            sleep(between(Duration::ZERO, due.min(SPREAD))).await;
        };
        tokio::select! {
            () = sleep(at_least(asked, due)) => Waited::ForAll,
            _ = served.changed(), if asked.is_none() => Waited::ForAll,
            () = is_back => Waited::UntilBack,
        }
    }

    /// While the kind is not served, nothing of it is there.
    async fn await_served(&mut self) {
        let mut served = self.hub.served.subscribe();
        if served.borrow_and_update().contains(&self.kind) {
            return;
        }
        self.reflector.vanished(&mut self.batch);
        if !self.batch.is_empty() {
            self.hub.deliver(self.kind, &mut self.batch).await;
        }
        self.hub.board.well(Who::Kind(self.kind));
        // The sender is this task's own hub's.
        let _served = served.wait_for(|served| served.contains(&self.kind)).await;
    }

    async fn turn(&mut self) -> End {
        let mut served = self.hub.served.subscribe();
        let mut cut = self.hub.cut.subscribe();
        let kind = self.kind;
        tokio::select! {
            _ = served.wait_for(|served| !served.contains(&kind)) => End::Served,
            _ = cut.changed() => End::Cut,
            end = self.list_and_watch() => end.err().unwrap_or(End::Over),
        }
    }

    async fn list_and_watch(&mut self) -> Result<(), End> {
        if self.reflector.version().is_none() {
            if self.reflector.next().is_empty() {
                self.reflector.begin(&mut self.batch);
            }
            if !self.paged {
                return self
                    .watch("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
                    .await;
            }
            self.pages().await?;
        }
        let version = self.reflector.version().unwrap_or_default();
        self.watch(&format!("&resourceVersion={version}")).await
    }

    /// Reads a list page by page.
    async fn pages(&mut self) -> Result<(), End> {
        loop {
            // A token has no letters that a URL cannot have.
            let (kind, page, next) = (self.kind.path(), self.page, self.reflector.next());
            let path = format!("{kind}?limit={page}&continue={next}");
            let body = self.hub.get(&path, self.kind.resource()).await?;
            let bytes = match collect(body).await {
                Err(Trouble::TooLong(_)) if self.page > 1 => {
                    self.page /= 2;
                    continue;
                }
                bytes => bytes.map_err(broken_off)?,
            };
            self.hub.board.heard(self.kind);
            let page: Page<'_> = serde_json::from_slice(&bytes)
                .map_err(|error| Trouble::Unreadable(error.to_string()))?;
            for item in page.items.iter().flatten() {
                self.there(item.get())?;
            }
            if page.metadata.next.is_empty() {
                self.reflector
                    .listed(page.metadata.resource_version, &mut self.batch);
                self.paged = false;
                self.hand_on().await;
                return Ok(());
            }
            self.reflector.goes_on(page.metadata.next);
            self.hand_on().await;
        }
    }

    /// Reads a watch to its end.
    async fn watch(&mut self, from: &str) -> Result<(), End> {
        let seconds = between(WATCH.0, WATCH.1).as_secs();
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}{from}",
            self.kind.path()
        );
        let mut body = self.hub.get(&path, self.kind.resource()).await?;
        self.note_well();
        let mut lines = Lines::default();
        loop {
            let holds = self.holds();
            let full = self.batch.events.len() >= MOST_EVENTS && !holds;
            let piece = tokio::select! {
                biased;
                piece = self.piece(&mut body), if !full => piece?,
                // Nothing more is there right now: what was read together is handed on together.
                () = std::future::ready(()), if !self.batch.is_empty() && !holds => {
                    self.hand_on().await;
                    continue;
                }
            };
            let Some(piece) = piece else {
                return Ok(());
            };
            self.hub.board.heard(self.kind);
            lines.push(&piece);
            lines.drain(|line| self.told(line))?;
            if lines.overflows() {
                return Err(Trouble::Unreadable("an object of more than 32 MB".into()).into());
            }
        }
    }

    /// The next bytes of a watch; none at its end.
    async fn piece(&self, body: &mut Body) -> Result<Option<Vec<u8>>, End> {
        let is_listing = self.reflector.version().is_none();
        let patience = if is_listing { STALLED } else { QUIET };
        match timeout(patience, body.frame()).await {
            Err(_elapsed) if is_listing => Err(Trouble::Unsupported("stalled".into()).into()),
            Err(_elapsed) => Err(End::Cut),
            Ok(None) if is_listing => Err(End::Cut),
            Ok(None) => Ok(None),
            Ok(Some(Err(_broken))) => Err(End::Cut),
            Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().map(Vec::from).unwrap_or_default())),
        }
    }

    /// Takes one line of a watch in.
    fn told(&mut self, line: &[u8]) -> Result<(), End> {
        match Told::read(line).map_err(Trouble::Unreadable)? {
            Told::There(object) => self.there(object),
            Told::Gone(object) => {
                let (name, version) = named(object)?;
                self.reflector.gone(name, version, &mut self.batch);
                Ok(())
            }
            Told::Bookmark { version, ends_list } => {
                if ends_list {
                    self.reflector.listed(version, &mut self.batch);
                } else if self.reflector.version().is_some() {
                    self.reflector.bookmark(version, &mut self.batch);
                }
                Ok(())
            }
            Told::Error(status) => {
                let trouble = Trouble::from_event(status, self.kind.resource());
                // Some servers begin to stream before they see that their etcd is too old for it. One that is busy would
                // have more to do with pages.
                let cannot_stream =
                    matches!(trouble, Trouble::Refused { .. }) && !trouble.is_busy();
                self.paged |= cannot_stream && self.is_streaming();
                Err(trouble.into())
            }
        }
    }

    fn there(&mut self, object: &str) -> Result<(), End> {
        match self.reader.read(object) {
            Ok(live) => self.reflector.there(live, &mut self.batch),
            Err(error) => {
                let (name, version) = named(object)?;
                tracing::warn!(kind = self.kind.name(), object = %name.name, namespace = %name.namespace, %error,
                    "object cannot be read: what was known of it holds");
                self.reflector.unreadable(&name, version, &mut self.batch);
            }
        }
        Ok(())
    }

    /// Whether what was read is yet to be kept: of half a list of tiers, an Accept might stand without the Deny before
    /// it, which no state of the cluster ever was. What others add to is isolation, and what is old stays.
    fn holds(&self) -> bool {
        self.kind.is_optional() && self.reflector.version().is_none()
    }

    /// Hands on what was read, and notes how far that is.
    async fn hand_on(&mut self) {
        if self.batch.is_empty() || self.holds() {
            return;
        }
        self.hub.deliver(self.kind, &mut self.batch).await;
        let complete = self.reflector.version().is_some();
        if complete {
            self.note_well();
        }
        if self
            .hub
            .board
            .delivered(self.kind, self.reflector.count(), complete)
        {
            self.hub.complete();
        }
    }

    /// A list that is not complete may yet break off.
    fn note_well(&self) {
        if self.reflector.version().is_some() {
            self.hub.board.well(Who::Kind(self.kind));
        }
    }
}

fn broken_off(cause: Trouble) -> Trouble {
    match cause {
        Trouble::TooLong(_) => cause,
        _ => Trouble::Unreachable(format!("the list broke off: {cause}")),
    }
}

fn named(object: &str) -> Result<(live::ObjectName, String), Trouble> {
    live::read_name(object).map_err(|error| Trouble::Unreadable(error.to_string()))
}
