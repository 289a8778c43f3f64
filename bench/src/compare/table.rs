//! A report for people.

use std::fmt::Write as _;

use super::Report;
use super::report::{Compared, STATS};
use crate::load::Workload;
use crate::stats::Ratio;

impl Report {
    /// Medians and ratios of each workload, what does not count, and the targets.
    pub fn table(&self) -> String {
        let mut text = self.head();
        for workload in &self.workloads {
            workload.write(&mut text);
        }
        self.write_within(&mut text);
        self.write_memory(&mut text);
        self.write_void(&mut text);
        self.write_targets(&mut text);
        text
    }

    fn head(&self) -> String {
        let (env, machine) = (
            &self.env,
            if self.env.virtual_machine {
                " of a virtual machine"
            } else {
                ""
            },
        );
        format!(
            "{} rounds of {} ms a slice, {} policies, Linux {}, {} processors{machine}\n",
            self.rounds, self.slice_ms, self.policies, env.kernel, env.processors,
        )
    }

    fn write_within(&self, text: &mut String) {
        let mut last = None;
        for it in &self.within {
            if last.replace(it.workload) != Some(it.workload) {
                let mut of = format!("{} ÷ {}", it.workload.name(), it.against.name());
                if it.workload == Workload::Flood {
                    of = format!("{of}, {} packets a second", self.flood);
                }
                let (own, other) = ("within the mode", "that ÷ the same of conntrack");
                let _infallible = writeln!(text, "\n{of:<40}{own:>24}{other:>31}");
            }
            let name = format!("{}, {}", it.mode.name(), it.stat);
            let against = it.against_conntrack;
            let against = against.map_or_else(|| "-".to_owned(), |it| shown(&it));
            let _infallible = writeln!(text, "  {name:<38}{:>24}{against:>31}", shown(&it.ratio));
        }
    }

    fn write_memory(&self, text: &mut String) {
        if !self.memory_kb.is_empty() {
            let _infallible = writeln!(
                text,
                "\n{:<40}{:>10}{:>12}",
                "memory, kB", "resident", "BPF maps"
            );
        }
        for (mode, memory) in &self.memory_kb {
            let (resident, maps) = (memory.resident, memory.bpf_maps);
            let _infallible = writeln!(text, "  {:<38}{resident:>10}{maps:>12}", mode.name());
        }
    }

    fn write_void(&self, text: &mut String) {
        if self.void_slices > 0 {
            let (void, all) = (self.void_slices, self.slices);
            let _infallible = writeln!(text, "\n{void} of {all} slices do not count:");
        }
        for void in &self.void_reasons {
            let (workload, mode) = (void.workload.name(), void.mode.name());
            let _infallible = writeln!(
                text,
                "  {:>5}  {workload}, {mode}: {}",
                void.slices, void.reason
            );
        }
        for untold in self.untold() {
            let _infallible = writeln!(text, "too noisy: {untold}");
        }
    }

    fn write_targets(&self, text: &mut String) {
        if !self.targets.is_empty() {
            let _infallible = writeln!(text, "\nTargets, by the worse end of the interval:");
        }
        for target in &self.targets {
            let met = match target.met {
                Some(true) => "met",
                Some(false) => "NOT MET",
                None => "untold",
            };
            let worst = target
                .worst
                .map_or_else(String::new, |it| format!(": {it:.3}"));
            let _infallible = writeln!(text, "  {met:<8} {target}{worst}, {}", target.bound);
        }
    }
}

impl Compared {
    fn write(&self, text: &mut String) {
        let _infallible = writeln!(text, "\n{}", self.name.name());
        let stats: Vec<_> = STATS
            .into_iter()
            .filter(|(_, figure)| self.modes.values().any(|of| of.contains_key(figure)))
            .collect();
        let _infallible = write!(text, "  {:<28}", "median");
        for (_, figure) in &stats {
            let _infallible = write!(text, "{figure:>22}");
        }
        for (mode, figures) in &self.modes {
            let _infallible = write!(text, "\n  {:<28}", mode.name());
            for (_, figure) in &stats {
                let value = figures.get(figure);
                let value = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
                let _infallible = write!(text, "{value:>22}");
            }
        }
        self.write_ratios(&stats, text);
        text.push('\n');
    }

    fn write_ratios(&self, stats: &[(&str, &str)], text: &mut String) {
        let mut last = None;
        for pair in self.ratios.iter().map(|it| (it.a, it.b)) {
            if last.replace(pair) == Some(pair) {
                continue;
            }
            let (a, b) = pair;
            let _infallible = write!(text, "\n  {:<28}", format!("{} ÷ {}", a.name(), b.name()));
            for (stat, _) in stats {
                let mut ratios = self.ratios.iter();
                let found = ratios.find(|it| (it.a, it.b, it.stat) == (a, b, *stat));
                let value = found.map_or_else(|| "-".to_owned(), |it| shown(&it.ratio));
                let _infallible = write!(text, "{value:>22}");
            }
        }
    }
}

fn shown(ratio: &Ratio) -> String {
    format!(
        "{:.2} [{:.2}, {:.2}]",
        ratio.ratio, ratio.ci[0], ratio.ci[1]
    )
}
