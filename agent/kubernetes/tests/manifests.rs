//! What manifests become: defaults, expansion, nodes, addresses and Services.

use sluice_kubernetes::{TargetPort, World, load_text};
use sluice_policy::{Event, Namespaces, Peer, Peers, Pod, Port, Ports, Protocol};

#[track_caller]
fn world(text: &str) -> World {
    let loaded = load_text("f.yaml", text);
    assert_eq!(loaded.problems, []);
    loaded.world
}

fn pod_names(world: &World) -> Vec<String> {
    world
        .pods
        .iter()
        .map(|facts| facts.pod.name.to_string())
        .collect()
}

/// `NAME on NODE: ADDRESSES`
fn placement(world: &World) -> Vec<String> {
    let show = |pod: &Pod| {
        let addresses: Vec<_> = pod.addresses.iter().map(ToString::to_string).collect();
        format!(
            "{} on {}: {}",
            pod.name,
            pod.node.as_deref().unwrap_or("nothing"),
            addresses.join(" ")
        )
    };
    world.pods.iter().map(|facts| show(&facts.pod)).collect()
}

fn pod(name: &str) -> String {
    format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: x}}\n")
}

#[test]
fn workloads_become_the_pods_of_their_controllers() {
    let template = "selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{ports: [{name: http, containerPort: 80}]}]}}";
    let job = "template: {spec: {containers: []}}";
    let world = world(&format!(
        "
---
{{apiVersion: v1, kind: Node, metadata: {{name: n1}}}}
---
{{apiVersion: v1, kind: Node, metadata: {{name: n2}}}}
---
{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: d}}, spec: {{replicas: 2, {template}}}}}
---
{{apiVersion: apps/v1, kind: StatefulSet, metadata: {{name: s}}, spec: {{{template}}}}}
---
{{apiVersion: apps/v1, kind: ReplicaSet, metadata: {{name: r}}, spec: {{replicas: 0, {template}}}}}
---
{{apiVersion: apps/v1, kind: DaemonSet, metadata: {{name: e}}, spec: {{{template}}}}}
---
{{apiVersion: batch/v1, kind: Job, metadata: {{name: j}}, spec: {{parallelism: 2, {job}}}}}
---
{{apiVersion: batch/v1, kind: CronJob, metadata: {{name: c}}, spec: {{schedule: '* * * * *', jobTemplate: {{spec: {{{job}}}}}}}}}
"
    ));
    let names = ["d-0", "d-1", "s-0", "e-0", "e-1", "j-0", "j-1", "c-0"]
        .map(|name| format!("default/{name}"));
    assert_eq!(pod_names(&world), names);
    let nodes: Vec<_> = world
        .pods
        .iter()
        .map(|facts| facts.pod.node.as_deref().unwrap())
        .collect();
    assert_eq!(nodes, ["n1", "n2", "n1", "n1", "n2", "n2", "n1", "n2"]);
    let first = &world.pods[0].pod;
    assert_eq!(
        first
            .labels
            .iter()
            .map(|(key, value)| (&**key, &**value))
            .collect::<Vec<_>>(),
        [("a", "b")]
    );
    assert_eq!(
        (first.ports[0].name.as_deref(), first.ports[0].port),
        (Some("http"), 80)
    );
}

#[test]
fn lists_and_json_are_read_and_other_kinds_counted() {
    let loaded = load_text(
        "f.json",
        r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}},
            {"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "b"}}]},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}},
            {"apiVersion": "crd.projectcalico.org/v1", "kind": "NetworkPolicy", "metadata": {"name": "c"}}
        ]}"#,
    );
    assert_eq!(loaded.problems, []);
    assert_eq!(pod_names(&loaded.world), ["default/a", "default/b"]);
    let ignored: Vec<_> = loaded
        .ignored
        .iter()
        .map(|(kind, count)| (kind.as_str(), *count))
        .collect();
    assert_eq!(
        ignored,
        [("ConfigMap", 2), ("NetworkPolicy.crd.projectcalico.org", 1)]
    );
}

#[test]
fn namespaces_that_are_only_named_exist_and_all_have_their_name_as_label() {
    let world = world(
        "
{apiVersion: v1, kind: Namespace, metadata: {name: y, labels: {team: a, kubernetes.io/metadata.name: lie}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelector: {}}}
",
    );
    let shown: Vec<_> = world
        .namespaces
        .iter()
        .map(|namespace| {
            (
                &*namespace.name,
                namespace
                    .labels
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect::<Vec<_>>()
                    .join(","),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("y", "kubernetes.io/metadata.name=y,team=a".to_owned()),
            ("x", "kubernetes.io/metadata.name=x".to_owned()),
            ("default", "kubernetes.io/metadata.name=default".to_owned()),
        ]
    );
}

#[test]
fn addresses_come_in_order_of_declaration_around_those_that_are_given() {
    let given = pod("given") + "status: {podIPs: [{ip: 10.244.0.2}], podIP: 10.244.0.9}\n";
    let single = pod("single") + "status: {podIP: 'fd00:10:244::3'}\n";
    let ended = pod("ended") + "status: {phase: Succeeded, podIPs: [{ip: 10.244.0.3}]}\n";
    let world = world(&(pod("a") + &given + &pod("b") + &single + &ended + &pod("c")));
    assert_eq!(
        placement(&world),
        [
            "x/a on node-1: 10.244.0.1 fd00:10:244::1",
            "x/given on node-1: 10.244.0.2",
            "x/b on node-1: 10.244.0.4 fd00:10:244::2",
            "x/single on node-1: fd00:10:244::3",
            "x/ended on node-1: ",
            "x/c on node-1: 10.244.0.5 fd00:10:244::4",
        ]
    );
    assert!(world.pods[4].ended);
}

#[test]
fn a_pod_that_is_appended_or_ends_moves_nobody() {
    let before = placement(&world(&(pod("a") + &pod("b") + &pod("c"))));
    let after = placement(&world(
        &(pod("a") + &pod("b") + "status: {phase: Failed}\n" + &pod("c") + &pod("d")),
    ));
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    assert_eq!(after[1], "x/b on node-1: ");
    assert_eq!(after[3], "x/d on node-1: 10.244.0.4 fd00:10:244::4");
}

#[test]
fn host_network_pods_have_the_addresses_of_their_node() {
    let node = "---\n{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 172.18.0.2}, {type: Hostname, address: n1}]}}\n";
    let host = |name: &str, node: &str| {
        pod(name) + &format!("spec: {{hostNetwork: true, nodeName: {node}}}\n")
    };
    let world = world(
        &(node.to_owned() + &host("a", "n1") + &host("b", "n1") + &host("c", "n2") + &pod("d")),
    );
    assert_eq!(
        placement(&world),
        [
            "x/a on n1: 172.18.0.2",
            "x/b on n1: 172.18.0.2",
            "x/c on n2: ",
            "x/d on n1: 10.244.0.1 fd00:10:244::1"
        ]
    );
    let nodes: Vec<_> = world.nodes.iter().map(|node| &*node.name).collect();
    assert_eq!(nodes, ["n1", "n2"]);
}

#[test]
fn ports_of_containers_and_sidecars_count_and_those_of_init_containers_do_not() {
    let world = world(
        "
apiVersion: v1
kind: Pod
metadata: {name: a, creationTimestamp: '2024-01-02T03:04:05Z'}
spec:
  initContainers:
  - {name: init, ports: [{containerPort: 1}]}
  - {name: sidecar, restartPolicy: Always, ports: [{containerPort: 2}]}
  containers:
  - {name: dns, ports: [{name: dns, containerPort: 53, protocol: UDP}]}
  - {name: dns-tcp, ports: [{name: dns, containerPort: 53}]}
",
    );
    let pod = &world.pods[0].pod;
    let ports: Vec<_> = pod
        .ports
        .iter()
        .map(|port| (port.name.as_deref(), port.port, port.protocol))
        .collect();
    assert_eq!(
        ports,
        [
            (Some("dns"), 53, Protocol::Udp),
            (Some("dns"), 53, Protocol::Tcp),
            (None, 2, Protocol::Tcp)
        ]
    );
    assert_eq!(pod.created, 1_704_164_645);
}

/// Five Services: with a named port, with an address of its own, headless, of one family, and of another namespace.
const SERVICES: &str = "
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x, labels: {app: a}}, spec: {containers: [{ports: [{name: web, containerPort: 8080}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: x}}
---
{apiVersion: v1, kind: Service, metadata: {name: s, namespace: x}, spec: {selector: {app: a}, ports: [{name: http, port: 80, targetPort: web}, {port: 53, protocol: UDP}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: given, namespace: x}, spec: {clusterIP: 10.96.0.2, ports: [{port: 1, targetPort: 2}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: headless, namespace: x}, spec: {clusterIP: None, selector: {app: a}}}
---
{apiVersion: v1, kind: Service, metadata: {name: four, namespace: x}, spec: {ipFamilies: [IPv4]}}
---
{apiVersion: v1, kind: Service, metadata: {name: last, namespace: y}, spec: {selector: {app: a}}}
";

#[test]
fn services_have_addresses() {
    let world = world(SERVICES);
    let addresses: Vec<_> = world
        .services
        .iter()
        .map(|service| {
            (
                &*service.name,
                service
                    .addresses
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" "),
            )
        })
        .collect();
    assert_eq!(
        addresses,
        [
            ("s", "10.96.0.1 fd00:10:96::1".to_owned()),
            ("given", "10.96.0.2".to_owned()),
            ("headless", String::new()),
            ("four", "10.96.0.3".to_owned()),
            ("last", "10.96.0.4 fd00:10:96::2".to_owned()),
        ]
    );
}

#[test]
fn services_have_endpoints() {
    let world = world(SERVICES);
    let [service, given, headless, four, last] = world.services.as_slice() else {
        panic!("five services")
    };
    let endpoints = world.endpoints(service);
    assert_eq!(
        endpoints
            .iter()
            .map(|pod| pod.name.to_string())
            .collect::<Vec<_>>(),
        ["x/a"]
    );
    assert_eq!(service.ports[0].target, TargetPort::Name("web".into()));
    assert_eq!(service.ports[0].target_on(endpoints[0]), Some(8080));
    assert_eq!(service.ports[1].target_on(endpoints[0]), Some(53));
    assert_eq!(given.ports[0].target_on(endpoints[0]), Some(2));
    assert_eq!(
        [headless, four, last].map(|service| world.endpoints(service).len()),
        [1, 0, 0]
    );
}

#[test]
fn policies_get_their_defaults_in_both_forms() {
    let world = world(
        "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec:
  podSelector: {}
  ingress:
  - from: [{namespaceSelector: {}}]
    ports: [{port: 80}, {port: http, protocol: TCP}, {port: 1, endPort: 9, protocol: UDP}, {}]
  egress:
  - {}
",
    );
    let policy = &world.policies[0];
    assert_eq!((&*policy.namespace, &*policy.name), ("default", "p"));
    let [ingress] = policy.ingress.as_deref().unwrap() else {
        panic!("one rule")
    };
    let every = Peer::Pods {
        namespaces: Namespaces::Matching(sluice_policy::Selector::default()),
        pods: sluice_policy::Selector::default(),
    };
    assert_eq!(ingress.peers, Peers::Of(vec![every]));
    let Ports::Of(ports) = &ingress.ports else {
        panic!("ports")
    };
    let ports: Vec<_> = ports
        .iter()
        .map(|port| (port.protocol, port.port.clone()))
        .collect();
    assert_eq!(
        ports,
        [
            (Protocol::Tcp, Port::Range(80, 80)),
            (Protocol::Tcp, Port::Named("http".into())),
            (Protocol::Udp, Port::Range(1, 9)),
            (Protocol::Tcp, Port::Any),
        ]
    );
    let [egress] = policy.egress.as_deref().unwrap() else {
        panic!("one rule")
    };
    assert_eq!((&egress.peers, &egress.ports), (&Peers::Any, &Ports::Any));

    let api = &world.api_policies[0];
    assert_eq!(api.metadata.namespace.as_deref(), Some("default"));
    let spec = api.spec.as_ref().unwrap();
    assert_eq!(spec.policy_types.as_deref().unwrap(), ["Ingress", "Egress"]);
    let ports = spec.ingress.as_ref().unwrap()[0].ports.as_ref().unwrap();
    assert!(ports.iter().all(|port| port.protocol.is_some()));
}

#[test]
fn policy_types_default_to_ingress_and_to_egress_where_there_are_egress_rules() {
    for (rest, ingress, egress) in [
        ("", true, false),
        (", ingress: []", true, false),
        (", egress: []", true, false),
        (", egress: [{}]", true, true),
        (", policyTypes: [Egress]", false, true),
        (", policyTypes: [Ingress], egress: [{}]", true, false),
        (", policyTypes: []", true, false),
    ] {
        let text = format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p}}, spec: {{podSelector: {{}}{rest}}}}}"
        );
        let world = world(&text);
        let policy = &world.policies[0];
        assert_eq!(
            (policy.ingress.is_some(), policy.egress.is_some()),
            (ingress, egress),
            "{rest}"
        );
        let types = world.api_policies[0]
            .spec
            .as_ref()
            .unwrap()
            .policy_types
            .clone()
            .unwrap();
        assert_eq!(
            (
                types.contains(&"Ingress".to_owned()),
                types.contains(&"Egress".to_owned())
            ),
            (ingress, egress),
            "{rest}"
        );
    }
}

#[test]
fn worlds_are_told_apart_by_events() {
    let policy = |spec: &str| {
        format!(
            "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p, namespace: x}}, spec: {{{spec}}}}}\n"
        )
    };
    let earlier = world(&(pod("a") + &pod("b") + &policy("podSelector: {}")));
    assert_eq!(earlier.events_since(&earlier).len(), 0);
    assert_eq!(
        earlier.events().count(),
        5,
        "a namespace, a node, two pods, a policy"
    );
    let later = world(
        &(pod("a") + &policy("podSelector: {}, egress: [{}]") + &pod("c").replace("x}", "y}")),
    );
    let mut kinds: Vec<_> = later
        .events_since(&earlier)
        .iter()
        .map(|event| match event {
            Event::Pod(pod) => format!("pod {}", pod.name),
            Event::PodGone(name) => format!("no pod {name}"),
            Event::Namespace(namespace) => format!("namespace {}", namespace.name),
            Event::NetworkPolicy(policy) => format!("policy {}", policy.name),
            other => format!("{other:?}"),
        })
        .collect();
    kinds.sort();
    assert_eq!(kinds, ["namespace y", "no pod x/b", "pod y/c", "policy p"]);
}

#[test]
fn a_slip_in_replicas_does_not_eat_the_machine() {
    let text = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 2147483647, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}}}}";
    let loaded = load_text("f.yaml", text);
    assert_eq!(loaded.world.pods.len(), 200_000);
    let problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "f.yaml:1: Deployment default/a: more than 200000 pods",
            "f.yaml:1: Deployment default/a: no addresses are left from pod default/a-65534 on",
        ]
    );
}
