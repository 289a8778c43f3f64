//! Fills an API server: objects are put where it keeps them, a hundred at a time, which it takes up as if it had
//! written them itself. By its own door the same takes an hour.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use sluice_cluster::ControlPlane;

/// Objects that are written together; etcd takes 128.
const TOGETHER: usize = 100;
const NAMESPACES: usize = 200;
const PODS_PER_NODE: usize = 100;

/// How large a cluster is.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) pods: usize,
    /// Pods of a workload: one namespace, one set of labels.
    pub(crate) replicas: usize,
    pub(crate) policies: usize,
}

impl Size {
    fn workloads(self) -> usize {
        self.pods.div_ceil(self.replicas)
    }

    fn nodes(self) -> usize {
        self.pods.div_ceil(PODS_PER_NODE)
    }
}

/// Where an object is kept, and what it is.
type Kept = (String, String);

pub(crate) fn fill(control: &ControlPlane, size: Size) {
    let all = (0..NAMESPACES)
        .map(namespace)
        .chain((0..size.nodes()).map(node))
        .chain((0..size.pods).map(move |number| pod(number, size)))
        .chain((0..size.policies).map(move |number| policy(number, size)));
    let mut all = all.peekable();
    let total = NAMESPACES + size.nodes() + size.pods + size.policies;
    control
        .inside(move || {
            let mut written = 0;
            while all.peek().is_some() {
                let some: Vec<Kept> = all.by_ref().take(TOGETHER).collect();
                put(&some);
                written += some.len();
                if written % 10_000 < TOGETHER {
                    eprintln!("{written} of {total} objects");
                }
            }
            // What is written together has one version, which an API server takes for known with the first of it: a list
            // that waits for the last version would lack the others. So that is the version of one object alone.
            put(&[namespace(0)]);
        })
        .unwrap();
}

fn metadata(name: &str, namespace: &str, number: usize, more: &str) -> String {
    // What a server keeps of who set which field is half of an object.
    let fields: String = (0..12).fold(String::new(), |mut all, field| {
        let _infallible = write!(
            all,
            r#""f:field-{field}":{{".":{{}},"f:name":{{}},"f:value":{{}}}},"#
        );
        all
    });
    format!(
        r#"{{"name":"{name}"{namespace},"uid":"{number:08x}-0000-4000-8000-000000000000","creationTimestamp":"2026-01-01T00:00:00Z",
            "managedFields":[{{"manager":"controller","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:00Z",
            "fieldsType":"FieldsV1","fieldsV1":{{{fields}"f:last":{{}}}}}}]{more}}}"#
    )
}

fn namespace(number: usize) -> Kept {
    let name = format!("team-{number:03}");
    let labels = format!(
        r#","labels":{{"kubernetes.io/metadata.name":"{name}","team":"{}"}}"#,
        number % 20
    );
    let metadata = metadata(&name, "", number, &labels);
    let object = format!(
        r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{metadata},"spec":{{"finalizers":["kubernetes"]}},"status":{{"phase":"Active"}}}}"#
    );
    (format!("/registry/namespaces/{name}"), object)
}

fn node(number: usize) -> Kept {
    let name = format!("node-{number}");
    let metadata = metadata(&name, "", number, "");
    let [a, b] = u16::try_from(number + 1).unwrap().to_be_bytes();
    let object = format!(
        r#"{{"apiVersion":"v1","kind":"Node","metadata":{metadata},"spec":{{}},"status":{{"addresses":[
            {{"type":"InternalIP","address":"172.16.{a}.{b}"}},{{"type":"Hostname","address":"{name}"}}]}}}}"#
    );
    (format!("/registry/minions/{name}"), object)
}

fn pod(number: usize, size: Size) -> Kept {
    let app = number / size.replicas;
    let hash = app * 31;
    let (name, namespace) = (
        format!("service-{app:05}-{hash:010x}-{number:05x}"),
        format!("team-{:03}", app % NAMESPACES),
    );
    let more = format!(
        r#","labels":{{"app":"service-{app:05}","tier":"{}","pod-template-hash":"{hash:010x}"}},"ownerReferences":[{{
            "apiVersion":"apps/v1","kind":"ReplicaSet","name":"service-{app:05}-{hash:010x}","uid":"{app:08x}-1111-4000-8000-000000000000",
            "controller":true,"blockOwnerDeletion":true}}]"#,
        ["front", "middle", "back"][app % 3],
    );
    let metadata = metadata(
        &name,
        &format!(r#","namespace":"{namespace}""#),
        number,
        &more,
    );
    let variables: String = (0..6).fold(String::new(), |mut all, variable| {
        let _infallible = write!(
            all,
            r#"{{"name":"VARIABLE_{variable}","value":"some value of no interest"}},"#
        );
        all
    });
    let [_, a, b, c] = u32::try_from(number + 1).unwrap().to_be_bytes();
    let node = number % size.nodes();
    let object = format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{metadata},"spec":{{"nodeName":"node-{node}","restartPolicy":"Always",
            "serviceAccountName":"default","dnsPolicy":"ClusterFirst","schedulerName":"default-scheduler","volumes":[{{"name":"token",
            "emptyDir":{{}}}}],"containers":[{{"name":"main","image":"registry.example/service:1.0","imagePullPolicy":"IfNotPresent",
            "env":[{variables}{{"name":"LAST","value":"x"}}],"ports":[{{"name":"http","containerPort":8080,"protocol":"TCP"}}],
            "resources":{{"requests":{{"cpu":"100m","memory":"64Mi"}}}},"volumeMounts":[{{"name":"token","mountPath":"/var/run"}}],
            "terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}}]}},"status":{{"phase":"Running",
            "conditions":[{{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}},{{"type":"ContainersReady",
            "status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}},{{"type":"PodScheduled","status":"True",
            "lastTransitionTime":"2026-01-01T00:00:00Z"}}],"hostIP":"172.16.0.1","podIP":"10.{a}.{b}.{c}","podIPs":[{{"ip":"10.{a}.{b}.{c}"}},
            {{"ip":"fd00::{a:x}:{b:x}:{c:x}"}}],"startTime":"2026-01-01T00:00:00Z","qosClass":"Burstable"}}}}"#
    );
    (format!("/registry/pods/{namespace}/{name}"), object)
}

fn policy(number: usize, size: Size) -> Kept {
    let app = number % size.workloads();
    let (name, namespace) = (
        format!("policy-{number:05}"),
        format!("team-{:03}", app % NAMESPACES),
    );
    let metadata = metadata(&name, &format!(r#","namespace":"{namespace}""#), number, "");
    let object = format!(
        r#"{{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{metadata},"spec":{{"podSelector":{{"matchLabels":
            {{"app":"service-{app:05}"}}}},"policyTypes":["Ingress"],"ingress":[{{"from":[{{"podSelector":{{"matchLabels":{{"tier":"front"}}}},
            "namespaceSelector":{{"matchLabels":{{"team":"{}"}}}}}}],"ports":[{{"protocol":"TCP","port":8080}}]}}]}}}}"#,
        number % 20
    );
    (
        format!("/registry/networkpolicies/{namespace}/{name}"),
        object,
    )
}

/// Writes objects together, by the JSON gateway of the etcd on the control plane's loopback.
fn put(objects: &[Kept]) {
    let put = |(key, value): &Kept| {
        let (key, value) = (base64(key.as_bytes()), base64(value.as_bytes()));
        format!(r#"{{"requestPut":{{"key":"{key}","value":"{value}"}}}}"#)
    };
    let puts: Vec<String> = objects.iter().map(put).collect();
    let body = format!(r#"{{"success":[{}]}}"#, puts.join(","));
    // Of this version, an answer ends with its connection.
    let head = format!(
        "POST /v3/kv/txn HTTP/1.0\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect("127.0.0.1:2379").unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.contains(" 200 OK") && answer.contains(r#""succeeded":true"#),
        "{answer}"
    );
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let number = (0..3).fold(0, |number, place| {
            number << 8 | u32::from(group.get(place).copied().unwrap_or_default())
        });
        for place in 0..4 {
            let letter = (number >> (18 - 6 * place)) & 63;
            text.push(if place > group.len() {
                '='
            } else {
                char::from(LETTERS[letter as usize])
            });
        }
    }
    text
}
