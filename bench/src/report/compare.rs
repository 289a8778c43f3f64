//! A page for readers.

use std::fmt::Write as _;

use super::document::{Compare, Document, Env, Policies, Workload};

/// The figures that the tables have: what ratios call them, what figures do, and their heads.
const FIGURES: [(&str, &str, &str); 6] = [
    ("p50", "p50_us", "p50 µs"),
    ("p99", "p99_us", "p99 µs"),
    ("per_second", "per_second", "per second"),
    ("gbit_s", "gbit_s", "Gbit/s"),
    ("machine", "machine_us", "machine µs"),
    ("agent", "agent_us", "agent µs"),
];

/// The page of a document.
pub(super) fn page(name: &str, document: &Document) -> String {
    let mut text = String::new();
    match document {
        Document::Compare(compare) => write_compare(name, compare, &mut text),
        Document::Policies(policies) => write_policies(name, policies, &mut text),
    }
    text
}

fn write_env(env: &Env, text: &mut String) {
    let _infallible = writeln!(
        text,
        "Linux {}, {} processors, {}.\n",
        env.kernel, env.processors, env.cpu
    );
}

fn write_compare(name: &str, compare: &Compare, text: &mut String) {
    let _infallible = writeln!(
        text,
        "# Modes against each other\n\n`sluice-bench compare --rounds {} --slice {} --policies {} --seed {}`; {} of {} slices do not count.",
        compare.rounds,
        compare.slice_ms,
        compare.policies,
        compare.seed,
        compare.void_slices,
        compare.slices
    );
    write_env(&compare.env, text);
    let _infallible = writeln!(
        text,
        "![ratios]({name}-ratios.svg)\n\n![slices]({name}-slices.svg)"
    );
    if !compare.targets.is_empty() {
        text.push_str(
            "\n| target | bound | worse end of the interval | |\n| --- | --- | --- | --- |\n",
        );
    }
    for target in &compare.targets {
        let bound = target.bound.iter().next();
        let bound = bound.map_or_else(String::new, |(kind, value)| {
            format!("{} {value}", kind.replace('_', " "))
        });
        let worst = target
            .worst
            .map_or_else(String::new, |it| format!("{it:.3}"));
        let met = match target.met {
            Some(true) => "met",
            Some(false) => "not met",
            None => "untold",
        };
        let _infallible = writeln!(
            text,
            "| `{}` ÷ `{}`, {} of `{}` | {bound} | {worst} | {met} |",
            target.a, target.b, target.stat, target.workload,
        );
    }
    for workload in &compare.workloads {
        write_workload(workload, text);
    }
}

fn write_workload(workload: &Workload, text: &mut String) {
    let figures: Vec<_> = FIGURES
        .into_iter()
        .filter(|(_, figure, _)| workload.modes.values().any(|of| of.contains_key(*figure)))
        .collect();
    let _infallible = write!(text, "\n## `{}`\n\n| |", workload.name);
    for (.., head) in &figures {
        let _infallible = write!(text, " {head} |");
    }
    text.push_str("\n| --- |");
    text.push_str(&" ---: |".repeat(figures.len()));
    for (mode, of) in &workload.modes {
        let _infallible = write!(text, "\n| `{mode}` |");
        for (_, figure, _) in &figures {
            let value = of.get(*figure);
            let value = value.map_or_else(String::new, |value| format!("{value:.1}"));
            let _infallible = write!(text, " {value} |");
        }
    }
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for ratio in &workload.ratios {
        if !pairs.contains(&(&*ratio.a, &*ratio.b)) {
            pairs.push((&ratio.a, &ratio.b));
        }
    }
    for (a, b) in pairs {
        let _infallible = write!(text, "\n| `{a}` ÷ `{b}` |");
        for (stat, ..) in &figures {
            let mut ratios = workload.ratios.iter();
            let found = ratios.find(|it| (&*it.a, &*it.b, &*it.stat) == (a, b, *stat));
            let value = found.map_or_else(String::new, |it| {
                format!("{:.2} [{:.2}, {:.2}]", it.value, it.ci[0], it.ci[1])
            });
            let _infallible = write!(text, " {value} |");
        }
    }
    text.push('\n');
}

fn write_policies(name: &str, policies: &Policies, text: &mut String) {
    let _infallible = writeln!(
        text,
        "# Cost against the number of policies\n\n`sluice-bench policies --fetches {}`; {} of {} slices do not count. The mean of a fetch in milliseconds.",
        policies.fetches, policies.void_slices, policies.slices
    );
    write_env(&policies.env, text);
    let _infallible = writeln!(text, "![cost]({name}-cost.svg)");
    for (mode, table) in &policies.modes {
        let _infallible = write!(text, "\n## `{mode}`\n\n| Policies |");
        for (size, _) in crate::policies::SIZES {
            let _infallible = write!(text, " {size} |");
        }
        text.push_str("\n| ---: | ---: | ---: | ---: | ---: | ---: |");
        for (count, means) in &table.mean_ms {
            let _infallible = write!(text, "\n| {count} |");
            for (size, _) in crate::policies::SIZES {
                let mean = means.get(size);
                let mean = mean.map_or_else(String::new, |mean| format!("{mean:.3}"));
                let _infallible = write!(text, " {mean} |");
            }
        }
        if let Some(slope) = &table.slope_us {
            let _infallible = write!(
                text,
                "\n\nA thousand policies add {:.2} µs [{:.2}, {:.2}] to the median fetch of the smallest page.",
                slope.slope, slope.ci[0], slope.ci[1]
            );
        }
        text.push('\n');
    }
}
