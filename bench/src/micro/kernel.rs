//! What the agent waits for in the kernel: a gate, its sets, a dump of the connection table, marks. Everything happens
//! in a network namespace of its own. The time is that of the processor in this thread and in the kernel for it, so that
//! others on the machine do not count.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};
use sluice_ebpf::Marks;
use sluice_netlink::{
    Conntrack, Entry, Filter, Gate, GateConfig, Isolated, Masked, Matcher, Netns,
};

use super::cases::{Case, Ticker, in_turns};
use super::report::Row;
use super::{Part, Plan};

const BOTH: Isolated = Isolated {
    ingress: true,
    egress: true,
};
const NEITHER: Isolated = Isolated {
    ingress: false,
    egress: false,
};
/// Pods of the gate.
const PODS: u8 = 100;
/// Connections that are marked at once.
const MARKED: usize = 100;
/// The number of a connection, of the first to its destination; others to it follow by so many.
const ONE: u32 = 257;
const LATER: usize = 65_536;
/// Its destination.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 1, 1, 1));

pub(super) fn measure(plan: &Plan, ticker: &mut Ticker<'_>) -> Result<Vec<Row>> {
    let tables: &[u32] = if plan.quick {
        &[1_000]
    } else {
        &[10_000, 100_000]
    };
    let netns = Netns::new()?;
    let gate = RefCell::new(netns.enter(|| -> Result<_> { Ok(install(&config()?)?) })??);
    let tables: Result<Vec<_>> = tables.iter().map(|count| connections(*count)).collect();
    let tables = tables?;
    let mut cases = gates(&netns, &gate)?;
    cases.extend(tables.iter().flat_map(dumps));
    in_turns(Part::Kernel, cases, plan, ticker)
}

fn config() -> Result<GateConfig> {
    Ok(GateConfig {
        marks: Marks::from_mask(Marks::DEFAULT_MASK).context("the default mask")?,
        queue: 100,
        queues: 2,
        fail_open: false,
        accept_for_good: false,
        honour_pass: false,
        early_datagrams: false,
        redirect: None,
        matcher: Matcher::Sets,
        verb: Gate::probe_verb()?,
    })
}

fn pods() -> Vec<(IpAddr, Isolated)> {
    let address = |number| IpAddr::from([10, 0, 0, number]);
    (0..PODS).map(|number| (address(number), BOTH)).collect()
}

fn install(config: &GateConfig) -> Result<Gate, sluice_netlink::Error> {
    Gate::install(config, &pods(), &[])
}

fn gates<'a>(netns: &'a Netns, gate: &'a RefCell<Gate>) -> Result<Vec<Case<'a>>> {
    let config = netns.enter(config)??;
    let installing = Case {
        name: format!("gate: installed, {PODS} pods"),
        size: None,
        proof: "it is there as it was written".to_owned(),
        turn: Box::new(move || {
            let (took, again) = netns.enter(|| timed(|| install(&config)))??;
            let mut gate = gate.borrow_mut();
            *gate = again;
            let is_intact = gate.is_intact()?;
            Ok(is_intact
                .then_some(took)
                .ok_or_else(|| "it is not".to_owned()))
        }),
    };
    let updating = Case {
        name: "gate: a pod released or isolated".to_owned(),
        size: None,
        proof: "two elements of sets changed each time".to_owned(),
        turn: Box::new(move || {
            let mut gate = gate.borrow_mut();
            let mut to = |isolated| {
                let pod = (IpAddr::from([10, 0, 0, 0]), isolated);
                timed(|| gate.update(&[pod], &[]))
            };
            let (release, released) = to(NEITHER)?;
            let (isolate, isolated) = to(BOTH)?;
            let took = f64::midpoint(release, isolate);
            Ok(exactly(4, released + isolated, took))
        }),
    };
    Ok(vec![installing, updating])
}

/// A table of connections over loopback.
struct Table {
    count: u32,
    conntrack: RefCell<Conntrack>,
    marks: Vec<(Entry, Masked)>,
    _netns: Netns,
}

fn connections(count: u32) -> Result<Table> {
    let netns = Netns::new()?;
    // A gate has the kernel track connections.
    drop(netns.enter(|| -> Result<_> { Ok(Gate::install(&config()?, &[], &[])?) })??);
    netns.set_sysctl("netfilter/nf_conntrack_udp_timeout", "3600")?;
    let socket = netns.enter(|| UdpSocket::bind("127.0.0.1:0"))??;
    for number in 0..count {
        let [_, high, middle, low] = number.to_be_bytes();
        let (address, port) = (IpAddr::from([127, 1, middle, low]), 1 + u16::from(high));
        // That nobody listened at the one before is told at the next sending, which sends nothing then.
        if socket.send_to(b"hello", (address, port)).is_err() {
            socket.send_to(b"hello", (address, port))?;
        }
    }
    let mut conntrack = netns.enter(Conntrack::open)??;
    let mut entries = Vec::new();
    conntrack.dump(&Filter::default(), |entry| entries.push(entry))?;
    entries.retain(|entry| entry.original.protocol == 17);
    anyhow::ensure!(
        entries.len() == count as usize,
        "{} of {count} connections are tracked",
        entries.len()
    );
    let bits = Masked {
        value: 0x10,
        mask: 0x30,
    };
    let marked = entries.iter().take(MARKED);
    Ok(Table {
        count,
        conntrack: RefCell::new(conntrack),
        marks: marked.map(|entry| (*entry, bits)).collect(),
        _netns: netns,
    })
}

fn dumps(table: &Table) -> Vec<Case<'_>> {
    let count = table.count as usize;
    let nobodys = Masked { value: 1, mask: 1 };
    let by_mark = Filter {
        mark: Some(nobodys),
        ..Filter::default()
    };
    let by_address = Filter {
        reply_source: Some(ADDRESS),
        ..Filter::default()
    };
    let to_address = (ONE..table.count).step_by(LATER).count();
    let marking = Case {
        name: format!("conntrack: {MARKED} marked, of"),
        size: Some(table.count.into()),
        proof: format!("{MARKED} were there to be marked"),
        turn: Box::new(move || {
            let mut conntrack = table.conntrack.borrow_mut();
            let (took, marked) = timed(|| conntrack.set_marks(&table.marks))?;
            Ok(exactly(MARKED, marked, took))
        }),
    };
    vec![
        dump(table, "all dumped, of", Filter::default(), count),
        dump(table, "dumped by mark, of", by_mark, 0),
        dump(table, "dumped by address, of", by_address, to_address),
        marking,
    ]
}

fn dump<'a>(table: &'a Table, name: &str, filter: Filter, expected: usize) -> Case<'a> {
    Case {
        name: format!("conntrack: {name}"),
        size: Some(table.count.into()),
        proof: format!("{expected} seen"),
        turn: Box::new(move || {
            let mut seen = 0;
            let mut conntrack = table.conntrack.borrow_mut();
            let (took, ()) = timed(|| conntrack.dump(&filter, |_| seen += 1))?;
            Ok(exactly(expected, seen, took))
        }),
    }
}

fn exactly(expected: usize, seen: usize, took: f64) -> Result<f64, String> {
    if seen == expected {
        Ok(took)
    } else {
        Err(format!("{seen} instead of {expected}"))
    }
}

/// The time of the processor that `work` takes of this thread, in nanoseconds, and what came of it.
fn timed<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(f64, T), E> {
    let start = thread_time();
    let done = work()?;
    let took = thread_time().saturating_sub(start);
    Ok((took.as_secs_f64() * 1e9, done))
}

fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
