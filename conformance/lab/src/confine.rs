//! A process with few rights, as a container has them: the capabilities that a mode needs, and the seccomp profile that
//! comes with the chart. Which ones those are is SECURITY.md's to say; here they are taken at its word.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
use seccompiler::{BpfProgram, Error, TargetArch, apply_filter, compile_from_json};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::agent::Mode;

/// The profile, in the format of the OCI's runtime specification (config-linux.md, "Seccomp").
const PROFILE: &str = include_str!("../../../helm/seccomp/sluice.json");
/// The one action that names are listed with.
const ALLOW: &str = "SCMP_ACT_ALLOW";
const EQUAL: &str = "SCMP_CMP_EQ";

/// What is left to a process.
#[derive(Clone, Debug)]
pub struct Confinement {
    capabilities: CapabilitySet,
    filter: Arc<BpfProgram>,
}

#[derive(Deserialize)]
struct Profile {
    syscalls: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    names: Vec<String>,
    action: String,
    #[serde(default)]
    args: Vec<Argument>,
}

#[derive(Deserialize)]
struct Argument {
    index: u8,
    value: u64,
    op: String,
}

impl Confinement {
    /// What an agent in `mode` is to have. A call that the profile does not allow ends the process, where a container's
    /// would be told that it may not: so nothing is overlooked.
    pub fn of(mode: Mode) -> Result<Self> {
        Ok(Self {
            capabilities: capabilities(mode),
            filter: Arc::new(compile(PROFILE).context("helm/seccomp/sluice.json")?),
        })
    }

    /// Takes everything else from the process that `command` will start.
    pub fn impose(&self, command: &mut Command) {
        let Self {
            capabilities,
            filter,
        } = self.clone();
        let confine = move || {
            for number in 0..u64::BITS {
                let capability = CapabilitySet::from_bits_retain(1 << number);
                match remove_unless(capabilities, capability) {
                    // Behind the last that this kernel has.
                    Err(Errno::INVAL) => break,
                    done => done?,
                }
            }
            apply_filter(&filter).map_err(|error| match error {
                Error::Prctl(cause) | Error::Seccomp(cause) => cause,
                _ => io::ErrorKind::InvalidInput.into(),
            })
        };
        // SAFETY: between fork and exec only system calls are made, which allocate nothing and take no lock.
        unsafe { command.pre_exec(confine) };
    }
}

fn remove_unless(kept: CapabilitySet, capability: CapabilitySet) -> rustix::io::Result<()> {
    if kept.contains(capability) {
        return Ok(());
    }
    remove_capability_from_bounding_set(capability)
}

/// The least with which everything works, on Linux 5.8 and later.
const fn capabilities(mode: Mode) -> CapabilitySet {
    let ebpf = match mode {
        Mode::Hybrid => CapabilitySet::BPF.union(CapabilitySet::PERFMON),
        Mode::Nfqueue => CapabilitySet::empty(),
    };
    ebpf.union(CapabilitySet::NET_ADMIN)
}

/// A filter that allows what the profile does. Names that this processor does not have are passed over, as container
/// runtimes do.
fn compile(profile: &str) -> Result<BpfProgram> {
    let profile: Profile = serde_json::from_str(profile)?;
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let mut rules = Vec::new();
    for rule in &profile.syscalls {
        rules.extend(
            translate(rule)?
                .into_iter()
                .filter(|it| filter(std::slice::from_ref(it), arch).is_ok()),
        );
    }
    filter(&rules, arch)
}

/// One rule of `seccompiler`'s own format for each name.
fn translate(rule: &Rule) -> Result<Vec<Value>> {
    if rule.action != ALLOW || rule.args.iter().any(|it| it.op != EQUAL) {
        bail!("only {ALLOW} and {EQUAL} are understood: {:?}", rule.names);
    }
    let arguments: Vec<_> = rule
        .args
        .iter()
        .map(|it| json!({ "index": it.index, "type": "dword", "op": "eq", "val": it.value }))
        .collect();
    let translated = rule.names.iter().map(|name| {
        if arguments.is_empty() {
            json!({ "syscall": name })
        } else {
            json!({ "syscall": name, "args": arguments })
        }
    });
    Ok(translated.collect())
}

fn filter(rules: &[Value], arch: TargetArch) -> Result<BpfProgram> {
    let document = json!({ "sluice": {
        "mismatch_action": "kill_process",
        "match_action": "allow",
        "filter": rules,
    } });
    let compiled = compile_from_json(document.to_string().as_bytes(), arch)?;
    let mut programs = compiled.into_values();
    programs.next().ok_or_else(|| anyhow!("no program"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_compiles_and_has_no_typing_errors() {
        compile(PROFILE).unwrap();
        let profile: Profile = serde_json::from_str(PROFILE).unwrap();
        for rule in profile
            .syscalls
            .iter()
            .flat_map(|rule| translate(rule).unwrap())
        {
            // The names of this processor have all that arm64 has, and more.
            let known = filter(std::slice::from_ref(&rule), TargetArch::x86_64);
            assert!(known.is_ok(), "{rule}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            r#"{"syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG"}]}"#,
            r#"{"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_GT"}]}]}"#,
            r#"{"names": ["read"]}"#,
        ] {
            assert!(compile(text).is_err(), "{text}");
        }
    }
}
