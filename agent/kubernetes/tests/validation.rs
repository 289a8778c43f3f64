//! What the API server would refuse is refused, and said on one line that names file, object and field.

use sluice_kubernetes::load_text;

/// The problems of a text, one a line.
fn problems(text: &str) -> Vec<String> {
    load_text("f.yaml", text)
        .problems
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// A `NetworkPolicy` with a spec in flow style; the spec stands on line 4.
fn policy(spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p, namespace: x}}\nspec: {spec}\n"
    )
}

#[track_caller]
fn spec_problem(spec: &str, expected: &str) {
    assert_eq!(
        problems(&policy(spec)),
        [format!("f.yaml:4: NetworkPolicy x/p: {expected}")],
        "{spec}"
    );
}

#[test]
fn what_the_api_accepts_has_no_problem() {
    for spec in [
        "{}",
        "{podSelector: {}}",
        "{podSelector: {}, policyTypes: [Ingress, Ingress]}",
        "{podSelector: {}, policyTypes: [Ingress], egress: [{}]}",
        "{podSelector: {}, ingress: null, egress: []}",
        "{podSelector: {}, ingress: [{from: [], ports: []}, {}]}",
        "{podSelector: {matchLabels: {a: '', b.c/d: E_f}}}",
        "{podSelector: {matchExpressions: [{key: a, operator: In, values: [b, c]}, {key: a, operator: Exists}]}}",
        "{podSelector: {matchExpressions: [{key: a, operator: DoesNotExist, values: []}]}}",
        "{podSelector: {}, ingress: [{ports: [{port: 1}, {port: 65535, protocol: SCTP}, {port: http}, {protocol: UDP}]}]}",
        "{podSelector: {}, ingress: [{ports: [{port: 80, endPort: 80}, {port: 80, endPort: 65535}]}]}",
        "{podSelector: {}, ingress: [{from: [{podSelector: {}}, {namespaceSelector: {}}, {podSelector: {}, namespaceSelector: {}}]}]}",
        "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 10.0.0.0/8, 10.1.0.0/16]}}]}]}",
        "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: '::/0', except: ['fd00::/8']}}]}]}",
    ] {
        assert_eq!(problems(&policy(spec)), [""; 0], "{spec}");
    }
}

/// What is long in messages.
const PORT: &str = "must be a port number, or a name of up to 15 lowercase letters, digits and single '-' with a letter in it";
const NETWORK: &str = "must be a network such as 10.0.0.0/8 or fd00::/8";
const VALUE: &str = "label values are up to 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends";
const KEY: &str = "label keys are [PREFIX/]NAME: a name of up to 63 letters, digits, '-', '_' and '.', and a DNS subdomain as prefix";

/// Fields of a port, and the problem with them.
const PORTS: &[(&str, &str)] = &[
    ("port: 0", "port: must be between 1 and 65535, got 0"),
    (
        "port: 65536",
        "port: must be between 1 and 65535, got 65536",
    ),
    ("port: -1", "port: must be between 1 and 65535, got -1"),
    ("port: 1.5", "port: must be a number, got 1.5"),
    ("port: '80'", "port: PORT, got \"80\""),
    ("port: http_alt", "port: PORT, got \"http_alt\""),
    (
        "port: much-too-long-name",
        "port: PORT, got \"much-too-long-name\"",
    ),
    ("port: [80]", "port: must be a string, got a list"),
    (
        "protocol: tcp",
        "protocol: must be TCP, UDP or SCTP, got \"tcp\"",
    ),
    (
        "protocol: ICMP",
        "protocol: must be TCP, UDP or SCTP, got \"ICMP\"",
    ),
    (
        "protocol: 6",
        "protocol: must be a string, got 6 (put it in quotes)",
    ),
    ("endPort: 80", "endPort: needs port"),
    (
        "port: http, endPort: 80",
        "endPort: needs port to be a number",
    ),
    (
        "port: 80, endPort: 79",
        "endPort: must not be less than port 80, got 79",
    ),
    (
        "port: 80, endPort: 65536",
        "endPort: must be between 1 and 65535, got 65536",
    ),
    (
        "port: 80, endPort: http",
        "endPort: must be a number, got \"http\"",
    ),
    ("port: 80, end: 90", "end: unknown field"),
    (
        "port: 80, endport: 90",
        "endport: unknown field, did you mean endPort?",
    ),
];

#[test]
fn ports_are_checked() {
    for (port, problem) in PORTS {
        let spec =
            format!("{{podSelector: {{}}, ingress: [{{}}, {{ports: [{{port: 1}}, {{{port}}}]}}]}}");
        spec_problem(
            &spec,
            &format!("spec.ingress[1].ports[1].{}", problem.replace("PORT", PORT)),
        );
    }
}

/// Fields of a peer, and the problem with them.
const PEERS: &[(&str, &str)] = &[
    (
        "",
        ": needs a podSelector, a namespaceSelector or an ipBlock",
    ),
    (
        "ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}",
        ": ipBlock cannot be combined with podSelector or namespaceSelector",
    ),
    (
        "podSelecter: {}",
        ".podSelecter: unknown field, did you mean podSelector?",
    ),
    ("ipBlock: {}", ".ipBlock.cidr: required"),
    ("ipBlock: {cidr: ''}", ".ipBlock.cidr: NETWORK, got \"\""),
    (
        "ipBlock: {cidr: 10.0.0.0}",
        ".ipBlock.cidr: NETWORK, got \"10.0.0.0\"",
    ),
    (
        "ipBlock: {cidr: ten.0.0.0/8}",
        ".ipBlock.cidr: NETWORK, got \"ten.0.0.0/8\"",
    ),
    (
        "ipBlock: {cidr: 10.0.0.0/33}",
        ".ipBlock.cidr: NETWORK, got \"10.0.0.0/33\"",
    ),
    (
        "ipBlock: {cidr: 10.0.0.1/24}",
        ".ipBlock.cidr: 10.0.0.1/24 has host bits set, write 10.0.0.0/24",
    ),
    (
        "ipBlock: {cidr: 'fd00::1/8'}",
        ".ipBlock.cidr: fd00::1/8 has host bits set, write fd00::/8",
    ),
    (
        "ipBlock: {cidr: 010.0.0.0/8}",
        ".ipBlock.cidr: 010.0.0.0/8 is not in canonical form, write 10.0.0.0/8",
    ),
    (
        "ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}",
        ".ipBlock.except[0]: 11.0.0.0/16 must be a strict part of cidr 10.0.0.0/8",
    ),
    (
        "ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}",
        ".ipBlock.except[0]: 10.0.0.0/8 must be a strict part of cidr 10.0.0.0/8",
    ),
    (
        "ipBlock: {cidr: 10.0.0.0/8, except: ['fd00::/16']}",
        ".ipBlock.except[0]: fd00::/16 must be a strict part of cidr 10.0.0.0/8",
    ),
    (
        "ipBlock: {cidr: 10.0.0.0/8, except: 10.1.0.0/16}",
        ".ipBlock.except: must be a list, got \"10.1.0.0/16\"",
    ),
];

#[test]
fn peers_are_checked() {
    for (peer, problem) in PEERS {
        let spec =
            format!("{{podSelector: {{}}, egress: [{{to: [{{podSelector: {{}}}}, {{{peer}}}]}}]}}");
        spec_problem(
            &spec,
            &format!(
                "spec.egress[0].to[1]{}",
                problem.replace("NETWORK", NETWORK)
            ),
        );
    }
}

/// Selectors, and the problem with them.
const SELECTORS: &[(&str, &str)] = &[
    ("[]", ": must be an object, got a list"),
    (
        "{matchLabel: {a: b}}",
        ".matchLabel: unknown field, did you mean matchLabels?",
    ),
    (
        "{matchLabels: {a: -b}}",
        ".matchLabels.a: VALUE, got \"-b\"",
    ),
    (
        "{matchLabels: {a: yes}}",
        ".matchLabels.a: must be a string, got true (put it in quotes)",
    ),
    (
        "{matchLabels: {a: 1}}",
        ".matchLabels.a: must be a string, got 1 (put it in quotes)",
    ),
    ("{matchLabels: {-a: b}}", ".matchLabels.-a: KEY"),
    ("{matchLabels: {a: b, a: c}}", ".matchLabels.a: given twice"),
    (
        "{matchExpressions: [{key: a, operator: Is, values: [b]}]}",
        ".matchExpressions[0].operator: must be In, NotIn, Exists or DoesNotExist, got \"Is\"",
    ),
    (
        "{matchExpressions: [{key: a}]}",
        ".matchExpressions[0].operator: required",
    ),
    (
        "{matchExpressions: [{operator: Exists}]}",
        ".matchExpressions[0].key: required",
    ),
    (
        "{matchExpressions: [{key: a, operator: In}]}",
        ".matchExpressions[0]: operator In needs values",
    ),
    (
        "{matchExpressions: [{key: a, operator: NotIn, values: []}]}",
        ".matchExpressions[0].values: operator NotIn needs values",
    ),
    (
        "{matchExpressions: [{key: a, operator: Exists, values: [b]}]}",
        ".matchExpressions[0].values: operator Exists takes no values",
    ),
    (
        "{matchExpressions: [{key: a, operator: In, values: [b c]}]}",
        ".matchExpressions[0].values[0]: VALUE, got \"b c\"",
    ),
];

#[test]
fn selectors_are_checked() {
    for (selector, problem) in SELECTORS {
        let problem = problem.replace("VALUE", VALUE).replace("KEY", KEY);
        spec_problem(
            &format!("{{podSelector: {selector}}}"),
            &format!("spec.podSelector{problem}"),
        );
    }
}

#[test]
fn the_shape_of_a_policy_is_checked() {
    for (spec, expected) in [
        ("[]", "spec: must be an object, got a list"),
        (
            "{podSelecter: {}}",
            "spec.podSelecter: unknown field, did you mean podSelector?",
        ),
        (
            "{podSelector: {}, ingres: []}",
            "spec.ingres: unknown field, did you mean ingress?",
        ),
        (
            "{podSelector: {}, policyTypes: [ingress]}",
            "spec.policyTypes[0]: must be Ingress or Egress, got \"ingress\"",
        ),
        (
            "{podSelector: {}, policyTypes: [Ingress, Egress, Egress]}",
            "spec.policyTypes: must be no more than two, got 3",
        ),
        (
            "{podSelector: {}, policyTypes: Ingress}",
            "spec.policyTypes: must be a list, got \"Ingress\"",
        ),
        (
            "{podSelector: {}, ingress: {}}",
            "spec.ingress: must be a list, got an object",
        ),
        (
            "{podSelector: {}, ingress: [from]}",
            "spec.ingress[0]: must be an object, got \"from\"",
        ),
        (
            "{podSelector: {}, ingress: [{form: []}]}",
            "spec.ingress[0].form: unknown field",
        ),
        (
            "{podSelector: {}, ingress: [{to: []}]}",
            "spec.ingress[0].to: unknown field",
        ),
        (
            "{podSelector: {}, ingress: [{from: {}}]}",
            "spec.ingress[0].from: must be a list, got an object",
        ),
        (
            "{podSelector: {}, podSelector: {}}",
            "spec.podSelector: given twice",
        ),
    ] {
        spec_problem(spec, expected);
    }
}

/// Documents of other kinds, and the problems with them without the file and the line, which is the first.
const OTHERS: &[(&str, &[&str])] = &[
    ("kind: Pod", &["document: apiVersion: required"]),
    ("apiVersion: v1", &["document: kind: required"]),
    (
        "just text",
        &["document: must be an object, got \"just text\""],
    ),
    (
        "{apiVersion: v1, kind: Pod}",
        &["Pod default/(unnamed, line 1): metadata: required"],
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {namespace: x}}",
        &["Pod x/(unnamed, line 1): metadata.name: required"],
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: A_b}}",
        &[
            "Pod default/A_b: metadata.name: must be a DNS subdomain (lowercase letters, digits, '-' and '.', at most 253), got \"A_b\"",
        ],
    ),
    (
        "{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}",
        &[
            "Namespace a.b: metadata.name: must be a DNS label (lowercase letters, digits and '-', at most 63), got \"a.b\"",
        ],
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: X}}",
        &[
            "Pod X/a: metadata.namespace: must be a DNS label (lowercase letters, digits and '-', at most 63), got \"X\"",
        ],
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: a, label: {}}}",
        &["Pod default/a: metadata.label: unknown field, did you mean labels?"],
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostNetwrok: true}}",
        &["Pod default/a: spec.hostNetwrok: unknown field, did you mean hostNetwork?"],
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{ports: [{containerPort: 0}, {name: A, containerPort: 1}]}]}}",
        &[
            "Pod default/a: spec.containers[0].ports[0].containerPort: must be between 1 and 65535, got 0",
            "Pod default/a: spec.containers[0].ports[1].name: PORT, got \"A\"",
        ],
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {podIPs: [{ip: 10.0.0.256}]}}",
        &["Pod default/a: status.podIPs[0].ip: must be an IP address, got \"10.0.0.256\""],
    ),
    (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: -1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}}}}",
        &[
            "Deployment default/a: spec.replicas: must be between 0 and 2147483647, got -1",
            "Deployment default/a: spec.selector: does not match the labels of the template",
        ],
    ),
    (
        "{apiVersion: apps/v1beta1, kind: Deployment, metadata: {name: a}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}}}}",
        &["Deployment default/a: apiVersion: must be apps/v1, got \"apps/v1beta1\""],
    ),
    (
        "{apiVersion: extensions/v1beta1, kind: NetworkPolicy, metadata: {name: a}, spec: {}}",
        &[
            "NetworkPolicy default/a: apiVersion: must be networking.k8s.io/v1, got \"extensions/v1beta1\"",
        ],
    ),
    (
        "{apiVersion: v1, kind: NetworkPolicy, metadata: {name: a}, spec: {}}",
        &["NetworkPolicy default/a: apiVersion: must be networking.k8s.io/v1, got \"v1\""],
    ),
    (
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolcy, metadata: {name: a}, spec: {}}",
        &["NetworkPolcy: kind: unknown kind, did you mean NetworkPolicy?"],
    ),
    (
        "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolcy, metadata: {name: a}, spec: {}}",
        &["AdminNetworkPolcy: kind: unknown kind, did you mean AdminNetworkPolicy?"],
    ),
    (
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, targetPort: 0}, {port: 70000}]}}",
        &[
            "Service default/a: spec.ports[0].targetPort: must be between 1 and 65535, got 0",
            "Service default/a: spec.ports[1].port: must be between 1 and 65535, got 70000",
        ],
    ),
];

#[test]
fn names_and_other_kinds_are_checked() {
    for (text, expected) in OTHERS {
        let expected: Vec<_> = expected
            .iter()
            .map(|line| format!("f.yaml:1: {}", line.replace("PORT", PORT)))
            .collect();
        assert_eq!(problems(text), expected, "{text}");
    }
}

#[test]
fn what_is_there_twice_is_named_with_both_places() {
    let pod = |name: &str, ip: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: x}}\nstatus: {{podIPs: [{{ip: {ip}}}]}}\n"
        )
    };
    assert_eq!(
        problems(&(pod("a", "10.0.0.1") + &pod("b", "10.0.0.1"))),
        ["f.yaml:7: Pod x/b: status.podIPs: pods x/a and x/b both have address 10.0.0.1"]
    );
    assert_eq!(
        problems(&(pod("a", "10.0.0.1") + &pod("a", "10.0.0.2"))),
        ["f.yaml:7: Pod x/a: already declared at f.yaml:2"]
    );
    let set = "---\n{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: a, namespace: x}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}}}}\n";
    assert_eq!(
        problems(&(pod("a-0", "10.0.0.1") + set)),
        ["f.yaml:7: StatefulSet x/a: pod x/a-0 is already there by Pod x/a-0 at f.yaml:2"]
    );
}

#[test]
fn text_that_is_not_yaml_is_named_with_line_and_column() {
    let found = problems("a: [1,\nb: }\n---\n{apiVersion: v1, kind: Pod, metadata: {name: a}}\n");
    assert_eq!(
        found,
        ["f.yaml:1:4: not valid YAML: mismatched bracket '[' closed by '}'"]
    );
}

#[test]
fn all_problems_come_at_once_with_their_lines() {
    let text = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: p
  namespace: x
spec:
  podSelector:
    matchExpressions:
    - key: a
      operator: Is
  ingress:
  - from:
    - {}
    ports:
    - port: 0
    - protocol: ICMP
";
    assert_eq!(
        problems(text),
        [
            "f.yaml:10: NetworkPolicy x/p: spec.podSelector.matchExpressions[0].operator: must be In, NotIn, Exists or DoesNotExist, got \"Is\"",
            "f.yaml:13: NetworkPolicy x/p: spec.ingress[0].from[0]: needs a podSelector, a namespaceSelector or an ipBlock",
            "f.yaml:15: NetworkPolicy x/p: spec.ingress[0].ports[0].port: must be between 1 and 65535, got 0",
            "f.yaml:16: NetworkPolicy x/p: spec.ingress[0].ports[1].protocol: must be TCP, UDP or SCTP, got \"ICMP\"",
        ]
    );
}
