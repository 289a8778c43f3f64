//! Level vm: which tests of level lab run on another kernel as well, and why. They are the same test binaries.
//!
//! A test gets there by a line in [`TAGGED`]. How the machine works is `crate::vm`'s.

use std::collections::{BTreeSet, VecDeque};

use anyhow::Context as _;

use super::level::Level;
use super::run::{LEFT, Suite, label};
use super::tally::Tally;
use super::transcript::Transcript;
use crate::cargo::Executable;
use crate::vm::kernel::Kernel;
use crate::vm::{self, Event, Job, Step};

/// Tests that run in the machine.
struct Tagged {
    package: &'static str,
    /// The name of the test binary.
    test: &'static str,
    /// Parts of the names of those of its tests that run; empty: all of them.
    only: &'static [&'static str],
    /// What the other kernel shows that ours does not.
    reason: &'static str,
    /// A module that has to be there. It is loaded before the first that needs it, and stays.
    needs: Option<&'static str>,
}

/// The gate asks its programs through this one.
const XT_BPF: &str = "xt_bpf";
/// Sockets. The kernel then answers SCTP that the lab's own listeners answer on raw sockets.
const SCTP: &str = "sctp";

/// In the order in which they run.
const TAGGED: &[Tagged] = &[
    Tagged {
        package: "sluice-netlink",
        test: "gate",
        only: &[],
        reason: "the table with nf_tables' own queue",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-netlink",
        test: "verdicts",
        only: &[],
        reason: "verdicts of nf_tables' own queue",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-netlink",
        test: "exemptions",
        only: &[],
        reason: "the same rules, read by another nf_tables",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-netlink",
        test: "conntrack",
        only: &[],
        reason: "another ctnetlink",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-netlink",
        test: "dnat",
        only: &[],
        reason: "the lab's Services, and translation of SCTP",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-netlink",
        test: "review",
        only: &[],
        reason: "what is under review, with nf_tables' own queue",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-bpf",
        test: "guards",
        only: &[],
        reason: "guards, by another verifier",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-bpf",
        test: "load",
        only: &[],
        reason: "another verifier",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-bpf",
        test: "programs",
        only: &[],
        reason: "what another verifier and JIT make of the programs",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-bpf",
        test: "reading",
        only: &[],
        reason: "likewise",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-bpf",
        test: "attach",
        only: &[],
        reason: "clsact: there is no TCX",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice",
        test: "daemon",
        only: &[],
        reason: "what is left, and taken away, without TCX links",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-lab",
        test: "lab",
        only: &["agents::hybrid", "agents::two_nodes", "agents::leased"],
        reason: "the whole agent where the gate has sets and cannot ask its programs",
        needs: None,
    },
    Tagged {
        package: "sluice-lab",
        test: "lab",
        only: &["agents::"],
        reason: "the whole agent, in both modes",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-lab",
        test: "lab",
        only: &["confined::"],
        reason: "fewer rights than an older kernel might ask for",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-lab",
        test: "lab",
        only: &["marks::"],
        reason: "marks of others, on clsact",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-lab",
        test: "lab",
        only: &["redirect::what_is_redirected"],
        reason: "links handed over from clsact, by another verifier",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-lab",
        test: "lab",
        only: &["resolver::both_questions_of_a_socket_are_answered_through"],
        reason: "two datagrams of one socket at once, which kernels before 6.12 route otherwise",
        needs: Some(XT_BPF),
    },
    Tagged {
        package: "sluice-lab",
        test: "lab",
        only: &["associations::"],
        reason: "SCTP over sockets of the kernel",
        needs: Some(SCTP),
    },
];

/// What all of them need of the kernel.
const MODULES: &[&str] = &[
    // Asked for by name and by no module's needs: the checksum of nf_tables and SCTP.
    "crc32c_generic",
    "nft_chain_nat",
    "nft_compat",
    "nft_ct",
    "nft_fib_inet",
    "nft_masq",
    "nft_nat",
    "nft_numgen",
    "nft_queue",
    "nft_reject_inet",
    "nfnetlink_queue",
    "nf_conntrack_netlink",
    "br_netfilter",
    "cls_bpf",
    "dummy",
    "sch_ingress",
    "veth",
    "vxlan",
];

/// Runs what is tagged among the tests of `suite`.
///
/// # Errors
/// Where the tests do not compile, or the machine cannot be made.
pub(super) fn run(suite: &Suite) -> anyhow::Result<Tally> {
    let kernel = Kernel::find().context("no kernel")?;
    let tests: Vec<_> = suite.tests(Level::Lab)?.collect();
    let mut runs = Runs::default();
    let mut steps = vec![Step::Load(kernel.modules(MODULES)?)];
    let mut loaded = BTreeSet::new();
    for tagged in TAGGED {
        let Some(test) = tests.iter().find(|test| tagged.is(test)) else {
            continue;
        };
        if let Some(module) = tagged.needs.filter(|module| loaded.insert(*module)) {
            steps.push(Step::Load(kernel.modules(&[module])?));
        }
        runs.announce(tagged, test, loaded.contains(XT_BPF));
        steps.push(Step::Run(tagged.job(test, suite.arguments())));
    }
    if !runs.is_empty() {
        let done = vm::run(&kernel, &steps, |event| runs.see(event));
        runs.end(done);
    }
    Ok(runs.sum)
}

impl Tagged {
    fn is(&self, test: &Executable) -> bool {
        test.target.package == self.package && test.target.name == self.test
    }

    fn job(&self, test: &Executable, more: &[String]) -> Job {
        let directory = test.target.directory.clone();
        let manifest = directory.to_string_lossy().into_owned();
        let path = std::env::var("PATH").unwrap_or_default();
        // Whoever names tests means those; names add up.
        let is_named = more.iter().any(|argument| !argument.starts_with('-'));
        let only = if is_named { &[] } else { self.only };
        Job {
            program: test.path.clone(),
            arguments: std::iter::once("--show-output")
                .chain(only.iter().copied())
                .chain(more.iter().map(String::as_str))
                .map(str::to_owned)
                .collect(),
            directory,
            environment: vec![
                ("CARGO_MANIFEST_DIR".to_owned(), manifest),
                ("PATH".to_owned(), format!("{path}:/usr/sbin:/sbin")),
            ],
        }
    }
}

/// What has become of the runs that were announced.
#[derive(Default)]
struct Runs {
    waiting: VecDeque<String>,
    current: Option<Transcript>,
    sum: Tally,
}

impl Runs {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn announce(&mut self, tagged: &Tagged, test: &Executable, xt_bpf: bool) {
        let without = if xt_bpf { "" } else { " without xt_bpf" };
        let label = format!("vm{without}: {}", label(&test.target));
        eprintln!("{label} ({})", tagged.reason);
        self.waiting.push_back(label);
    }

    fn see(&mut self, event: Event) {
        match event {
            Event::Begun => {
                let label = self.waiting.pop_front().unwrap_or_default();
                eprintln!("\n{label}");
                self.current = Some(Transcript::new(&label));
            }
            Event::Printed(line) => {
                if let Some(line) = self.current.as_mut().and_then(|it| it.line(&line)) {
                    eprintln!("{line}");
                }
            }
            Event::Ended(well) => self.finish(None, well),
            Event::Left(well) => self.finish(Some(LEFT), well),
            Event::Refused(why) if self.current.is_some() => self.finish(Some(&why), false),
            Event::Refused(why) => self.sum.add(&Tally::fail("vm", &why)),
            Event::Finished => {}
        }
    }

    fn finish(&mut self, failure: Option<&str>, well: bool) {
        if let Some(mut transcript) = self.current.take() {
            if let Some(how) = failure {
                transcript.fail(how);
            }
            self.sum.add(&transcript.finish(well));
        }
    }

    /// A machine that broke down has failed all that it was still to run.
    fn end(&mut self, done: anyhow::Result<()>) {
        let why = done.map_or_else(|error| format!("{error:#}"), |()| "was not run".to_owned());
        self.finish(Some(&format!("the machine {why}")), false);
        for label in self.waiting.drain(..) {
            self.sum.add(&Tally::fail(&label, &why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Runs, TAGGED};
    use crate::cargo;
    use crate::repo;
    use crate::test::level::Level;

    fn runs(labels: &[&str]) -> Runs {
        Runs {
            waiting: labels.iter().map(|label| (*label).to_owned()).collect(),
            ..Runs::default()
        }
    }

    fn result(counts: &str) -> Event {
        Event::Printed(format!("test result: ok. {counts}; 0 ignored; 0 measured"))
    }

    #[test]
    fn the_table_names_tests_of_level_lab() {
        let targets = cargo::targets(&repo::root()).unwrap();
        for tagged in TAGGED {
            let found = targets
                .iter()
                .find(|it| {
                    it.package == tagged.package && it.kind == "test" && it.name == tagged.test
                })
                .unwrap_or_else(|| panic!("{}: no test `{}`", tagged.package, tagged.test));
            assert_eq!(Level::of(found), Level::Lab, "{}", tagged.test);
            assert!(!tagged.reason.is_empty());
        }
    }

    #[test]
    fn what_the_machine_runs_is_added_up() {
        let mut runs = runs(&["a", "b"]);
        for event in [
            Event::Begun,
            result("2 passed; 0 failed"),
            Event::Ended(true),
            Event::Begun,
            result("1 passed; 0 failed"),
            Event::Left(true),
        ] {
            runs.see(event);
        }
        runs.end(Ok(()));
        assert_eq!(runs.sum.to_string(), "3 passed, 1 failed, 0 skipped");
        assert!(
            runs.sum.failures[0].what.starts_with("b: "),
            "{:?}",
            runs.sum.failures
        );
    }

    #[test]
    fn a_machine_that_breaks_down_has_failed_all_that_was_left() {
        let mut runs = runs(&["a", "b"]);
        runs.see(Event::Begun);
        runs.end(Err(anyhow::anyhow!("has printed nothing for 5 min")));
        assert_eq!(runs.sum.passed, 0);
        assert!(runs.sum.failed >= 2, "{}", runs.sum);
        assert!(
            runs.sum
                .failures
                .iter()
                .any(|failure| failure.what.starts_with("b: "))
        );
    }

    #[test]
    fn a_step_that_is_refused_is_a_failure() {
        let mut runs = runs(&[]);
        runs.see(Event::Refused("load /x.ko: no such device".into()));
        runs.end(Ok(()));
        assert_eq!(runs.sum.to_string(), "0 passed, 1 failed, 0 skipped");
    }
}
