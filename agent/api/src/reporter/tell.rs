//! Writes Events and conditions while this agent leads: a thin loop that does what [`Book`] says.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value as Json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Shared;
use super::book::{Book, Next, Target, Work};
use super::election::Time;
use super::shape::{self, CONTROLLER, Current};
use super::state::What;
use crate::backoff::{Backoff, at_least};
use crate::hub::Hub;
use crate::trouble::Trouble;

const JSON: &str = "application/json";
/// Server-side apply: what is left out of it is taken away where it was ours, and nothing else is.
const APPLY: &str = "application/apply-patch+yaml";
const EVENTS: &str = "events.events.k8s.io";
/// The longest wait for a server that does not answer.
const MOST_WAIT: Duration = Duration::from_secs(30);

pub(crate) struct Teller {
    hub: Arc<Hub>,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
    backoff: Backoff,
    /// The next object is not written to before.
    paced: Instant,
}

/// A list of one, or of none.
#[derive(Deserialize)]
struct List {
    items: Vec<Current>,
}

impl Teller {
    pub(crate) fn new(hub: Arc<Hub>, shared: Arc<Shared>, stop: watch::Receiver<bool>) -> Self {
        Self {
            paced: shared.began,
            hub,
            shared,
            stop,
            backoff: Backoff::up_to(MOST_WAIT),
        }
    }

    /// Writes until it is to stop.
    pub(crate) async fn run(mut self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = self.lead() => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn lead(&mut self) {
        let mut leads = self.shared.leads.subscribe();
        // The sender lives as long as this.
        while leads
            .wait_for(|until| still(*until).is_some())
            .await
            .is_ok()
        {
            self.term().await;
            self.shared.state.waits(0);
        }
    }

    /// Writes for as long as this agent leads.
    async fn term(&mut self) {
        let mut book = Book::new(self.shared.options.settles);
        let mut leads = self.shared.leads.subscribe();
        let mut known = self.shared.known.subscribe();
        known.mark_changed();
        loop {
            let Some(until) = still(*leads.borrow_and_update()) else {
                return;
            };
            if known.has_changed().unwrap_or(false)
                && let Some(known) = known.borrow_and_update().clone()
            {
                book.take(known, self.now());
            }
            let next = book.next(self.now());
            if !known.has_changed().unwrap_or(false) {
                self.shared.state.waits(book.waiting());
            }
            let wake = match next {
                Next::Write(work) if Instant::now() >= self.paced => {
                    self.pace();
                    // Whatever is under way when the term ends is given up.
                    let _in_time = timeout_at(until, self.write(&mut book, work)).await;
                    continue;
                }
                Next::Write(_) => self.paced,
                Next::Nothing(due) => due.map_or(until, |due| self.shared.began + due),
            };
            tokio::select! {
                () = sleep_until(wake.min(until)) => {}
                _ = known.changed() => known.mark_changed(),
                _ = leads.changed() => leads.mark_changed(),
            }
        }
    }

    fn now(&self) -> Time {
        self.shared.began.elapsed()
    }

    fn pace(&mut self) {
        let apart = Duration::from_secs(1) / self.shared.options.per_second.max(1);
        self.paced = Instant::now() + apart;
    }

    async fn write(&mut self, book: &mut Book, work: Work) {
        let outcome = match work.target {
            Target::Events => self.tell(&work).await,
            Target::Status(_) => self.apply(&work).await,
        };
        let what = work.what();
        match outcome {
            Ok(()) => {
                self.backoff.reset();
                book.wrote(work, self.now());
            }
            Err(Trouble::Forbidden { message, .. }) => {
                self.shared.state.refused(what, message);
                book.block(work.target, self.now() + self.shared.options.refused);
            }
            Err(Trouble::Unsupported(message)) => {
                let subject = work.subject.path();
                tracing::warn!(
                    subject,
                    error = message,
                    "what is the matter with a policy cannot be written"
                );
                self.shared
                    .state
                    .failed(what, &Trouble::Unsupported(message));
                book.wrote(work, self.now());
            }
            Err(trouble) => {
                self.shared.state.failed(what, &trouble);
                // What is wrong with it is told by those who watch.
                drop(self.hub.renew(&trouble).await);
                let wait = at_least(trouble.retry_after(), self.backoff.wait());
                let now = self.now();
                book.postpone(work, now, now + wait);
                if trouble.is_of_server() {
                    self.paced = Instant::now() + wait;
                }
            }
        }
    }

    /// Writes an Event for each finding.
    async fn tell(&self, work: &Work) -> Result<(), Trouble> {
        let Some(current) = self.current(work).await? else {
            return Ok(());
        };
        let path = work.subject.events();
        let node = &self.shared.options.node;
        for finding in &work.known.findings {
            let now = Timestamp::now();
            let event = shape::event(&work.subject, &current.metadata, finding, node, now);
            match self.send(Method::POST, &path, (JSON, &event), EVENTS).await {
                Ok(_event) => self.shared.state.wrote(What::Events),
                // It was told before.
                Err(Trouble::Refused { code: 409, .. }) => {}
                Err(Trouble::NotServed) => return Ok(()),
                Err(Trouble::Forbidden { message, .. }) if is_terminating(&message) => {
                    return Ok(());
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(())
    }

    /// Applies the conditions, where they are to be others.
    async fn apply(&self, work: &Work) -> Result<(), Trouble> {
        let Some(current) = self.current(work).await? else {
            return Ok(());
        };
        let now = Timestamp::now();
        let Some(body) = shape::status(&work.subject, &current, &work.known, now) else {
            return Ok(());
        };
        let path = format!("{}/status?fieldManager={CONTROLLER}", work.subject.path());
        let resource = work.subject.kind.resource();
        match self
            .send(Method::PATCH, &path, (APPLY, &body), resource)
            .await
        {
            Ok(_object) => {
                self.shared.state.wrote(work.what());
                Ok(())
            }
            // Others' conditions of the same type stay theirs.
            Err(Trouble::Refused {
                code: 409, message, ..
            }) if message.starts_with("Apply failed") => {
                tracing::warn!(
                    subject = path,
                    error = message,
                    "conditions are somebody else's"
                );
                Ok(())
            }
            Err(Trouble::NotServed) if self.current(work).await?.is_some() => {
                Err(Trouble::Forbidden {
                    resource: resource.to_owned(),
                    message: format!("{resource} has no status subresource"),
                })
            }
            Err(Trouble::NotServed) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// The object as it is now; none where it is gone, or newer than what is known of it, which will be told in turn.
    async fn current(&self, work: &Work) -> Result<Option<Current>, Trouble> {
        let resource = work.subject.kind.resource();
        let answer = self
            .hub
            .send(Method::GET, &work.subject.list(), None, resource)
            .await;
        let list = match answer {
            Err(Trouble::NotServed) => return Ok(None),
            other => other?,
        };
        let list = serde_json::from_value::<List>(list);
        let List { items } = list.map_err(|error| Trouble::Unreadable(error.to_string()))?;
        let is_known = |current: &Current| current.metadata.generation <= work.known.generation;
        Ok(items.into_iter().next().filter(is_known))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: (&'static str, &Json),
        resource: &str,
    ) -> Result<Json, Trouble> {
        self.hub.send(method, path, Some(body), resource).await
    }
}

impl Work {
    fn what(&self) -> What {
        match self.target {
            Target::Events => What::Events,
            Target::Status(kind) => What::Status(kind.resource()),
        }
    }
}

/// Until when this agent leads, where it does.
fn still(until: Option<Instant>) -> Option<Instant> {
    until.filter(|until| Instant::now() < *until)
}

/// A namespace that is about to go takes nothing new, whatever one may otherwise.
fn is_terminating(message: &str) -> bool {
    message.contains("because it is being terminated")
}
