//! What an enforcer may or may not offer; a case that needs something is skipped where it is not offered.

/// Features and what they mean.
pub const FEATURES: &[(&str, &str)] = &[
    ("np.core", "NetworkPolicy v1 between pods"),
    ("np.udp", "policies about UDP"),
    ("np.sctp", "policies about SCTP"),
    ("np.endport", "endPort"),
    ("np.namedport", "ports by name"),
    (
        "np.namedport-multi",
        "ports of one name with several numbers",
    ),
    ("np.ipblock-pods", "ipBlock that matches addresses of pods"),
    ("np.hostnet", "pods in the network of their node"),
    ("np.service", "connections through Services"),
    ("np.loopback", "a pod that reaches itself"),
    (
        "np.established",
        "connections that are open while policy changes",
    ),
    ("np.restart", "an enforcer that is restarted"),
    (
        "np.startup",
        "pods that are isolated from their first instruction on",
    ),
    ("np.ipv6", "IPv6"),
    ("np.dual", "both families at once"),
    ("np.validation", "objects that an API server refuses"),
    ("np.scale", "many objects"),
    (
        "anp",
        "AdminNetworkPolicy and BaselineAdminNetworkPolicy, v1alpha1",
    ),
    ("anp.namedport", "their named ports"),
    ("anp.nodes", "their nodes and networks as egress peers"),
    ("cnp", "ClusterNetworkPolicy, v1alpha2"),
    ("cnp.namedport", "its named ports"),
    ("cnp.nodes", "its nodes as egress peers"),
];

/// Their names, in order.
pub const NAMES: &[&str] = &{
    let mut names = [""; FEATURES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = FEATURES[at].0;
        at += 1;
    }
    names
};

/// Whether there is a feature of that name.
pub fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn every_feature_is_of_a_case() {
        let cases = Catalogue::built_in().cases;
        for name in NAMES {
            let is_of_one = cases.iter().any(|case| case.features.contains(*name));
            assert!(is_of_one, "{name}");
        }
    }
}
