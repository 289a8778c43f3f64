//! For the API group: a report of the shape of its `ConformanceReport`, of the cases that mirror its own tests. Its
//! tests are this suite's cases, by their ids; it takes the place of no run of the API group's own suite.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Report, Standing, theme};
use crate::case::Case;

/// Who was judged.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Implementation {
    /// Whose it is.
    pub organization: String,
    /// What it is called.
    pub project: String,
    /// Where it is.
    pub url: String,
    /// Which one.
    pub version: String,
    /// Whom to ask: addresses, names on GitHub.
    pub contact: Vec<String>,
    /// Where to see the run.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub additional_information: String,
}

/// A profile of the API group: the theme that mirrors its tests, what a case's name begins with that is of it, and the
/// version of the API that defines it.
struct Profile {
    name: &'static str,
    theme: &'static str,
    begins: &'static [&'static str],
    version: &'static str,
    /// Features that an implementation need not have: this suite's names, and the API group's.
    experimental: &'static [(&'static str, &'static str)],
}

const PROFILES: &[Profile] = &[
    Profile {
        name: "ClusterNetworkPolicy",
        theme: "cnp",
        begins: &["admin-", "baseline-"],
        version: "v0.2.0",
        experimental: &[
            ("cnp.namedport", "ClusterNetworkPolicyNamedPorts"),
            ("cnp.nodes", "ClusterNetworkPolicyEgressNodePeers"),
        ],
    },
    Profile {
        name: "AdminNetworkPolicy",
        theme: "anp",
        begins: &["admin-"],
        version: "v0.1.8",
        experimental: &[
            ("anp.namedport", "AdminNetworkPolicyNamedPorts"),
            ("anp.nodes", "AdminNetworkPolicyEgressNodePeers"),
        ],
    },
    Profile {
        name: "BaselineAdminNetworkPolicy",
        theme: "anp",
        begins: &["baseline-"],
        version: "v0.1.8",
        experimental: &[
            ("anp.namedport", "BaselineAdminNetworkPolicyNamedPorts"),
            ("anp.nodes", "BaselineAdminNetworkPolicyEgressNodePeers"),
        ],
    },
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'r> {
    api_version: &'static str,
    kind: &'static str,
    date: &'r str,
    implementation: &'r Implementation,
    #[serde(rename = "networkPolicyV2APIVersion")]
    version: &'static str,
    profiles: Vec<ProfileReport>,
}

#[derive(Serialize)]
struct ProfileReport {
    name: &'static str,
    standard: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    experimental: Option<Experimental>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Experimental {
    #[serde(flatten)]
    status: Status,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    supported_features: BTreeSet<&'static str>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    unsupported_features: BTreeSet<&'static str>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    result: &'static str,
    summary: String,
    statistics: Statistics,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped_tests: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed_tests: Vec<String>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statistics {
    failed: usize,
    passed: usize,
    skipped: usize,
}

/// The whole document, in YAML, of profiles of which anything was run. `cases` are all that there are: what of a profile
/// was not run is skipped, so that a part of it never passes for the whole. `date` is as RFC 3339 has it.
pub fn conformance(
    report: &Report,
    cases: &[&Case],
    implementation: &Implementation,
    date: &str,
) -> Result<String, serde_saphyr::SerializeError> {
    let cases: BTreeMap<&str, &Case> = cases.iter().map(|case| (&*case.id, *case)).collect();
    let standings = report.standings();
    let standings: BTreeMap<&str, Standing<'_>> = standings
        .map(|(result, standing)| (&*result.id, standing))
        .collect();
    let run: Vec<(&Profile, ProfileReport)> = PROFILES
        .iter()
        .filter_map(|profile| Some((profile, profile.report(&standings, &cases)?)))
        .collect();
    serde_saphyr::to_string(&Document {
        api_version: "policy.networking.k8s.io/v1alpha1",
        kind: "ConformanceReport",
        date,
        implementation,
        version: run.first().map_or(PROFILES[0].version, |it| it.0.version),
        profiles: run.into_iter().map(|(_, report)| report).collect(),
    })
}

impl Profile {
    /// None where no case of it was run.
    fn report(
        &self,
        standings: &BTreeMap<&str, Standing<'_>>,
        cases: &BTreeMap<&str, &Case>,
    ) -> Option<ProfileReport> {
        let own: Vec<&Case> = cases.values().copied().filter(|it| self.has(it)).collect();
        if !own.iter().any(|it| standings.contains_key(&*it.id)) {
            return None;
        }
        let (mut standard, mut experimental) = (Status::default(), Status::default());
        let (mut tried, mut untried) = (BTreeSet::new(), BTreeSet::new());
        for case in own {
            let standing = standings.get(&*case.id).copied();
            let features = self.features(case);
            let status = if features.is_empty() {
                &mut standard
            } else {
                &mut experimental
            };
            status.count(&case.id, standing.unwrap_or(Standing::Skipped("not run")));
            match standing {
                // Of what was not run nobody knows whether it is supported.
                None => {}
                Some(Standing::Skipped(_)) => untried.extend(features),
                Some(_) => tried.extend(features),
            }
        }
        let has_experimental = experimental.statistics.all() > 0;
        let experimental = has_experimental.then(|| Experimental {
            status: experimental.finish(),
            unsupported_features: untried.difference(&tried).copied().collect(),
            supported_features: tried,
        });
        Some(ProfileReport {
            name: self.name,
            standard: standard.finish(),
            experimental,
        })
    }

    fn has(&self, case: &Case) -> bool {
        let name = case.id.split_once('/').map_or("", |(_, name)| name);
        theme(&case.id) == self.theme && self.begins.iter().any(|it| name.starts_with(it))
    }

    fn features(&self, case: &Case) -> BTreeSet<&'static str> {
        let needed = self
            .experimental
            .iter()
            .filter(|(own, _)| case.features.contains(*own));
        needed.map(|(_, theirs)| *theirs).collect()
    }
}

impl Status {
    /// What may fail and what could not be judged did not pass.
    fn count(&mut self, id: &str, standing: Standing<'_>) {
        match standing {
            Standing::Passed => self.statistics.passed += 1,
            Standing::Skipped(_) => {
                self.statistics.skipped += 1;
                self.skipped_tests.push(id.to_owned());
            }
            Standing::Failed(_) | Standing::Waived(..) | Standing::Error(_) => {
                self.statistics.failed += 1;
                self.failed_tests.push(id.to_owned());
            }
        }
    }

    fn finish(self) -> Self {
        let Statistics {
            failed,
            passed,
            skipped,
        } = self.statistics;
        let result = match (failed, skipped) {
            (0, 0) => "success",
            (0, _) => "partial",
            _ => "failure",
        };
        Self {
            result,
            summary: format!("{passed} passed, {failed} failed, {skipped} skipped"),
            ..self
        }
    }
}

impl Statistics {
    fn all(&self) -> usize {
        self.failed + self.passed + self.skipped
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::catalogue::Catalogue;
    use crate::runner::{CaseResult, Failure, Outcome};

    /// Of the themes of the API group and another: one case failed, and those that need nodes were skipped.
    fn run(cases: &[&Case]) -> Report {
        let outcome = |case: &Case| match &*case.id {
            "cnp/admin-priority" => Outcome::Failed(Failure::new(1, "wrong".to_owned())),
            id if id.starts_with("cnp/") && case.features.contains("cnp.nodes") => {
                Outcome::Skipped("no nodes".to_owned())
            }
            _ => Outcome::Passed,
        };
        let result = |case: &&Case| CaseResult {
            outcome: outcome(case),
            ..CaseResult::skipped(case, String::new())
        };
        Report {
            results: cases.iter().map(result).collect(),
            ..Report::default()
        }
    }

    #[test]
    fn a_part_of_a_profile_is_partial_and_what_was_not_run_is_skipped() {
        let catalogue = Catalogue::built_in();
        let all: Vec<&Case> = catalogue.cases.iter().collect();
        let is_it = |case: &&&Case| &*case.id == "cnp/admin-egress-cidr";
        let chosen: Vec<&Case> = all.iter().filter(is_it).copied().collect();
        let text = conformance(
            &run(&chosen),
            &all,
            &Implementation::default(),
            "2026-01-02T03:04:05Z",
        );
        let read: Value = serde_saphyr::from_str(&text.unwrap()).unwrap();
        let [cnp] = &read["profiles"].as_array().unwrap()[..] else {
            panic!("of one profile: {read}");
        };
        let standard = &cnp["standard"];
        assert_eq!(standard["result"], "partial");
        assert_eq!(standard["statistics"]["Passed"], 1);
        let skipped = standard["skippedTests"].as_array().unwrap();
        assert!(skipped.contains(&json!("cnp/admin-priority")));
        assert_eq!(standard["statistics"]["Skipped"], skipped.len());
        let experimental = &cnp["experimental"];
        assert_eq!(experimental["result"], "partial");
        assert_eq!(experimental["unsupportedFeatures"], Value::Null);
    }

    #[test]
    fn profiles_have_the_cases_that_mirror_their_tests() {
        let catalogue = Catalogue::built_in();
        let cases: Vec<&Case> = catalogue
            .cases
            .iter()
            .filter(|case| matches!(case.theme(), "anp" | "cnp" | "ports"))
            .collect();
        let report = run(&cases);
        let implementation = Implementation {
            project: "y".to_owned(),
            ..Implementation::default()
        };
        let text = conformance(&report, &cases, &implementation, "2026-01-02T03:04:05Z").unwrap();
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read["apiVersion"], "policy.networking.k8s.io/v1alpha1");
        assert_eq!(read["kind"], "ConformanceReport");
        assert_eq!(read["date"], "2026-01-02T03:04:05Z");
        assert_eq!(read["networkPolicyV2APIVersion"], "v0.2.0");
        assert_eq!(read["implementation"]["project"], "y");
        let [cnp, anp, banp] = &read["profiles"].as_array().unwrap()[..] else {
            panic!("three profiles: {text}");
        };
        assert_eq!(cnp["name"], "ClusterNetworkPolicy");
        let standard = &cnp["standard"];
        assert_eq!(standard["result"], "failure");
        assert_eq!(standard["failedTests"], json!(["cnp/admin-priority"]));
        assert_eq!(standard["statistics"]["Failed"], 1);
        let experimental = &cnp["experimental"];
        assert_eq!(experimental["result"], "partial");
        assert_eq!(
            experimental["supportedFeatures"],
            json!(["ClusterNetworkPolicyNamedPorts"])
        );
        assert_eq!(
            experimental["unsupportedFeatures"],
            json!(["ClusterNetworkPolicyEgressNodePeers"])
        );
        let all = |profile: &Value| {
            let of = |level: &str| {
                let numbers = profile[level]["statistics"].as_object().unwrap();
                numbers.values().filter_map(Value::as_u64).sum::<u64>()
            };
            of("standard") + of("experimental")
        };
        assert_eq!(all(cnp), 30);
        assert_eq!(all(anp) + all(banp), 24);
        assert_eq!(banp["standard"]["result"], "success");
    }
}
