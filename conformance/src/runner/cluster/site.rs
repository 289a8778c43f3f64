//! The cluster of a run, and what was made there: a room for each world, until it fails too often.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Result, bail};
use serde_json::json;

use super::access::{self, Found};
use super::api::Api;
use super::names::{self, Names};
use super::room::{RefusedPolicy, Room};
use super::run::{Ended, Run};
use super::settle::Pace;
use super::{ClusterError, ClusterOptions, Fatal, accepted, make, unable};
use crate::StateError;
use crate::case::Case;
use crate::profile::Profile;
use crate::runner::Tally;
use crate::state::has_stand_in;

/// So many cases in a row are not judged, and their world is not made again.
const FAILURES: u32 = 2;

/// The cluster, and what was made there.
pub(super) struct Site {
    pub(super) api: Api,
    pub(super) options: ClusterOptions,
    pub(super) found: Found,
    /// What tells this run from others.
    pub(super) run: String,
    pub(super) rooms: BTreeMap<Arc<str>, Room>,
    /// Of what was not judged of late: how often in a row, and why.
    failures: BTreeMap<String, (u32, String)>,
    pace: Pace,
    /// The paths of the cluster-scoped policies that there may be of this run.
    pub(super) admin: BTreeSet<String>,
    /// Rooms that were made, as each has a name of its own.
    made: u32,
    /// The names of objects that are only asked about, and their namespaces that there are.
    objects: Names,
    namespaces: BTreeSet<String>,
}

impl Site {
    pub(super) async fn find(options: ClusterOptions, run: String) -> Result<Self, ClusterError> {
        let api = access::connect(&options).await?;
        access::review(&api).await?;
        let found = access::look(&api).await?;
        let objects = Names::new(&options.prefix, &run, "objects", BTreeMap::new());
        Ok(Self {
            api,
            options,
            found,
            run,
            rooms: BTreeMap::new(),
            failures: BTreeMap::new(),
            pace: Pace::default(),
            admin: BTreeSet::new(),
            made: 0,
            objects,
            namespaces: BTreeSet::new(),
        })
    }

    pub(super) async fn judge(
        &mut self,
        case: &Case,
        profile: Profile,
        tally: &mut Tally,
    ) -> Result<Ended> {
        if accepted::is_all(case) {
            self.make_namespaces(case).await?;
            return accepted::judge(&self.api, &self.objects, case).await;
        }
        let account = account(case);
        if let Some((_, why)) = self
            .failures
            .get(&account)
            .filter(|(it, _)| *it >= FAILURES)
        {
            bail!("world {account} is not made again: {why}");
        }
        let is_used = self.rooms.contains_key(&case.world);
        let (mut ended, mut is_kept) = self.in_room(case, profile, tally).await;
        if is_used && !is_kept && ended.as_ref().is_err_and(|it| !it.is::<Fatal>()) {
            // What others left there, or an enforcer kept of them, says nothing about this one.
            (ended, is_kept) = self.in_room(case, profile, tally).await;
        }
        match &ended {
            Err(error) if !is_kept => {
                let failed = self.failures.entry(account).or_default();
                *failed = (failed.0 + 1, format!("{error:#}"));
            }
            _ if is_kept => drop(self.failures.remove(&account)),
            _ => {}
        }
        ended
    }

    /// Judges a case in the room of its world; whether that is what it was afterwards, and kept.
    async fn in_room(
        &mut self,
        case: &Case,
        profile: Profile,
        tally: &mut Tally,
    ) -> (Result<Ended>, bool) {
        let mut room = match self.room(case) {
            Ok(room) => room,
            Err(error) => return (Err(error), false),
        };
        let admin = unable::objects(case).filter(|it| names::admin_resource(it).is_some());
        self.admin.extend(admin.map(|it| room.names.collection(it)));
        let mut run = Run {
            room: &mut room,
            case,
            profile,
            convergence: self.options.convergence,
            tally,
            pace: &mut self.pace,
            before: None,
            open: BTreeMap::new(),
        };
        let ended = run.case().await;
        let cleared = room.clear_policies().await;
        let (ended, is_as_before) = match (ended, cleared) {
            (Ok(ended), Ok(())) => (Ok(ended), true),
            // A failure stands, whatever becomes of the room.
            (Ok(failed @ Ended::Failed(_)), Err(_)) => (Ok(failed), false),
            (Ok(_), Err(error)) => (Err(error), false),
            (Err(error), cleared) => {
                let (ended, is_as_before) = excused(case, error);
                (ended, is_as_before && cleared.is_ok())
            }
        };
        if is_as_before {
            self.rooms.insert(Arc::clone(&case.world), room);
        } else {
            room.abandon().await;
        }
        (ended, is_as_before)
    }

    /// The room of a case's world.
    fn room(&mut self, case: &Case) -> Result<Room> {
        if let Some(room) = self.rooms.remove(&case.world) {
            return Ok(room);
        }
        self.made += 1;
        let name = format!("{}-{}", case.world, self.made);
        (self.options.progress)(&format!("world {}: making its pods", case.world));
        Room::new(
            &self.api,
            &self.options,
            &self.run,
            (&case.world, &name),
            &self.found.nodes,
        )
    }

    /// Namespaces for objects that are only asked about.
    async fn make_namespaces(&mut self, case: &Case) -> Result<()> {
        let steps = || case.steps.iter();
        let taken = steps().flat_map(|step| &step.accepted);
        let refused = steps().flat_map(|step| step.rejected.iter().map(|(object, _)| object));
        for object in taken.chain(refused) {
            let name = &object.name().namespace;
            if name.is_empty() || self.namespaces.contains(name) {
                continue;
            }
            let real = self.objects.namespace(name);
            let labels = self.objects.labels("Namespace", serde_json::Map::new());
            let manifest = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": real, "labels": labels},
            });
            make::make_namespace(&self.api, "/api/v1/namespaces", &manifest).await?;
            self.namespaces.insert(name.clone());
        }
        Ok(())
    }
}

/// What an error means for a case, and whether the room is what it was all the same.
fn excused(case: &Case, error: anyhow::Error) -> (Result<Ended>, bool) {
    // It is as if the policy were not there.
    if let Some(refused) = error.downcast_ref::<RefusedPolicy>() {
        let own = unable::objects(case).filter(|it| *it.name() == refused.name);
        // An exception need not lie in its block where pods have other addresses than the case declares.
        let is_skipped =
            case.is_about_problems() || own.into_iter().any(|it| has_stand_in(it.value()));
        let skipped = Ended::Skipped(error.to_string());
        return (if is_skipped { Ok(skipped) } else { Err(error) }, true);
    }
    // An address of a family that pods do not have here; nothing was made of it.
    if matches!(error.downcast_ref(), Some(StateError::Address(_))) {
        let reason = format!("pods of this cluster have no such address: {error}");
        return (Ok(Ended::Skipped(reason)), true);
    }
    (Err(error), false)
}

/// What fails together: a world, and what of the network it takes. Where there is no SCTP, TCP is judged all the same.
fn account(case: &Case) -> String {
    let means = ["np.sctp", "np.ipv6", "np.dual"];
    let means = means.iter().filter(|it| case.features.contains(**it));
    let mut account = case.world.to_string();
    means.for_each(|it| account.extend([" with ", it]));
    account
}
