//! The scenes, each in its own election.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde_json::json;
use sluice_api::{Reason, Subject};
use sluice_cluster::until;

use crate::bed::{ANP, Agent, BRIEF, Bed, CNP, LIMIT, SETTLES, TERMS};

const INVALID: &[(Reason, &str)] = &[(Reason::Invalid, "spec.x: bad")];
const TOLD: &[&str] = &["Warning Invalid: spec.x: bad"];

/// The one that leads, and the other.
fn elect<'a>(one: &'a Agent, other: &'a Agent) -> Result<(&'a Agent, &'a Agent)> {
    until("an election", LIMIT, || {
        let leads = (
            one.reporter.leads().is_some(),
            other.reporter.leads().is_some(),
        );
        // One may have handed over between the two looks.
        let both = leads == (true, true) && one.reporter.leads().is_some();
        ensure!(!both, "two lead");
        Ok(match leads {
            (true, _) => Some((one, other)),
            (_, true) => Some((other, one)),
            _ => None,
        })
    })
}

pub(crate) fn two_agents_tell_once_and_one_takes_over_from_the_other(bed: &Bed<'_>) -> Result<()> {
    let (policy, later) = (bed.network_policy("p")?, bed.network_policy("later")?);
    let brief = |node| bed.agent_with(node, |options| options.terms = BRIEF);
    let agents = [brief("node-1")?, brief("node-2")?];
    // Who stood still for too long is elected anew, and has to be told again.
    until("an event", LIMIT, || {
        let (leader, _) = elect(&agents[0], &agents[1])?;
        leader.tell(&[(&policy, 1, INVALID)])?;
        Ok((bed.events(&policy)? == TOLD).then_some(()))
    })?;
    let lease = bed.lease()?;
    ensure!(
        lease["spec"]["leaseDurationSeconds"] == BRIEF.lasts.as_secs(),
        "{lease:#}"
    );
    let events = bed.get(&["events.events.k8s.io", "-n", &bed.namespace])?;
    let event = &events["items"][0];
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    let node = event["reportingInstance"].as_str().unwrap_or_default();
    ensure!(
        holder.starts_with(&format!("{node}_")),
        "{holder} {event:#}"
    );
    let description =
        bed.control
            .kubectl(&["describe", "networkpolicy", "p", "-n", &bed.namespace]);
    ensure!(
        event["regarding"]["uid"].is_string(),
        "{event:#} {description:?}"
    );
    let [one, other] = agents;
    let (killed, heir) = if one.reporter.leads().is_some() {
        (one, other)
    } else {
        (other, one)
    };
    let left = bed.lease()?;
    drop(killed);
    until("events of the heir", LIMIT, || {
        heir.tell(&[(&policy, 1, INVALID), (&later, 1, INVALID)])?;
        Ok((bed.events(&later)? == TOLD).then_some(()))
    })?;
    let taken = bed.lease()?;
    let holder = |lease: &serde_json::Value| lease["spec"]["holderIdentity"].clone();
    // The heir may have had it already, where the other stood still for a while.
    if holder(&left) != holder(&taken) {
        let waited = time(&taken, "acquireTime")?.duration_since(time(&left, "renewTime")?);
        println!("taken over {waited:#} after it was renewed");
        let is_early = waited.as_secs_f64() < BRIEF.lasts.as_secs_f64();
        ensure!(!is_early, "too early: {waited:#}");
    }
    ensure!(
        bed.events(&policy)? == TOLD,
        "told twice: {:?}",
        bed.events(&policy)?
    );
    Ok(())
}

pub(crate) fn an_agent_that_stops_hands_over_at_once(bed: &Bed<'_>) -> Result<()> {
    let first = bed.agent("node-1")?;
    first.await_leading()?;
    let second = bed.agent("node-2")?;
    first.stop()?;
    let stopped_at = Instant::now();
    second.await_leading()?;
    let took = stopped_at.elapsed();
    println!("handed over within {took:.1?}");
    ensure!(took < TERMS.renewed_by, "{took:?}");
    let lease = bed.lease()?;
    ensure!(lease["spec"]["leaseTransitions"] == 1, "{lease:#}");
    Ok(())
}

/// A time of a Lease.
fn time(lease: &serde_json::Value, field: &str) -> Result<Timestamp> {
    let text = lease["spec"][field].as_str();
    Ok(text.context("a time")?.parse()?)
}

/// A condition as somebody else writes it.
fn theirs(kind: &str, status: &str) -> serde_json::Value {
    json!({"type": kind, "status": status, "reason": "Theirs", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

pub(crate) fn conditions_appear_change_and_go_and_others_stay(bed: &Bed<'_>) -> Result<()> {
    let policy = bed.admin_policy(ANP, "p", 1)?;
    let agent = bed.agent("node-1")?;
    agent.tell(&[(&policy, 1, &[(Reason::PriorityTie, "spec.priority: q")])])?;
    bed.await_conditions(
        &policy,
        &["Accepted True Accepted 1", "Conflicted True PriorityTie 1"],
    )?;
    bed.await_events(&policy, &["Warning PriorityTie: spec.priority: q"])?;
    let patch =
        json!([{"op": "add", "path": "/status/conditions/-", "value": theirs("Theirs", "True")}]);
    let patch = patch.to_string();
    bed.control.kubectl(&[
        "patch",
        "adminnetworkpolicy",
        "p",
        "--subresource=status",
        "--type=json",
        "-p",
        &patch,
    ])?;
    agent.tell(&[(&policy, 1, &[])])?;
    bed.await_conditions(
        &policy,
        &["Accepted True Accepted 1", "Theirs True Theirs null"],
    )?;
    bed.admin_policy(ANP, "p", 2)?;
    agent.tell(&[(&policy, 2, INVALID)])?;
    bed.await_conditions(
        &policy,
        &["Accepted False Invalid 2", "Theirs True Theirs null"],
    )?;
    bed.await_events(
        &policy,
        &[
            "Warning Invalid: spec.x: bad",
            "Warning PriorityTie: spec.priority: q",
        ],
    )?;
    agent.tell(&[(&policy, 2, &[])])?;
    bed.await_conditions(
        &policy,
        &["Accepted True Accepted 2", "Theirs True Theirs null"],
    )?;
    let written = agent.reporter.state();
    ensure!(
        (written.status.written, written.events.written) == (4, 2),
        "{written:?}"
    );
    agent.stop()?;
    whoever_leads_next_has_nothing_to_write(bed, &policy)
}

fn whoever_leads_next_has_nothing_to_write(bed: &Bed<'_>, policy: &Subject) -> Result<()> {
    let next = bed.agent("node-2")?;
    next.tell(&[(policy, 2, &[])])?;
    until("nothing to write", LIMIT, || {
        Ok((next.reporter.state().waiting == 0).then_some(()))
    })?;
    ensure!(
        next.reporter.state().status.written == 0,
        "{:?}",
        next.reporter.state()
    );
    Ok(())
}

pub(crate) fn conditions_of_somebody_else_stay_theirs(bed: &Bed<'_>) -> Result<()> {
    let (other, ours) = (
        bed.admin_policy(ANP, "theirs", 1)?,
        bed.admin_policy(ANP, "ours", 1)?,
    );
    let patch = json!({"status": {"conditions": [theirs("Accepted", "Unknown")]}}).to_string();
    bed.control.kubectl(&[
        "patch",
        "adminnetworkpolicy",
        "theirs",
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ])?;
    let agent = bed.agent("node-1")?;
    // The one comes after the other.
    agent.tell(&[(&ours, 1, &[]), (&other, 1, &[])])?;
    until("all written", LIMIT, || {
        let state = agent.reporter.state();
        Ok((state.waiting == 0 && state.status.written == 1).then_some(()))
    })?;
    ensure!(bed.conditions(&other)? == ["Accepted Unknown Theirs null"]);
    ensure!(bed.conditions(&ours)? == ["Accepted True Accepted 1"]);
    ensure!(agent.reporter.state().troubles.is_empty());
    Ok(())
}

pub(crate) fn what_selects_nothing_is_told_once_it_stayed_so(bed: &Bed<'_>) -> Result<()> {
    let (policy, brief) = (bed.network_policy("p")?, bed.network_policy("brief")?);
    let agent = bed.agent("node-1")?;
    let nothing: &[(Reason, &str)] = &[(Reason::SelectsNothing, "spec.podSelector: no pod")];
    agent.await_leading()?;
    let began = Instant::now();
    agent.tell(&[(&policy, 1, nothing), (&brief, 1, nothing)])?;
    agent.tell(&[(&policy, 1, nothing)])?;
    let told = ["Normal SelectsNothing: spec.podSelector: no pod"];
    bed.await_events(&policy, &told)?;
    ensure!(began.elapsed() >= SETTLES);
    agent.tell(&[(&policy, 1, nothing), (&brief, 1, INVALID)])?;
    bed.await_events(&brief, TOLD)?;
    ensure!(bed.events(&policy)? == told);
    Ok(())
}

pub(crate) fn a_kind_without_a_status_has_events_all_the_same(bed: &Bed<'_>) -> Result<()> {
    let policies = [
        bed.admin_policy(CNP, "p", 1)?,
        bed.admin_policy(CNP, "q", 1)?,
    ];
    let agent = bed.agent("node-1")?;
    agent.tell(&[(&policies[0], 1, INVALID), (&policies[1], 1, INVALID)])?;
    for policy in &policies {
        bed.await_events(policy, TOLD)?;
    }
    let refused = until("a refusal", LIMIT, || {
        let state = agent.reporter.state();
        Ok((!state.troubles.is_empty()).then_some(state))
    })?;
    ensure!(
        refused.troubles
            == ["clusternetworkpolicies.policy.networking.k8s.io has no status subresource"]
    );
    // Nobody asks for the second.
    until("an end", LIMIT, || {
        Ok((agent.reporter.state().waiting == 0).then_some(()))
    })?;
    ensure!(
        agent.reporter.state().status.refused == 1,
        "{:?}",
        agent.reporter.state()
    );
    Ok(())
}

/// Without controllers a namespace stays in `Terminating`.
pub(crate) fn what_is_about_to_go_is_let_go(bed: &Bed<'_>) -> Result<()> {
    let policy = bed.network_policy("p")?;
    bed.control.kubectl(&["create", "namespace", "leaving"])?;
    let leaving = bed.network_policy_in("leaving", "p")?;
    bed.control
        .kubectl(&["delete", "namespace", "leaving", "--wait=false"])?;
    let gone = bed.network_policy("gone")?;
    bed.control
        .kubectl(&["delete", "networkpolicy", "gone", "-n", &bed.namespace])?;
    let agent = bed.agent("node-1")?;
    agent.tell(&[
        (&leaving, 1, INVALID),
        (&gone, 1, INVALID),
        (&policy, 1, INVALID),
    ])?;
    bed.await_events(&policy, TOLD)?;
    until("an end", LIMIT, || {
        Ok((agent.reporter.state().waiting == 0).then_some(()))
    })?;
    let state = agent.reporter.state();
    ensure!(
        state.troubles.is_empty() && state.events.written == 1,
        "{state:?}"
    );
    ensure!(bed.events(&gone)?.is_empty() && bed.events(&leaving)?.is_empty());
    Ok(())
}

pub(crate) fn what_is_refused_is_said_once_and_tried_again(bed: &Bed<'_>) -> Result<()> {
    let (policy, admin) = (bed.network_policy("p")?, bed.admin_policy(ANP, "r", 1)?);
    let agent = bed.agent_with("node-1", |options| options.refused = Duration::from_secs(2))?;
    agent.await_leading()?;
    let role = bed
        .get(&["clusterrole", "sluice-refused"])
        .context("the chart's role")?;
    let mut reduced = json!({"apiVersion": role["apiVersion"], "kind": role["kind"], "rules": role["rules"],
        "metadata": {"name": role["metadata"]["name"]}});
    let rules = reduced["rules"].as_array_mut().context("rules")?;
    rules.retain(|rule| rule["apiGroups"][0] != "events.k8s.io");
    bed.control
        .kubectl(&["delete", "clusterrole", "sluice-refused"])?;
    bed.apply(&reduced)?;
    agent.tell(&[(&policy, 1, INVALID), (&admin, 1, INVALID)])?;
    bed.await_conditions(&admin, &["Accepted False Invalid 1"])?;
    let refused = until("a refusal", LIMIT, || {
        let state = agent.reporter.state();
        Ok((state.events.refused > 0).then_some(state))
    })?;
    ensure!(
        refused.troubles.len() == 1
            && refused.troubles[0].contains("cannot create resource \"events\""),
        "{refused:?}"
    );
    ensure!(bed.events(&policy)?.is_empty());
    reduced["rules"] = role["rules"].clone();
    bed.apply(&reduced)?;
    bed.await_events(&policy, TOLD)?;
    until("no trouble", LIMIT, || {
        Ok(agent.reporter.state().troubles.is_empty().then_some(()))
    })?;
    drop(agent);
    bed.control
        .kubectl(&["delete", "rolebinding", "--all", "-n", &bed.namespace])?;
    let nobody = bed.agent("node-2")?;
    until("a refusal", LIMIT, || {
        Ok((nobody.reporter.state().election.refused > 0).then_some(()))
    })?;
    let state = nobody.reporter.state();
    ensure!(
        !state.leads && state.troubles[0].contains("cannot get resource \"leases\""),
        "{state:?}"
    );
    Ok(())
}
