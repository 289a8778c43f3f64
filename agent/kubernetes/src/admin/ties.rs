//! Policies of which the API does not say which comes first.

use std::collections::BTreeMap;
use std::fmt;

use sluice_policy::{AdminName, AdminPolicy, AdminTier};

/// Policies of one tier with the same priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tie {
    /// Their tier.
    pub tier: AdminTier,
    /// Their priority.
    pub priority: u16,
    /// Two at least, in the order in which they are asked: by name, then by kind.
    pub names: Vec<AdminName>,
}

/// The ties among some policies, by tier and priority. Whether their rules ever meet is not looked at.
pub fn ties(policies: &[AdminPolicy]) -> Vec<Tie> {
    let mut places: BTreeMap<(AdminTier, u16), Vec<AdminName>> = BTreeMap::new();
    for policy in policies {
        let place = (policy.tier, policy.priority);
        places.entry(place).or_default().push(policy.name.clone());
    }
    let several = places.into_iter().filter(|(_, names)| names.len() > 1);
    several
        .map(|((tier, priority), mut names)| {
            names.sort_by(|one, other| (&one.name, one.kind).cmp(&(&other.name, other.kind)));
            Tie {
                tier,
                priority,
                names,
            }
        })
        .collect()
}

impl fmt::Display for Tie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.names.iter().map(ToString::to_string).collect();
        let tier = match self.tier {
            AdminTier::Admin => "Admin",
            AdminTier::Baseline => "Baseline",
        };
        write!(
            f,
            "equal priority in the {tier} tier, so names decide the order: {}",
            names.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use sluice_policy::AdminKind::{
        AdminNetworkPolicy as Anp, BaselineAdminNetworkPolicy as Banp, ClusterNetworkPolicy as Cnp,
    };
    use sluice_policy::{AdminKind, AdminTier, PodsOf, Selector};

    use super::*;

    fn policy(kind: AdminKind, name: &str, tier: AdminTier, priority: u16) -> AdminPolicy {
        AdminPolicy {
            name: AdminName {
                kind,
                name: name.into(),
            },
            tier,
            priority,
            subject: PodsOf {
                namespaces: Selector::default(),
                pods: Selector::default(),
            },
            ingress: Vec::new(),
            egress: Vec::new(),
        }
    }

    #[test]
    fn policies_of_one_tier_and_priority_tie() {
        use AdminTier::{Admin, Baseline};
        let policies = [
            policy(Cnp, "b", Admin, 5),
            policy(Anp, "b", Admin, 5),
            policy(Cnp, "a", Admin, 5),
            policy(Anp, "c", Admin, 6),
            policy(Cnp, "c", Baseline, 5),
            policy(Cnp, "d", Baseline, 5),
            policy(Cnp, "e", Baseline, 6),
            policy(Banp, "default", Baseline, AdminPolicy::LAST),
        ];
        let shown: Vec<String> = ties(&policies).iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "equal priority in the Admin tier, so names decide the order: ClusterNetworkPolicy/a, AdminNetworkPolicy/b, ClusterNetworkPolicy/b",
                "equal priority in the Baseline tier, so names decide the order: ClusterNetworkPolicy/c, ClusterNetworkPolicy/d",
            ]
        );
    }
}
