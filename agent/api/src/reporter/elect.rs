//! Takes part in the election: a thin loop that does what [`Election`] says.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde_json::Value as Json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Shared;
use super::election::{Election, Record, Seen, Step, Time};
use super::shape;
use super::state::What;
use crate::backoff::{Backoff, at_least, between};
use crate::hub::Hub;
use crate::trouble::Trouble;

/// The name of the Lease object.
const NAME: &str = "sluice";
const RESOURCE: &str = "leases.coordination.k8s.io";
const JSON: &str = "application/json";
/// The longest wait of a candidate that has no answers.
const MOST_WAIT: Duration = Duration::from_secs(30);

pub(crate) struct Elector {
    hub: Arc<Hub>,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
    /// Empty until it is known.
    namespace: String,
    identity: String,
    election: Election,
    /// The Lease object as the server last showed it.
    object: Option<Json>,
    backoff: Backoff,
}

impl Elector {
    pub(crate) fn new(hub: Arc<Hub>, shared: Arc<Shared>, stop: watch::Receiver<bool>) -> Self {
        let options = &shared.options;
        // An agent that is started again is another one: what the former still writes is not its own.
        let number = RandomState::new().hash_one(0_u8);
        let identity = format!("{}_{number:016x}", options.node);
        let namespace = options.namespace.clone();
        Self {
            namespace: namespace.unwrap_or_default(),
            election: Election::new(identity.clone(), options.terms),
            identity,
            object: None,
            backoff: Backoff::up_to(MOST_WAIT),
            hub,
            shared,
            stop,
        }
    }

    /// Takes part until it is to stop, and then gives back what it has.
    pub(crate) async fn run(mut self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = self.take_part() => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        self.shared.leads.send_replace(None);
        self.release().await;
    }

    async fn take_part(&mut self) {
        while self.namespace.is_empty() {
            match self.hub.default_namespace().await {
                Ok(namespace) => self.namespace = namespace,
                // Those who watch tell of it.
                Err(_trouble) => sleep(self.backoff.wait()).await,
            }
        }
        self.backoff.reset();
        loop {
            match self.election.step(self.now()) {
                Step::Wait(until) => sleep_until(self.shared.began + until).await,
                Step::Look => self.look().await,
                Step::Create(record) => self.create(&record).await,
                Step::Update(record, _) => self.update(&record).await,
            }
            self.publish();
        }
    }

    fn now(&self) -> Time {
        self.shared.began.elapsed()
    }

    async fn look(&mut self) {
        // What the server remembers is good enough to look at; whoever writes by it is told if it is old.
        let path = format!("{}?resourceVersion=0", self.path());
        let answer = self.ask(Method::GET, &path, None).await;
        let now = self.now();
        let spread = between(Duration::ZERO, Duration::from_secs(1)).as_secs_f64();
        match answer {
            Ok((seen, object)) => {
                self.object = Some(object);
                self.backoff.reset();
                self.election.saw(Some(seen), now, spread);
            }
            Err(Trouble::NotServed) => self.election.saw(None, now, spread),
            Err(trouble) => self.failed(&trouble).await,
        }
    }

    async fn create(&mut self, record: &Record) {
        let body = shape::lease((&self.namespace, NAME), None, record, Timestamp::now());
        let path = self.collection();
        self.write(Method::POST, &path, &body).await;
    }

    async fn update(&mut self, record: &Record) {
        let names = (&*self.namespace, NAME);
        let body = shape::lease(names, self.object.as_ref(), record, Timestamp::now());
        let path = self.path();
        self.write(Method::PUT, &path, &body).await;
    }

    async fn write(&mut self, method: Method, path: &str, body: &Json) {
        // What others count from is later.
        let sent = self.now();
        match self.ask(method, path, Some(body)).await {
            Ok((seen, object)) => {
                self.object = Some(object);
                self.backoff.reset();
                self.shared.state.wrote(What::Election);
                self.election.wrote(seen, sent);
            }
            Err(Trouble::Refused { code: 409, .. }) => self.election.lost(self.now()),
            Err(trouble) => self.failed(&trouble).await,
        }
    }

    async fn failed(&mut self, trouble: &Trouble) {
        let options = &self.shared.options;
        let wait = if let Trouble::Forbidden { message, .. } = trouble {
            self.shared.state.refused(What::Election, message.clone());
            options.refused
        } else {
            self.shared.state.failed(What::Election, trouble);
            // What is wrong with it is told by those who watch.
            drop(self.hub.renew(trouble).await);
            let due = match self.election.leads_until() {
                Some(_) => options.terms.retry,
                None => self.backoff.wait().max(options.terms.retry),
            };
            at_least(trouble.retry_after(), due)
        };
        self.election.failed(self.now(), wait);
    }

    /// Sends, and reads the Lease object that comes back.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<(Seen, Json), Trouble> {
        let terms = &self.shared.options.terms;
        // A leader has time for another try.
        let patience = terms.renewed_by / 2;
        let answer = self
            .hub
            .send(method, path, body.map(|body| (JSON, body)), RESOURCE);
        let answer = timeout(patience, answer).await;
        let object = answer.map_err(|_elapsed| Trouble::Silent(patience.as_secs()))??;
        let seen = shape::read_lease(&object).map_err(Trouble::Unreadable)?;
        Ok((seen, object))
    }

    /// Tells the writer until when it may write.
    fn publish(&self) {
        let until = self
            .election
            .leads_until()
            .map(|until| self.shared.began + until);
        let before = *self.shared.leads.borrow();
        if before == until {
            return;
        }
        let led = before.is_some_and(|before| Instant::now() < before);
        match until {
            Some(_) if !led => {
                // What was known in an earlier term may be old.
                self.shared.known.send_replace(None);
                tracing::info!(
                    identity = self.identity,
                    "elected to tell policies' owners what is the matter"
                );
            }
            None if before.is_some() => {
                tracing::info!(
                    identity = self.identity,
                    "another agent may tell policies' owners"
                );
            }
            _ => {}
        }
        self.shared.leads.send_replace(until);
    }

    async fn release(&mut self) {
        let Some((record, _)) = self.election.release() else {
            return;
        };
        let conflict = matches!(
            self.put(&record).await,
            Err(Trouble::Refused { code: 409, .. })
        );
        // A renewal that nobody waited for was taken, perhaps.
        if conflict && self.is_still_ours().await {
            drop(self.put(&record).await);
        }
    }

    async fn put(&self, record: &Record) -> Result<(), Trouble> {
        let names = (&*self.namespace, NAME);
        let body = shape::lease(names, self.object.as_ref(), record, Timestamp::now());
        self.ask(Method::PUT, &self.path(), Some(&body))
            .await
            .map(drop)
    }

    async fn is_still_ours(&mut self) -> bool {
        let Ok((seen, object)) = self.ask(Method::GET, &self.path(), None).await else {
            return false;
        };
        self.object = Some(object);
        seen.record.holder == self.identity
    }

    fn collection(&self) -> String {
        let namespace = &self.namespace;
        format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
    }

    fn path(&self) -> String {
        format!("{}/{NAME}", self.collection())
    }
}
