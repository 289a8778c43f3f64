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

#[test]
fn ports_are_checked() {
    let ingress = |port: &str| {
        format!("{{podSelector: {{}}, ingress: [{{}}, {{ports: [{{port: 1}}, {{{port}}}]}}]}}")
    };
    let name = "must be a port number, or a name of up to 15 lowercase letters, digits and single '-' with a letter in it";
    for (port, field, message) in [
        (
            "port: 0",
            "port",
            "must be between 1 and 65535, got 0".to_owned(),
        ),
        (
            "port: 65536",
            "port",
            "must be between 1 and 65535, got 65536".to_owned(),
        ),
        (
            "port: -1",
            "port",
            "must be between 1 and 65535, got -1".to_owned(),
        ),
        ("port: 1.5", "port", "must be a number, got 1.5".to_owned()),
        ("port: '80'", "port", format!("{name}, got \"80\"")),
        (
            "port: http_alt",
            "port",
            format!("{name}, got \"http_alt\""),
        ),
        (
            "port: much-too-long-name",
            "port",
            format!("{name}, got \"much-too-long-name\""),
        ),
        (
            "port: [80]",
            "port",
            "must be a string, got a list".to_owned(),
        ),
        (
            "protocol: tcp",
            "protocol",
            "must be TCP, UDP or SCTP, got \"tcp\"".to_owned(),
        ),
        (
            "protocol: ICMP",
            "protocol",
            "must be TCP, UDP or SCTP, got \"ICMP\"".to_owned(),
        ),
        (
            "protocol: 6",
            "protocol",
            "must be a string, got 6 (put it in quotes)".to_owned(),
        ),
        ("endPort: 80", "endPort", "needs port".to_owned()),
        (
            "port: http, endPort: 80",
            "endPort",
            "needs port to be a number".to_owned(),
        ),
        (
            "port: 80, endPort: 79",
            "endPort",
            "must not be less than port 80, got 79".to_owned(),
        ),
        (
            "port: 80, endPort: 65536",
            "endPort",
            "must be between 1 and 65535, got 65536".to_owned(),
        ),
        (
            "port: 80, endPort: http",
            "endPort",
            "must be a number, got \"http\"".to_owned(),
        ),
        ("port: 80, end: 90", "end", "unknown field".to_owned()),
        (
            "port: 80, endport: 90",
            "endport",
            "unknown field, did you mean endPort?".to_owned(),
        ),
    ] {
        spec_problem(
            &ingress(port),
            &format!("spec.ingress[1].ports[1].{field}: {message}"),
        );
    }
}

#[test]
fn peers_are_checked() {
    let egress = |peer: &str| {
        format!("{{podSelector: {{}}, egress: [{{to: [{{podSelector: {{}}}}, {{{peer}}}]}}]}}")
    };
    let network = "must be a network such as 10.0.0.0/8 or fd00::/8";
    for (peer, rest, message) in [
        (
            "",
            "",
            "needs a podSelector, a namespaceSelector or an ipBlock".to_owned(),
        ),
        (
            "ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}",
            "",
            "ipBlock cannot be combined with podSelector or namespaceSelector".to_owned(),
        ),
        (
            "podSelecter: {}",
            ".podSelecter",
            "unknown field, did you mean podSelector?".to_owned(),
        ),
        ("ipBlock: {}", ".ipBlock.cidr", "required".to_owned()),
        (
            "ipBlock: {cidr: ''}",
            ".ipBlock.cidr",
            format!("{network}, got \"\""),
        ),
        (
            "ipBlock: {cidr: 10.0.0.0}",
            ".ipBlock.cidr",
            format!("{network}, got \"10.0.0.0\""),
        ),
        (
            "ipBlock: {cidr: ten.0.0.0/8}",
            ".ipBlock.cidr",
            format!("{network}, got \"ten.0.0.0/8\""),
        ),
        (
            "ipBlock: {cidr: 10.0.0.0/33}",
            ".ipBlock.cidr",
            format!("{network}, got \"10.0.0.0/33\""),
        ),
        (
            "ipBlock: {cidr: 10.0.0.1/24}",
            ".ipBlock.cidr",
            "10.0.0.1/24 has host bits set, write 10.0.0.0/24".to_owned(),
        ),
        (
            "ipBlock: {cidr: 'fd00::1/8'}",
            ".ipBlock.cidr",
            "fd00::1/8 has host bits set, write fd00::/8".to_owned(),
        ),
        (
            "ipBlock: {cidr: 010.0.0.0/8}",
            ".ipBlock.cidr",
            "010.0.0.0/8 is not in canonical form, write 10.0.0.0/8".to_owned(),
        ),
        (
            "ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}",
            ".ipBlock.except[0]",
            "11.0.0.0/16 must be a strict part of cidr 10.0.0.0/8".to_owned(),
        ),
        (
            "ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}",
            ".ipBlock.except[0]",
            "10.0.0.0/8 must be a strict part of cidr 10.0.0.0/8".to_owned(),
        ),
        (
            "ipBlock: {cidr: 10.0.0.0/8, except: ['fd00::/16']}",
            ".ipBlock.except[0]",
            "fd00::/16 must be a strict part of cidr 10.0.0.0/8".to_owned(),
        ),
        (
            "ipBlock: {cidr: 10.0.0.0/8, except: 10.1.0.0/16}",
            ".ipBlock.except",
            "must be a list, got \"10.1.0.0/16\"".to_owned(),
        ),
    ] {
        spec_problem(
            &egress(peer),
            &format!("spec.egress[0].to[1]{rest}: {message}"),
        );
    }
}

#[test]
fn selectors_are_checked() {
    let value = "label values are up to 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends";
    let key = "label keys are [PREFIX/]NAME: a name of up to 63 letters, digits, '-', '_' and '.', and a DNS subdomain as prefix";
    for (selector, field, message) in [
        ("[]", "", "must be an object, got a list".to_owned()),
        (
            "{matchLabel: {a: b}}",
            ".matchLabel",
            "unknown field, did you mean matchLabels?".to_owned(),
        ),
        (
            "{matchLabels: {a: -b}}",
            ".matchLabels.a",
            format!("{value}, got \"-b\""),
        ),
        (
            "{matchLabels: {a: yes}}",
            ".matchLabels.a",
            "must be a string, got true (put it in quotes)".to_owned(),
        ),
        (
            "{matchLabels: {a: 1}}",
            ".matchLabels.a",
            "must be a string, got 1 (put it in quotes)".to_owned(),
        ),
        ("{matchLabels: {-a: b}}", ".matchLabels.-a", key.to_owned()),
        (
            "{matchLabels: {a: b, a: c}}",
            ".matchLabels.a",
            "given twice".to_owned(),
        ),
        (
            "{matchExpressions: [{key: a, operator: Is, values: [b]}]}",
            ".matchExpressions[0].operator",
            "must be In, NotIn, Exists or DoesNotExist, got \"Is\"".to_owned(),
        ),
        (
            "{matchExpressions: [{key: a}]}",
            ".matchExpressions[0].operator",
            "required".to_owned(),
        ),
        (
            "{matchExpressions: [{operator: Exists}]}",
            ".matchExpressions[0].key",
            "required".to_owned(),
        ),
        (
            "{matchExpressions: [{key: a, operator: In}]}",
            ".matchExpressions[0]",
            "operator In needs values".to_owned(),
        ),
        (
            "{matchExpressions: [{key: a, operator: NotIn, values: []}]}",
            ".matchExpressions[0].values",
            "operator NotIn needs values".to_owned(),
        ),
        (
            "{matchExpressions: [{key: a, operator: Exists, values: [b]}]}",
            ".matchExpressions[0].values",
            "operator Exists takes no values".to_owned(),
        ),
        (
            "{matchExpressions: [{key: a, operator: In, values: [b c]}]}",
            ".matchExpressions[0].values[0]",
            format!("{value}, got \"b c\""),
        ),
    ] {
        spec_problem(
            &format!("{{podSelector: {selector}}}"),
            &format!("spec.podSelector{field}: {message}"),
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

#[test]
fn names_and_other_kinds_are_checked() {
    let dns = "must be a DNS subdomain (lowercase letters, digits, '-' and '.', at most 253)";
    for (text, expected) in [
        ("kind: Pod", vec!["f.yaml:1: document: apiVersion: required".to_owned()]),
        ("apiVersion: v1", vec!["f.yaml:1: document: kind: required".to_owned()]),
        ("just text", vec!["f.yaml:1: document: must be an object, got \"just text\"".to_owned()]),
        ("{apiVersion: v1, kind: Pod}", vec!["f.yaml:1: Pod default/(unnamed, line 1): metadata: required".to_owned()]),
        (
            "{apiVersion: v1, kind: Pod, metadata: {namespace: x}}",
            vec!["f.yaml:1: Pod x/(unnamed, line 1): metadata.name: required".to_owned()],
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: A_b}}",
            vec![format!("f.yaml:1: Pod default/A_b: metadata.name: {dns}, got \"A_b\"")],
        ),
        (
            "{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}",
            vec![
                "f.yaml:1: Namespace a.b: metadata.name: must be a DNS label (lowercase letters, digits and '-', at most 63), got \"a.b\""
                    .to_owned(),
            ],
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: X}}",
            vec![
                "f.yaml:1: Pod X/a: metadata.namespace: must be a DNS label (lowercase letters, digits and '-', at most 63), got \"X\""
                    .to_owned(),
            ],
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: a, label: {}}}",
            vec!["f.yaml:1: Pod default/a: metadata.label: unknown field, did you mean labels?".to_owned()],
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostNetwrok: true}}",
            vec!["f.yaml:1: Pod default/a: spec.hostNetwrok: unknown field, did you mean hostNetwork?".to_owned()],
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{ports: [{containerPort: 0}, {name: A, containerPort: 1}]}]}}",
            vec![
                "f.yaml:1: Pod default/a: spec.containers[0].ports[0].containerPort: must be between 1 and 65535, got 0".to_owned(),
                "f.yaml:1: Pod default/a: spec.containers[0].ports[1].name: must be a port number, or a name of up to 15 lowercase letters, digits and single '-' with a letter in it, got \"A\"".to_owned(),
            ],
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {podIPs: [{ip: 10.0.0.256}]}}",
            vec!["f.yaml:1: Pod default/a: status.podIPs[0].ip: must be an IP address, got \"10.0.0.256\"".to_owned()],
        ),
        (
            "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: -1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}}}}",
            vec![
                "f.yaml:1: Deployment default/a: spec.replicas: must be between 0 and 2147483647, got -1".to_owned(),
                "f.yaml:1: Deployment default/a: spec.selector: does not match the labels of the template".to_owned(),
            ],
        ),
        (
            "{apiVersion: apps/v1beta1, kind: Deployment, metadata: {name: a}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}}}}",
            vec!["f.yaml:1: Deployment default/a: apiVersion: must be apps/v1, got \"apps/v1beta1\"".to_owned()],
        ),
        (
            "{apiVersion: extensions/v1beta1, kind: NetworkPolicy, metadata: {name: a}, spec: {}}",
            vec![
                "f.yaml:1: NetworkPolicy default/a: apiVersion: must be networking.k8s.io/v1, got \"extensions/v1beta1\""
                    .to_owned(),
            ],
        ),
        (
            "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {name: a}, spec: {}}",
            vec![
                "f.yaml:1: AdminNetworkPolicy a: AdminNetworkPolicy is not supported yet, what it allows or denies is not known"
                    .to_owned(),
            ],
        ),
        (
            "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, targetPort: 0}, {port: 70000}]}}",
            vec![
                "f.yaml:1: Service default/a: spec.ports[0].targetPort: must be between 1 and 65535, got 0".to_owned(),
                "f.yaml:1: Service default/a: spec.ports[1].port: must be between 1 and 65535, got 70000".to_owned(),
            ],
        ),
    ] {
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
