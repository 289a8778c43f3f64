//! Pods and Services of a case as a cluster gets them: the prober in place of whatever pods run, and otherwise what they
//! declare. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice_prober::protocol::{ADDRESSES, HOST_NETWORK, NAME, PROGRAM, Transport};

use super::names::Names;
use crate::case::Object;

/// Reasons for which a container waits that waiting does not mend.
const HOPELESS: &[&str] = &[
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "CreateContainerConfigError",
    "CrashLoopBackOff",
];

/// Reasons that a registry may give that is busy: they say nothing before some time has passed.
const PASSING: &[&str] = &["ErrImagePull", "ImagePullBackOff"];

/// What a pod is made of.
pub(super) fn manifest(pod: &Object, names: &Names, image: &str, node: Option<&str>) -> Value {
    let value = pod.value();
    let host_network = value["spec"]["hostNetwork"] == true;
    let declared = |field: &str| value["spec"][field].as_array().cloned().unwrap_or_default();
    let containers = declared("containers").into_iter().enumerate();
    let containers: Vec<Value> = containers
        .map(|(number, it)| {
            container(
                &it,
                image,
                number,
                if number == 0 { "serve" } else { "wait" },
                host_network,
            )
        })
        .collect();
    let init = declared("initContainers").into_iter().enumerate();
    let init: Vec<Value> = init
        .map(|(number, it)| {
            let goes_on = it["restartPolicy"] == "Always";
            let verb = if goes_on { "wait" } else { "nothing" };
            container(&it, image, number, verb, host_network)
        })
        .collect();
    let spec = json!({
        "nodeName": node, "hostNetwork": host_network,
        "restartPolicy": "Always", "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": false, "enableServiceLinks": false,
        "tolerations": [{"operator": "Exists"}],
        "containers": containers, "initContainers": init,
    });
    let mut whole = value.clone();
    whole["spec"] = spec;
    names.with_metadata(whole, pod.name())
}

fn container(
    declared: &Value,
    image: &str,
    number: usize,
    verb: &str,
    host_network: bool,
) -> Value {
    let name = declared["name"].as_str();
    let own = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let mut container = json!({
        "name": name.map_or_else(|| format!("container-{number}"), str::to_owned),
        "image": image, "imagePullPolicy": "IfNotPresent", "command": [PROGRAM, verb],
        "env": [
            {"name": "POD_NAMESPACE", "valueFrom": own("metadata.namespace")},
            {"name": "POD_NAME", "valueFrom": own("metadata.name")},
            {"name": NAME, "value": "$(POD_NAMESPACE)/$(POD_NAME)"},
            {"name": ADDRESSES, "valueFrom": own("status.podIPs")},
            {"name": HOST_NETWORK, "value": host_network.to_string()},
        ],
        // Where the kernel has no SCTP, its handshake goes over raw sockets.
        "securityContext": {"capabilities": {"add": ["NET_RAW"]}, "runAsUser": 0},
    });
    for field in ["ports", "restartPolicy"] {
        if !declared[field].is_null() {
            container[field] = declared[field].clone();
        }
    }
    container
}

/// The ports that a pod declares itself.
pub(super) fn declared(pod: &Object) -> BTreeSet<(Transport, u16)> {
    let containers = pod.value()["spec"]["containers"].as_array();
    let ports = containers
        .into_iter()
        .flatten()
        .filter_map(|it| it["ports"].as_array());
    ports
        .flatten()
        .filter_map(|port| {
            let transport = match port["protocol"].as_str().unwrap_or("TCP") {
                "TCP" => Transport::Tcp,
                "UDP" => Transport::Udp,
                "SCTP" => Transport::Sctp,
                _ => return None,
            };
            let number = u16::try_from(port["containerPort"].as_u64()?).ok()?;
            Some((transport, number))
        })
        .collect()
}

/// A Service as the cluster gets it, which chooses its addresses: of both families where it has them.
pub(super) fn service(object: &Object, names: &Names) -> Option<Value> {
    (object.name().kind == "Service").then(|| {
        let mut value = object.value().clone();
        let spec = value["spec"].as_object_mut();
        if let Some(spec) = spec.filter(|it| it.get("clusterIP").is_none_or(|it| it != "None")) {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
            let policy = spec.entry("ipFamilyPolicy");
            policy.or_insert(json!("PreferDualStack"));
        }
        names.with_metadata(value, object.name())
    })
}

/// Whether a pod is ready.
pub(super) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|it| it["type"] == "Ready" && it["status"] == "True")
}

/// Why a pod will not become ready, as its node has no place for it, or it has ended: another one may.
pub(super) fn ended(pod: &Value) -> Option<String> {
    let status = &pod["status"];
    let said = |field: &str| status[field].as_str().unwrap_or_default();
    (said("phase") == "Failed").then(|| format!("{}: {}", said("reason"), said("message")))
}

/// Why no pod will become ready, in the words of its kubelet. Whether it has been waited for long decides about what
/// may pass.
pub(super) fn hopeless(pod: &Value, has_waited: bool) -> Option<String> {
    let status = &pod["status"];
    let all = ["containerStatuses", "initContainerStatuses"];
    let mut statuses = all.iter().filter_map(|it| status[it].as_array()).flatten();
    statuses.find_map(|container| {
        let waiting = &container["state"]["waiting"];
        let reason = waiting["reason"].as_str()?;
        let message = waiting["message"].as_str().unwrap_or_default();
        let is_hopeless = HOPELESS.contains(&reason) || has_waited && PASSING.contains(&reason);
        is_hopeless.then(|| format!("image {}: {reason}: {message}", container["image"]))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_pod_declares_what_the_case_declares_and_runs_the_prober() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "namespace": "x", "labels": {"pod": "a"}},
            "spec": {"nodeName": "node-1", "initContainers": [{"name": "side", "restartPolicy": "Always"}],
                "containers": [
                    {"name": "c", "image": "other", "ports": [{"name": "web", "containerPort": 80}]},
                    {"name": "d", "image": "other"},
                ]},
            "status": {"podIPs": [{"ip": "10.244.0.9"}]}});
        let names = Names::new("c", "0", "grid", BTreeMap::new());
        let made = manifest(
            &Object::new(pod).unwrap(),
            &names,
            "sluice-prober:1",
            Some("worker"),
        );
        assert_eq!(made["status"], Value::Null);
        assert_eq!(made["metadata"]["labels"]["pod"], "a");
        let spec = &made["spec"];
        assert_eq!(spec["nodeName"], "worker");
        let first = &spec["containers"][0];
        assert_eq!(first["command"], json!(["/sluice-prober", "serve"]));
        let is_host = json!({"name": "PROBER_HOST_NETWORK", "value": "false"});
        assert!(first["env"].as_array().unwrap().contains(&is_host));
        assert_eq!(
            first["ports"],
            json!([{"name": "web", "containerPort": 80}])
        );
        assert_eq!(spec["containers"][1]["command"][1], "wait");
        assert_eq!(spec["initContainers"][0]["command"][1], "wait");
        assert_eq!(spec["initContainers"][0]["restartPolicy"], "Always");
    }

    #[test]
    fn an_image_that_cannot_be_had_is_said() {
        let pod = json!({"status": {"containerStatuses": [{"image": "x:1",
            "state": {"waiting": {"reason": "ErrImagePull", "message": "no such host"}}}]}});
        assert_eq!(
            hopeless(&pod, true).unwrap(),
            "image \"x:1\": ErrImagePull: no such host"
        );
        assert_eq!(hopeless(&pod, false), None);
        let waits = json!({"status": {"containerStatuses": [{
            "state": {"waiting": {"reason": "ContainerCreating"}}}]}});
        assert_eq!(hopeless(&waits, true), None);
        assert_eq!(ended(&waits), None);
        let rejected =
            json!({"status": {"phase": "Failed", "reason": "NodePorts", "message": "taken"}});
        assert_eq!(ended(&rejected).unwrap(), "NodePorts: taken");
        assert_eq!(hopeless(&rejected, true), None, "another may start");
    }
}
