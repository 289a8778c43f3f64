//! What a pod says: what is for people is passed on as it comes, the results are kept.

use std::future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::api::{Api, Log};
use super::room::Room;
use crate::network::handover::Received;
use crate::network::task::Results;

/// A pod that is listened to.
pub(super) struct Hearing<'a> {
    api: &'a Api,
    path: String,
    log: Option<Log>,
    /// Lines of this log so far, and of the longest one.
    at: usize,
    told: usize,
    received: Received,
}

impl<'a> Hearing<'a> {
    /// Of a pod whose container has its name.
    pub(super) fn new(api: &'a Api, room: &Room<'_>, pod: &str) -> Self {
        Self {
            api,
            path: room.path(&format!("pods/{pod}/log?container={pod}")),
            log: None,
            at: 0,
            told: 0,
            received: Received::default(),
        }
    }

    /// Begins to listen, unless that is so: again, where a connection got lost. It may be too early; who wants to hear,
    /// tries again.
    pub(super) async fn open(&mut self) {
        if self.log.is_none() {
            self.read(&format!("{}&follow=true", self.path)).await;
        }
    }

    /// Waits for a line and takes it; for ever, where nothing is open.
    pub(super) async fn hear(&mut self) {
        let Some(log) = &mut self.log else {
            return future::pending().await;
        };
        match log.line().await {
            Some(line) => self.take(&line),
            None => self.log = None,
        }
    }

    /// Listens to the end of the log, for `patience` at most.
    pub(super) async fn hear_out(&mut self, patience: Duration) {
        let limit = Instant::now() + patience;
        while self.log.is_some() {
            tokio::select! {
                () = self.hear() => {}
                () = sleep_until(limit) => return,
            }
        }
    }

    /// Reads all that was said once more: the results, if they are in it.
    pub(super) async fn again(&mut self, patience: Duration) -> Option<Results> {
        let path = self.path.clone();
        self.read(&path).await;
        self.hear_out(patience).await;
        self.results()
    }

    /// The results, once they are whole.
    pub(super) fn results(&self) -> Option<Results> {
        self.received.results()
    }

    /// From the beginning.
    async fn read(&mut self, path: &str) {
        self.log = self.api.log(path).await.ok();
        self.at = 0;
        self.received = Received::default();
    }

    fn take(&mut self, line: &str) {
        self.at += 1;
        let is_told = self.at <= self.told;
        self.told = self.told.max(self.at);
        if !self.received.hear(line) && !is_told {
            eprintln!("{line}");
        }
    }
}
