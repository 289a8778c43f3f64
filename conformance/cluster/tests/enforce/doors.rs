//! Bad input, where it is refused, and what is said.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::agents::chart;
use crate::shared::case;

/// Values of the chart, and what the refusal names.
const VALUES: [(&str, &str); 8] = [
    ("agent.mode=quick", "mode"),
    ("agent.queues=0", "queues"),
    ("agent.queueNum=70000", "queueNum"),
    ("agent.failOpen=perhaps", "failOpen"),
    ("agent.markBits=none", "markBits"),
    ("metrics.port=99999", "port"),
    ("image.pullPolicy=Sometimes", "pullPolicy"),
    ("nonsense=1", "nonsense"),
];

/// Specs of policies that no API server takes, and what its refusal names.
const SPECS: [(&str, &str); 6] = [
    (
        "{podSelector: {matchExpressions: [{key: a, operator: Resembles, values: [b]}]}}",
        "operator",
    ),
    ("{podSelector: {}, policyTypes: [Sideways]}", "policyTypes"),
    (
        "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/40}}]}]}",
        "cidr",
    ),
    (
        "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [192.168.0.0/16]}}]}]}",
        "except",
    ),
    (
        "{podSelector: {}, ingress: [{ports: [{port: 80, endPort: 79}]}]}",
        "endPort",
    ),
    ("{podSelector: {}, egress: [{to: [{}]}]}", "to[0]"),
];

#[test]
fn values_that_the_chart_does_not_know_are_refused_by_name() -> Result<()> {
    case(|world| {
        let chart = chart().display().to_string();
        for (value, name) in VALUES {
            let said = world
                .cluster
                .control()
                .helm(&["template", "sluice", &chart, "--set", value]);
            let said = format!(
                "{:#}",
                said.err().unwrap_or_else(|| panic!("{value} is taken"))
            );
            ensure!(said.contains(name), "{value}: {said}");
        }
        Ok(())
    })
}

#[test]
fn policies_that_are_invalid_do_not_get_to_the_agents() -> Result<()> {
    case(|world| {
        for (spec, name) in SPECS {
            let policy = format!(
                "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: bad, namespace: x}}\nspec: {spec}\n"
            );
            let said = world.apply(&policy);
            let said = format!(
                "{:#}",
                said.err().unwrap_or_else(|| panic!("{spec} is taken"))
            );
            ensure!(said.contains(name), "{spec}: {said}");
        }
        for agent in world.all_ready()? {
            assert_eq!(agent.restarts, 0);
            let none = |status: &Value| status["policies"]["NetworkPolicy"] == 0;
            world.status_is(agent.node, "no policy", none)?;
        }
        Ok(())
    })
}
