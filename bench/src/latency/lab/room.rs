//! A laboratory that is up: the agent, the connections that are tried all the time, and changes of the manifests.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use sluice_lab::stream::{Hammer, Pace, Stream};
use sluice_lab::{Agent, AgentOptions, Lab, Options};
use sluice_policy::Protocol;

use super::super::timing::{self, Closed, Opened};
use super::churn::{self, Churned};
use super::flow::{self, Flow};
use super::world::{self, ALLOW, BURST, HOME, TARGET};
use super::{Enforcer, Plan, What};

/// Numbers of open connections.
const PACE: Pace = Pace {
    interval: Duration::from_micros(200),
    answered: true,
};
/// Repetitions after which connections begin at their first port again: what there is to look through stays short.
const REFRESH: usize = 64;
/// By then conntrack has forgotten connections that were reset (`nf_conntrack_tcp_timeout_close` is 10 s).
const FORGOTTEN: Duration = Duration::from_secs(11);
/// After so long without a change, the next one is taken for itself.
const ALONE: Duration = Duration::from_millis(150);
/// Connections that are tried after the enforcer says that it is done, to see whether one leaks, or is lost.
pub(super) const MORE: u64 = 40;
/// From one question whether it is done to the next: what is known of when it said so is off by that.
const ASK: Duration = Duration::from_millis(2);

/// A laboratory that is up.
pub(super) struct Room {
    // Before the lab, whose namespaces they are in.
    client: Hammer,
    stranger: Option<Hammer>,
    lab: Lab,
    interval: Duration,
    /// When something was changed last.
    changed: Cell<Instant>,
    /// Whether pods come and go.
    churns: Cell<bool>,
    churned: Cell<Churned>,
}

/// A change of the manifests.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    /// The file.
    file: &'static str,
    /// What is in it now.
    text: String,
}

/// A change that was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// Right before it was put in its place.
    pub(super) at: Instant,
    /// Whoever begins to read the manifests after that reads it, but for some microseconds.
    stamp: f64,
}

impl Room {
    /// Everything is denied: by policy, or as there is no target.
    pub(super) fn up(plan: &Plan, enforcer: Enforcer) -> Result<Self> {
        let is_of_pods = plan.what == What::Pod;
        let manifests = world::manifests(plan.policies, is_of_pods);
        let mut lab = Lab::up(&manifests, &Options::default())?;
        if is_of_pods {
            lab.manifests().write(TARGET, world::NOTHING)?;
        }
        // Who answers again seconds later is reset by the client, from a port that is another connection's by then.
        let target = lab.pod_netns(&world::name("target"))?;
        target.set_sysctl("ipv4/tcp_synack_retries", "0")?;
        lab.start_agents(&AgentOptions {
            binary: plan.agent.clone(),
            mode: enforcer.mode(),
            arguments: Vec::new(),
            environment: Vec::new(),
        })?;
        let hammer = |from| lab.hammer(&world::cell(from, Protocol::Tcp), plan.interval);
        let room = Self {
            client: hammer("client")?,
            stranger: is_of_pods.then(|| hammer("stranger")).transpose()?,
            interval: plan.interval,
            changed: Cell::new(Instant::now()),
            churns: Cell::default(),
            churned: Cell::default(),
            lab,
        };
        flow::stand("a client who may not is denied", &[&room.client])?;
        if let Some(stranger) = &room.stranger {
            flow::flow("who is not known is not isolated", &[stranger])?;
        }
        Ok(room)
    }

    /// Begins anew with what is tried, every now and then.
    pub(super) fn refresh(&mut self, repetition: usize) -> Result<()> {
        if repetition % REFRESH != REFRESH - 1 {
            return Ok(());
        }
        let had_stranger = self.stranger.take().is_some();
        // reason: what begins again at ports that conntrack still knows is not new.
        thread::sleep(FORGOTTEN);
        let hammer = |from| {
            let cell = world::cell(from, Protocol::Tcp);
            self.lab.hammer(&cell, self.interval)
        };
        let client = hammer("client")?;
        self.stranger = had_stranger.then(|| hammer("stranger")).transpose()?;
        self.client = client;
        Ok(())
    }

    /// Connections of the client.
    pub(super) fn client(&self) -> &Hammer {
        &self.client
    }

    /// Connections of whom the target takes nothing.
    pub(super) fn stranger(&self) -> Result<&Hammer> {
        self.stranger.as_ref().context("no stranger")
    }

    /// An open connection of the client, or the like over UDP, that flows.
    pub(super) fn stream(&self, protocol: Protocol) -> Result<Stream> {
        let stream = self.lab.stream(&world::cell("client", protocol), PACE)?;
        flow::flow("a stream flows", &[&stream])?;
        Ok(stream)
    }

    /// Gives the target another link, as when it is made anew.
    pub(super) fn replug(&self) -> Result<()> {
        self.lab.replug(&world::name("target")).map(drop)
    }

    /// Changes the manifests.
    pub(super) fn edit(&self, edit: &Edit) -> Result<Change> {
        // reason: of manifests that change in a row the agent takes those that follow closely together, and waits for them.
        thread::sleep(ALONE.saturating_sub(self.changed.get().elapsed()));
        let draft = self.lab.manifests().draft(edit.file, &edit.text)?;
        let draft = draft.settled()?;
        let (at, before) = (Instant::now(), stamp()?);
        draft.put()?;
        self.changed.set(Instant::now());
        // Who reads all the time may have begun to before it was there; it will again.
        let stamp = if self.churns.get() { stamp()? } else { before };
        Ok(Change { at, stamp })
    }

    /// Does `what` while so many pods come in a second, and as many go.
    pub(super) fn churn(&self, rate: u32, what: impl FnOnce() -> Result<()>) -> Result<()> {
        self.churns.set(true);
        let done = churn::meanwhile(self.lab.manifests(), rate, what);
        self.churns.set(false);
        self.changed.set(Instant::now());
        let ((), churned) = done?;
        self.churned.set(self.churned.get() + churned);
        Ok(())
    }

    /// The pods that came and went so far.
    pub(super) fn churned(&self) -> Churned {
        self.churned.get()
    }

    /// Waits for `what`, and until the agent says that it enforces a change: when it did. It is asked meanwhile, so that
    /// what arrives then is told apart from what arrived before.
    fn while_asked(&self, change: Change, what: impl FnOnce() -> Result<()>) -> Result<Instant> {
        let agent = self.lab.agents().first().context("no agent")?;
        thread::scope(|scope| {
            let said = scope.spawn(|| enforced(agent, change));
            let waited = what();
            let done = said
                .join()
                .map_err(|_panic| anyhow!("nobody asks the agent"))?;
            waited.and(done)
        })
    }

    /// Makes a change that lets the client through.
    pub(super) fn open(&self, edit: &Edit) -> Result<Opened> {
        let change = self.edit(edit)?;
        Ok(self.opened(change)?.0)
    }

    /// What became of the client with a change that lets it through, and when the agent said that it is done.
    pub(super) fn opened(&self, change: Change) -> Result<(Opened, Instant)> {
        let flows = || flow::flow("the client gets through", &[&self.client]);
        let done = self.while_asked(change, flows)?;
        let sent = self.client.sent();
        let settled = sent..sent + MORE;
        flow::go_by(&self.client, MORE)?;
        flow::settle(&self.client, settled.clone());
        let opened = timing::opened(&self.client.deliveries(), change.at, done, settled);
        Ok((opened.context("nothing arrived")?, done))
    }

    /// Makes a change that denies the client, its open connections too: what became of the new ones first.
    pub(super) fn close(&self, edit: &Edit, streams: &[&Stream]) -> Result<Vec<Closed>> {
        use sluice_lab::stream::Direction::Forward;
        let change = self.edit(edit)?;
        let mut flows: Vec<&dyn Flow> = vec![&self.client];
        flows.extend(streams.iter().map(|stream| *stream as &dyn Flow));
        let done = self.while_asked(change, || flow::stand("nothing gets through", &flows))?;
        flow::go_by(&self.client, MORE)?;
        let new = timing::closed(&self.client.deliveries(), change.at, done);
        let open = streams.iter().map(|stream| {
            let deliveries = stream.deliveries(Forward);
            timing::closed(&deliveries, change.at, done)
        });
        Ok(std::iter::once(new).chain(open).collect())
    }
}

/// By the clock that the agent goes by.
fn stamp() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// Asks until the agent says that it enforces a change: when it did.
fn enforced(agent: &Agent, change: Change) -> Result<Instant> {
    let mut failed = Ok(());
    let says_so = || match agent.enforced_as_of() {
        Ok(as_of) => as_of >= Some(change.stamp),
        Err(error) => {
            failed = Err(error);
            true
        }
    };
    flow::await_each(ASK, "a change is enforced", says_so)?;
    failed.map(|()| Instant::now())
}

impl Edit {
    /// The policy that allows is made.
    pub(super) fn allow() -> Self {
        Self {
            file: ALLOW,
            text: world::allow(),
        }
    }

    /// It is gone.
    pub(super) fn deny() -> Self {
        Self {
            file: ALLOW,
            text: world::NOTHING.to_owned(),
        }
    }

    /// The target has this label.
    pub(super) fn label(role: &str) -> Self {
        Self {
            file: TARGET,
            text: world::target(role),
        }
    }

    /// The namespace has this label.
    pub(super) fn door(door: &str) -> Self {
        Self {
            file: HOME,
            text: world::namespace(door),
        }
    }

    /// So many policies are made, the last of which allows.
    pub(super) fn burst(policies: usize) -> Self {
        Self {
            file: BURST,
            text: world::burst(policies),
        }
    }

    /// They are gone.
    pub(super) fn no_burst() -> Self {
        Self {
            file: BURST,
            text: world::NOTHING.to_owned(),
        }
    }

    /// There is no target.
    pub(super) fn no_target() -> Self {
        Self {
            file: TARGET,
            text: world::NOTHING.to_owned(),
        }
    }
}
