//! The tiers around `NetworkPolicy`: what each of the three says about the same connections, in every combination.

use serde_json::{Value, json};

use super::draft::{Direction, Draft, label, object, policy};
use crate::case::{Case, Object};

const THEME: &str = "tier-forms";

/// What a tier of `policy.networking.k8s.io` does with connections to or from y.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    None,
    Accept,
    Deny,
    Pass,
}

/// What `NetworkPolicy` does with them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Middle {
    None,
    Allow,
    Deny,
}

/// Which version of the API the tiers are of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V1Alpha1,
    V1Alpha2,
}

/// One combination.
#[derive(Clone, Copy)]
struct Combination {
    direction: Direction,
    version: Version,
    admin: Action,
    middle: Middle,
    baseline: Action,
    /// Whether the tiers are about port 80 of TCP alone.
    one_port: bool,
}

/// All that have a policy of a tier, each in one version, and every other one about one port.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for direction in Direction::ALL {
        for admin in [Action::None, Action::Accept, Action::Deny, Action::Pass] {
            for middle in [Middle::None, Middle::Allow, Middle::Deny] {
                for baseline in [Action::None, Action::Accept, Action::Deny] {
                    if (admin, baseline) == (Action::None, Action::None) {
                        continue;
                    }
                    // By the remainders of four, so that neither goes along with a dimension.
                    let number = cases.len();
                    let version = if number % 4 < 2 {
                        Version::V1Alpha2
                    } else {
                        Version::V1Alpha1
                    };
                    let one_port = number % 2 == 1;
                    cases.push(
                        Combination {
                            direction,
                            version,
                            admin,
                            middle,
                            baseline,
                            one_port,
                        }
                        .case(),
                    );
                }
            }
        }
    }
    cases
}

impl Action {
    fn word(self, version: Version) -> &'static str {
        match (self, version) {
            (Self::None, _) => "",
            (Self::Accept, Version::V1Alpha1) => "Allow",
            (Self::Accept, Version::V1Alpha2) => "Accept",
            (Self::Deny, _) => "Deny",
            (Self::Pass, _) => "Pass",
        }
    }

    fn said(self) -> (&'static str, &'static str) {
        match self {
            Self::None => ("none", "says nothing"),
            Self::Accept => ("accept", "accepts"),
            Self::Deny => ("deny", "denies"),
            Self::Pass => ("pass", "passes"),
        }
    }
}

impl Middle {
    fn said(self) -> (&'static str, &'static str) {
        match self {
            Self::None => ("none", "says nothing"),
            Self::Allow => ("allow", "allows"),
            Self::Deny => ("deny", "denies"),
        }
    }
}

impl Combination {
    fn case(self) -> Case {
        let way = self.direction.rules();
        let version = match self.version {
            Version::V1Alpha1 => "v1alpha1",
            Version::V1Alpha2 => "v1alpha2",
        };
        let (port, port_words) = if self.one_port {
            ("port", "port 80 of TCP")
        } else {
            ("all", "every port")
        };
        let (admin, admin_words) = self.admin.said();
        let (middle, middle_words) = self.middle.said();
        let (baseline, baseline_words) = self.baseline.said();
        let objects = [
            self.tier("Admin", self.admin),
            self.network_policy(),
            self.tier("Baseline", self.baseline),
        ];
        Draft {
            theme: THEME,
            name: format!("{way}-{admin}-{middle}-{baseline}-{port}-{version}"),
            sentence: format!(
                "of {way} at {port_words} the first tier decides that says something: Admin {admin_words}, \
                 NetworkPolicy {middle_words}, Baseline {baseline_words}"
            ),
            tags: vec![way, "tiers"],
            world: "grid",
            objects: objects.into_iter().flatten().collect(),
            steps: Vec::new(),
        }
        .case()
    }

    fn network_policy(self) -> Option<Object> {
        let direction = self.direction;
        let peer = json!({"namespaceSelector": label("ns", "y")});
        let rules = match self.middle {
            Middle::None => return None,
            Middle::Allow => json!([{direction.peers(): [peer]}]),
            Middle::Deny => json!([]),
        };
        let spec = json!({"podSelector": {}, "policyTypes": [direction.policy_type()], direction.rules(): rules});
        Some(policy("x", "policy", &spec))
    }

    fn tier(self, tier: &str, action: Action) -> Option<Object> {
        let mut spec = json!({
            "subject": {"namespaces": label("ns", "x")},
            self.direction.rules(): [self.rule(action)],
        });
        let kind = match (self.version, tier) {
            _ if action == Action::None => return None,
            (Version::V1Alpha2, _) => "ClusterNetworkPolicy",
            (Version::V1Alpha1, "Admin") => "AdminNetworkPolicy",
            (Version::V1Alpha1, _) => "BaselineAdminNetworkPolicy",
        };
        if kind == "ClusterNetworkPolicy" {
            spec["tier"] = json!(tier);
        }
        if kind != "BaselineAdminNetworkPolicy" {
            spec["priority"] = json!(10);
        }
        // The API allows one BaselineAdminNetworkPolicy, of this name.
        let name = if tier == "Admin" { "admin" } else { "default" };
        Some(object(kind, "", name, &spec))
    }

    fn rule(self, action: Action) -> Value {
        let mut rule = json!({
            "action": action.word(self.version),
            self.direction.peers(): [{"namespaces": label("ns", "y")}],
        });
        match (self.one_port, self.version) {
            (false, _) => {}
            (true, Version::V1Alpha1) => {
                rule["ports"] = json!([{"portNumber": {"protocol": "TCP", "port": 80}}]);
            }
            (true, Version::V1Alpha2) => {
                rule["protocols"] = json!([{"tcp": {"destinationPort": {"number": 80}}}]);
            }
        }
        rule
    }
}
