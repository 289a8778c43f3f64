//! Reading back what the others print as JSON.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::compare::Compare;
use super::latency::Latency;
use super::micro::Micro;
use super::network::Network;
use super::plot::Plot;
use super::policies::Policies;

/// A document, by the command that printed it.
#[derive(Clone, Debug)]
pub enum Document {
    /// Of `compare`.
    Compare(Compare),
    /// Of `policies`.
    Policies(Policies),
    /// Of `latency policy` or `latency pod`, in the laboratory.
    Latency(Latency),
    /// Of `micro`.
    Micro(Micro),
    /// Of `network launcher`.
    Network(Network),
}

/// What a document becomes.
pub(super) trait Chapter {
    /// What it is about.
    fn title(&self) -> String;
    /// The command line that prints such a document, where it does not say by which it was.
    fn command(&self) -> String;
    /// What it was measured on; none where it does not say.
    fn env(&self) -> Option<&Env>;
    /// What has to be known to read it, in a sentence or two.
    fn remarks(&self) -> String;
    /// The figures that say most, as a table.
    fn summary(&self) -> String;
    /// All figures, as tables below headings of the second level.
    fn tables(&self) -> String;
    /// A line for each sample.
    fn csv(&self) -> String;
    fn plots(&self) -> Result<Vec<Plot>>;
}

/// What it was measured on.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Env {
    pub(super) kernel: String,
    pub(super) cpu: String,
    pub(super) processors: usize,
    #[serde(default)]
    pub(super) virtual_machine: bool,
    #[serde(default)]
    pub(super) memory_mib: u64,
    #[serde(default)]
    mitigations: Vec<String>,
    #[serde(default)]
    pub(super) debug_build: bool,
    /// Empty where the document is of a version that did not say.
    #[serde(default)]
    pub(super) date: String,
    /// Likewise.
    #[serde(default)]
    pub(super) command: String,
}

/// The field that only documents of a command have, and the command.
const KINDS: [(&str, &str); 5] = [
    ("workloads", "compare"),
    ("fetches", "policies"),
    ("what", "latency"),
    ("micro", "micro"),
    ("results", "network launcher"),
];

/// Reads a document.
///
/// # Errors
/// What it lacks to be one, by field.
pub fn read(text: &str) -> Result<Document> {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => bail!("no JSON document: {error}"),
    };
    let mut kinds = KINDS.iter();
    let kind = kinds.find(|(field, _)| value.get(field).is_some());
    match kind.map(|(_, command)| *command) {
        Some("compare") => parse(value, "compare").map(Document::Compare),
        Some("policies") => parse(value, "policies").map(Document::Policies),
        Some("latency") => parse(value, "latency").map(Document::Latency),
        Some("micro") => parse(value, "micro").map(Document::Micro),
        Some(command) => parse(value, command).map(Document::Network),
        None => {
            let kinds = KINDS.map(|(field, command)| format!("{command} (`{field}`)"));
            bail!("a document of none of {}", kinds.join(", "))
        }
    }
}

fn parse<T: DeserializeOwned>(value: Value, command: &str) -> Result<T> {
    match serde_path_to_error::deserialize(value) {
        Ok(document) => Ok(document),
        Err(error) => bail!("of {command}: `{}`: {}", error.path(), error.inner()),
    }
}

impl Document {
    pub(super) fn chapter(&self) -> &dyn Chapter {
        match self {
            Self::Compare(it) => it,
            Self::Policies(it) => it,
            Self::Latency(it) => it,
            Self::Micro(it) => it,
            Self::Network(it) => it,
        }
    }

    /// The command line that it was printed by, or one that prints such a document.
    pub(super) fn command(&self) -> String {
        let chapter = self.chapter();
        let said = chapter.env().map(|env| env.command.clone());
        let said = said.filter(|command| !command.is_empty());
        said.unwrap_or_else(|| chapter.command())
    }
}

impl From<&crate::env::Env> for Env {
    fn from(env: &crate::env::Env) -> Self {
        Self {
            kernel: env.kernel.clone(),
            cpu: env.cpu.clone(),
            processors: env.processors,
            virtual_machine: env.virtual_machine,
            memory_mib: env.memory_mib,
            mitigations: env.mitigations.clone(),
            debug_build: env.debug_build,
            date: env.date.clone(),
            command: env.command.clone(),
        }
    }
}

impl Env {
    /// In a line.
    pub(super) fn line(&self) -> String {
        let mut text = format!("Linux {}, {} processors", self.kernel, self.processors);
        if self.virtual_machine {
            text.push_str(" of a virtual machine");
        }
        let _infallible = write!(text, ", {}", self.cpu);
        if self.memory_mib > 0 {
            let _infallible = write!(text, ", {} MiB", self.memory_mib);
        }
        if self.debug_build {
            text.push_str("; a debug build of `sluice-bench`");
        }
        text
    }

    /// Whether the other was read on the same machine, or on one like it.
    pub(super) fn is_of_machine(&self, other: &Self) -> bool {
        self.kernel == other.kernel
            && self.cpu == other.cpu
            && self.processors == other.processors
            && self.mitigations == other.mitigations
    }

    /// The machine in a file name: of its processor what is not common to all, and the kernel.
    pub(super) fn machine(&self) -> String {
        const COMMON: [&str; 6] = ["intel", "amd", "cpu", "processor", "core", "with"];
        let model = self.cpu.split('@').next().unwrap_or_default();
        let model = model.replace("(R)", " ").replace("(TM)", " ");
        let words = model.split(|it: char| !it.is_ascii_alphanumeric());
        let mut words: Vec<_> = words
            .map(str::to_lowercase)
            .filter(|it| !it.is_empty() && !COMMON.contains(&&**it))
            .take(4)
            .collect();
        if words.is_empty() {
            words.push("machine".to_owned());
        }
        let is_version = |it: char| it.is_ascii_digit() || it == '.';
        let version = self.kernel.split(|it| !is_version(it)).next();
        let mut numbers = version.unwrap_or_default().split('.');
        let (major, minor) = (numbers.next(), numbers.next());
        format!(
            "{}-linux-{}.{}",
            words.join("-"),
            major.unwrap_or_default(),
            minor.unwrap_or_default()
        )
    }
}

/// As RFC 4180 has it.
pub(super) fn quoted(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A table of Markdown; the first column is of words, the others of numbers.
pub(super) fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let mut text = format!(
        "| {} |\n| --- |{}\n",
        head.join(" | "),
        " ---: |".repeat(head.len() - 1)
    );
    for row in rows {
        let _infallible = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Of all documents.
    pub(in crate::report) const ENV: &str = r#"{"kernel": "6.18.5-generic", "cpu": "Intel(R) Xeon(R) Platinum 8581C CPU @ 2.10GHz",
        "processors": 2, "virtual_machine": true, "date": "2026-11-27", "command": "sluice-bench measure"}"#;

    #[test]
    fn what_is_no_document_says_why() {
        for (text, said) in [
            (
                "{",
                "no JSON document: EOF while parsing an object at line 1",
            ),
            (
                "{}",
                "a document of none of compare (`workloads`), policies",
            ),
            (
                r#"{"workloads": []}"#,
                "of compare: `.`: missing field `void_slices`",
            ),
            (
                r#"{"workloads": [{"name": 1}]}"#,
                "of compare: `workloads[0].name`: invalid type",
            ),
            (
                r#"{"fetches": "many"}"#,
                "of policies: `fetches`: invalid type: string",
            ),
            (
                r#"{"what": "policy", "rows": [{}]}"#,
                "of latency: `rows[0]`: missing field",
            ),
            (r#"{"micro": 1}"#, "of micro: `micro`: invalid type"),
            (
                r#"{"results": [{"output": ""}]}"#,
                "of network launcher: `results[0]`: missing field `task`",
            ),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_reason_with_quotes_and_commas_stays_one_field() {
        assert_eq!(quoted("so, \"slow\""), "\"so, \"\"slow\"\"\"");
        assert_eq!(quoted(""), "");
    }

    #[test]
    fn a_machine_is_called_by_its_processor_and_kernel() {
        for (cpu, kernel, expected) in [
            (
                "Intel(R) Xeon(R) Platinum 8581C CPU @ 2.10GHz",
                "6.18.5-generic",
                "xeon-platinum-8581c-linux-6.18",
            ),
            ("AMD EPYC 7B13", "6.1.0-28-amd64", "epyc-7b13-linux-6.1"),
            ("", "6.12", "machine-linux-6.12"),
        ] {
            let env = Env {
                cpu: cpu.to_owned(),
                kernel: kernel.to_owned(),
                ..serde_json::from_str(ENV).unwrap()
            };
            assert_eq!(env.machine(), expected);
        }
    }
}
