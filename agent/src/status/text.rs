//! The report for people: what matters first, each part on its line, and what is wrong last, where it is seen.

use std::fmt::{self, Formatter, Result};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{AgentState, CounterStates, GateState, MapState, MapStates, SourceState, Status};

/// A status, told at a time.
pub(super) struct Text<'a> {
    pub(super) status: &'a Status,
    pub(super) now: SystemTime,
}

/// A label, and room for the longest one.
macro_rules! line {
    ($f:expr, $label:expr, $($told:tt)*) => {{
        write!($f, "{:<10} ", $label)?;
        writeln!($f, $($told)*)
    }};
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { status, now } = *self;
        match &status.agent {
            Some(agent) => head(agent, f)?,
            None => f.write_str("no agent answers: this is what the kernel holds\n\n")?,
        }
        if let (Some(agent), Some(source)) = (&status.agent, &status.source) {
            self.source(source, agent.enforced_as_of, f)?;
        }
        if status.agent.is_some() {
            self.policies(f)?;
        }
        let pods = status.pods;
        line!(
            f,
            "pods",
            "{} local, {} isolated",
            pods.local,
            pods.isolated
        )?;
        packets(&status.counters, status.agent.is_some(), f)?;
        gate(&status.gate, f)?;
        self.tc(f)?;
        maps(&status.maps, f)?;
        let problems = problems(status, now);
        match problems.len() {
            0 => f.write_str("\nno problems"),
            1 => f.write_str("\n1 PROBLEM"),
            count => write!(f, "\n{count} PROBLEMS"),
        }?;
        problems.iter().try_for_each(|it| write!(f, "\n  {it}"))
    }
}

impl Text<'_> {
    fn source(&self, source: &SourceState, as_of: f64, f: &mut Formatter<'_>) -> Result {
        let server = source.server.as_ref();
        let server = server.map_or_else(String::new, |server| format!(" at {server}"));
        let connection = if source.connected {
            ""
        } else {
            ", NOT connected"
        };
        let freshness = if as_of > 0.0 {
            format!("in force as of {} ago", ago(as_of, self.now))
        } else {
            "not in force yet".to_owned()
        };
        line!(
            f,
            "source",
            "{}{server}{connection}, {freshness}",
            source.kind
        )?;
        let watched: Vec<_> = source.resources.iter().filter(|it| it.served).collect();
        if watched.is_empty() {
            return Ok(());
        }
        let objects = watched.iter().map(|it| {
            let reading = if it.synced { "" } else { " (still being read)" };
            format!("{} {}{reading}", grouped(it.objects as u64), it.kind)
        });
        line!(f, "", "{}", objects.collect::<Vec<_>>().join(", "))
    }

    fn policies(&self, f: &mut Formatter<'_>) -> Result {
        let kinds = self.status.policies.by_kind();
        let told = kinds.iter().filter(|(kind, count)| {
            // What nobody has need not be told of, but that there is none at all is.
            *count > 0 || *kind == "NetworkPolicy"
        });
        let told: Vec<_> = told
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        line!(f, "policies", "{}", told.join(", "))
    }

    fn tc(&self, f: &mut Formatter<'_>) -> Result {
        let tc = &self.status.tc;
        if tc.interfaces.is_empty() {
            return line!(f, "tc", "on no interface");
        }
        let names = tc.interfaces.join(" ");
        let redirects = if tc.redirects {
            "; established connections between local pods are redirected"
        } else {
            ""
        };
        line!(f, "tc", "{} on {names}{redirects}", tc.attach)
    }
}

fn head(agent: &AgentState, f: &mut Formatter<'_>) -> Result {
    let AgentState {
        ready,
        not_ready,
        node,
        mode,
        version,
        uptime_seconds,
        ..
    } = agent;
    let state = if *ready {
        "ready, enforcing"
    } else {
        "NOT READY"
    };
    let up = told(Duration::try_from_secs_f64(*uptime_seconds).unwrap_or_default());
    writeln!(
        f,
        "{node}: {state}, {mode} mode, up {up} (sluice {version})\n"
    )?;
    match not_ready {
        Some(why) => line!(f, "not ready", "{why}"),
        None => Ok(()),
    }
}

/// Where packets go. The agent's own counters nobody knows without it.
fn packets(c: &CounterStates, agent: bool, f: &mut Formatter<'_>) -> Result {
    let leased = c.lease_hits + c.gate_lease_hits;
    let kernel = leased + c.flow_hits + c.deny_lease_hits;
    if agent {
        let ratio = percent(kernel, kernel + c.queued);
        line!(
            f,
            "packets",
            "{} under policies, {ratio} of them decided in the kernel",
            grouped(kernel + c.queued)
        )?;
    } else {
        line!(
            f,
            "packets",
            "{} under policies decided in the kernel",
            grouped(kernel)
        )?;
    }
    let row = |f: &mut Formatter<'_>, what: &str, count: u64, more: &str| {
        let count = grouped(count);
        writeln!(f, "           {what:<22}{count:>13}{more}")
    };
    let gate = format!("  ({} of them at the gate)", grouped(c.gate_lease_hits));
    let gate = if c.gate_lease_hits > 0 { &gate } else { "" };
    row(f, "allowed by a lease", leased, gate)?;
    row(f, "replies", c.flow_hits, "")?;
    row(f, "denied by a lease", c.deny_lease_hits, "")?;
    if agent {
        let of = [
            ("allowed", c.allowed),
            ("denied", c.denied),
            ("unreadable", c.parse_errors),
        ];
        let of = of.map(|(what, count)| format!("{} {what}", grouped(count)));
        row(
            f,
            "judged by the agent",
            c.queued,
            &format!("  ({})", of.join(", ")),
        )?;
    }
    let (free, spoofed) = (grouped(c.unmatched), grouped(c.spoofed));
    write!(
        f,
        "           besides, {free} under no policy, {spoofed} spoofed"
    )?;
    if c.redirected > 0 {
        write!(f, ", {} redirected", grouped(c.redirected))?;
    }
    if agent {
        write!(f, "; {} open connections revoked", grouped(c.revoked))?;
    }
    writeln!(f)
}

fn gate(gate: &GateState, f: &mut Formatter<'_>) -> Result {
    let installed = match gate.installed {
        Some(true) => "in place",
        Some(false) => "NOT in place",
        None => "not seen",
    };
    match (&gate.queue_verb, &gate.matcher) {
        (Some(verb), Some(matcher)) => {
            line!(
                f,
                "gate",
                "{installed}, queue by {verb}, isolation by {matcher}"
            )?;
        }
        _ => line!(f, "gate", "{installed}")?,
    }
    if gate.queues.is_empty() {
        return Ok(());
    }
    let queues = gate.queues.iter();
    let queues = queues.map(|queue| format!("{} in {}", grouped(queue.waiting), queue.num));
    line!(
        f,
        "queues",
        "waiting: {}",
        queues.collect::<Vec<_>>().join(", ")
    )
}

fn maps(maps: &MapStates, f: &mut Formatter<'_>) -> Result {
    let filled = [
        ("leases", maps.leases),
        ("denials", maps.denials),
        ("flows", maps.flows),
        ("redirects", maps.redirects),
    ];
    let filled: Vec<_> = filled
        .into_iter()
        // One entry is none: nothing is redirected.
        .filter(|(_, map)| map.max > 1)
        .map(|(name, map)| format!("{name} {}", fill(map)))
        .collect();
    if filled.is_empty() {
        return line!(f, "maps", "none");
    }
    let guards = maps.guards.entries;
    line!(
        f,
        "maps",
        "{}; {guards} interfaces guarded",
        filled.join(", ")
    )
}

fn fill(MapState { entries, max }: MapState) -> String {
    let (entries, max) = (u64::from(entries), u64::from(max));
    let share = percent(entries, max);
    format!("{} of {} ({share})", grouped(entries), grouped(max))
}

/// What somebody should look at.
fn problems(status: &Status, now: SystemTime) -> Vec<String> {
    let mut found = Vec::new();
    if status.agent.is_none() {
        found.push(
            "no agent runs on this node: what needs a verdict is dropped, or passes where agents fail open"
                .to_owned(),
        );
    }
    if status.gate.installed == Some(false) {
        found.push("the gate is not in place: nothing is enforced".to_owned());
    }
    if let Some(source) = &status.source {
        if let Some(since) = source.disconnected_since {
            let since = ago(since, now);
            let meanwhile = if source.synced {
                "what it said last stays in force"
            } else {
                "nothing new is in force, and what an earlier agent left stays"
            };
            found.push(format!(
                "the source has not answered for {since}: {meanwhile}"
            ));
        }
        found.extend(source.troubles.iter().cloned());
    }
    for queue in &status.gate.queues {
        let lost = queue.dropped + queue.user_dropped;
        if lost > 0 {
            let (lost, num) = (grouped(lost), queue.num);
            found.push(format!("queue {num} was full: {lost} packets lost"));
        }
    }
    if is_nearly_full(status.maps.flows) {
        found.push("the map of flows is nearly full: replies may have to be judged".to_owned());
    }
    found.extend(status.invalid.iter().map(ToString::to_string));
    found
}

const fn is_nearly_full(MapState { entries, max }: MapState) -> bool {
    max > 0 && entries as u64 * 10 >= max as u64 * 9
}

/// How long ago a Unix time was.
fn ago(unix: f64, now: SystemTime) -> String {
    let then = Duration::try_from_secs_f64(unix).unwrap_or_default();
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    told(now.saturating_sub(then))
}

/// A duration in its two largest units.
fn told(duration: Duration) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let seconds = duration.as_secs();
    let Some(largest) = UNITS.iter().position(|(_, unit)| seconds >= *unit) else {
        return "0 s".to_owned();
    };
    let (name, unit) = UNITS[largest];
    let text = format!("{} {name}", seconds / unit);
    match UNITS.get(largest + 1) {
        Some((name, smaller)) if seconds % unit >= *smaller => {
            format!("{text} {} {name}", seconds % unit / smaller)
        }
        _ => text,
    }
}

/// A share in percent, to a tenth; rounded so that 100 % is all of them.
fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "none".to_owned();
    }
    let tenths = u128::from(part) * 1000 / u128::from(whole);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.char_indices() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
