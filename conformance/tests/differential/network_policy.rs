//! Random `NetworkPolicy` objects, and the parts that others share with them.

use proptest::prelude::*;

use super::Object;

/// One of some texts.
pub(crate) fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(texts).prop_map(ToOwned::to_owned)
}

/// A list in flow style.
pub(crate) fn list(
    item: impl Strategy<Value = String>,
    lengths: std::ops::Range<usize>,
) -> impl Strategy<Value = String> {
    prop::collection::vec(item, lengths).prop_map(|items| format!("[{}]", items.join(", ")))
}

pub(crate) fn selector() -> impl Strategy<Value = String> {
    let requirement = one_of(&[
        "{key: app, operator: In, values: [a, c]}",
        "{key: app, operator: NotIn, values: [a]}",
        "{key: tier, operator: NotIn, values: [db, front]}",
        "{key: tier, operator: Exists}",
        "{key: tier, operator: DoesNotExist}",
        "{key: app, operator: In, values: [b]}",
    ]);
    let labels = one_of(&[
        "{}",
        "{app: a}",
        "{app: b}",
        "{tier: db}",
        "{app: a, tier: db}",
    ]);
    prop_oneof![
        2 => Just("{}".to_owned()),
        3 => labels.prop_map(|labels| format!("{{matchLabels: {labels}}}")),
        2 => list(requirement, 1..3).prop_map(|some| format!("{{matchExpressions: {some}}}")),
    ]
}

pub(crate) fn namespaces() -> impl Strategy<Value = String> {
    one_of(&[
        "{}",
        "{matchLabels: {team: red}}",
        "{matchLabels: {kubernetes.io/metadata.name: y}}",
        "{matchExpressions: [{key: team, operator: NotIn, values: [red]}]}",
    ])
}

fn peer() -> impl Strategy<Value = String> {
    let block = one_of(&[
        "{cidr: 0.0.0.0/0}",
        "{cidr: '::/0'}",
        "{cidr: 10.244.0.0/16, except: [10.244.0.2/32, 10.244.0.4/31]}",
        "{cidr: 10.244.0.2/31}",
        "{cidr: 'fd00:10:244::/64', except: ['fd00:10:244::1/128']}",
        "{cidr: 172.18.0.0/16, except: [172.18.0.1/32]}",
        "{cidr: 10.244.0.0/30}",
        "{cidr: 10.0.0.0/8, except: [10.244.0.0/16]}",
    ]);
    prop_oneof![
        3 => selector().prop_map(|pods| format!("{{podSelector: {pods}}}")),
        2 => namespaces().prop_map(|namespaces| format!("{{namespaceSelector: {namespaces}}}")),
        2 => (selector(), namespaces()).prop_map(|(pods, namespaces)| format!("{{podSelector: {pods}, namespaceSelector: {namespaces}}}")),
        3 => block.prop_map(|block| format!("{{ipBlock: {block}}}")),
    ]
}

fn port() -> impl Strategy<Value = String> {
    one_of(&[
        "{}",
        "{port: 80}",
        "{port: 81}",
        "{port: 80, endPort: 81}",
        "{port: 1, endPort: 80}",
        "{port: 82, endPort: 65535}",
        "{port: web}",
        "{port: alt, protocol: UDP}",
        "{port: web, protocol: UDP}",
        "{protocol: UDP}",
        "{protocol: SCTP}",
        "{port: 80, protocol: UDP}",
    ])
}

fn rules(peers: &'static str) -> impl Strategy<Value = String> {
    let rule = (
        prop::option::of(list(peer(), 0..3)),
        prop::option::of(list(port(), 0..3)),
    )
        .prop_map(move |(some, ports)| {
            let some = some.map(|some| format!("{peers}: {some}"));
            let ports = ports.map(|ports| format!("ports: {ports}"));
            format!(
                "{{{}}}",
                [some, ports]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        });
    list(rule, 0..3)
}

pub(crate) fn policy() -> impl Strategy<Value = Object> {
    let types = one_of(&[
        "",
        ", policyTypes: [Ingress]",
        ", policyTypes: [Egress]",
        ", policyTypes: [Ingress, Egress]",
    ]);
    let ingress = prop::option::of(rules("from"));
    let egress = prop::option::of(rules("to"));
    (one_of(&["x", "y"]), selector(), types, ingress, egress).prop_map(
        |(namespace, pods, types, ingress, egress)| {
            let ingress = ingress
                .map(|rules| format!(", ingress: {rules}"))
                .unwrap_or_default();
            let egress = egress
                .map(|rules| format!(", egress: {rules}"))
                .unwrap_or_default();
            Object {
                kind: "NetworkPolicy",
                namespace,
                spec: format!("{{podSelector: {pods}{types}{ingress}{egress}}}"),
            }
        },
    )
}
