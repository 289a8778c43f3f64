//! The parts of a control plane: what they are called, and the command line that each is started with.

use std::fmt;

use anyhow::Result;

use super::{ControlPlane, PORT};
use crate::programs;

/// A part of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// Where objects are kept.
    Etcd,
    /// Who serves them.
    ApiServer,
    /// Who makes pods of workloads, and takes away what belongs to namespaces that go.
    Controllers,
    /// Who gives pods to nodes.
    Scheduler,
}

impl ControlPlane {
    pub(super) fn etcd(&self) -> Result<Vec<String>> {
        let data = self.sandbox.directory().join("etcd");
        let data = data.display();
        let mut line = vec![programs::built("etcd")?.display().to_string()];
        line.extend(words(&format!(
            "--data-dir={data} --unsafe-no-fsync --logger=zap --log-level=warn \
             --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
             --listen-peer-urls=http://127.0.0.1:2380"
        )));
        Ok(line)
    }

    pub(super) fn api_server(&self) -> Result<Vec<String>> {
        let file = |name| self.authority.file(name).display().to_string();
        let any = if self.family.has_v6() {
            "::"
        } else {
            "0.0.0.0"
        };
        let admission = if self.options.controllers {
            ""
        } else {
            // Nobody makes the accounts that it would insist on.
            "--disable-admission-plugins=ServiceAccount"
        };
        let mut line = vec![programs::built("kube-apiserver")?.display().to_string()];
        line.extend(words(&format!(
            "--etcd-servers=http://127.0.0.1:2379 --bind-address={any} --secure-port={PORT} \
             --advertise-address={} --tls-cert-file={} --tls-private-key-file={} --client-ca-file={} \
             --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction {admission} \
             --allow-privileged=true --kubelet-client-certificate={} --kubelet-client-key={} \
             --kubelet-preferred-address-types=InternalIP --profiling=false \
             --service-account-issuer=https://kubernetes.default.svc \
             --service-account-key-file={} --service-account-signing-key-file={} \
             --service-cluster-ip-range={}",
            self.family.control()[0],
            file("api.crt"),
            file("api.key"),
            file("ca.crt"),
            file("kubelet-client.crt"),
            file("kubelet-client.key"),
            file("tokens.pub"),
            file("tokens.key"),
            self.family.services().join(","),
        )));
        line.extend(self.options.api_server.iter().map(|it| (*it).to_owned()));
        Ok(line)
    }

    pub(super) fn controllers(&self) -> Result<Vec<String>> {
        let file = |name| self.authority.file(name).display().to_string();
        let mut line = vec![
            programs::built("kube-controller-manager")?
                .display()
                .to_string(),
        ];
        line.extend(words(&format!(
            "--kubeconfig={} --leader-elect=false --bind-address=127.0.0.1 --use-service-account-credentials \
             --root-ca-file={} --service-account-private-key-file={} --cluster-cidr={} \
             --service-cluster-ip-range={}",
            file("controllers.kubeconfig"),
            file("ca.crt"),
            file("tokens.key"),
            self.family.all_pods().join(","),
            self.family.services().join(","),
        )));
        Ok(line)
    }

    pub(super) fn scheduler(&self) -> Result<Vec<String>> {
        let config = self.authority.file("scheduler.kubeconfig");
        Ok(vec![
            programs::built("kube-scheduler")?.display().to_string(),
            format!("--kubeconfig={}", config.display()),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
        ])
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::Controllers => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        })
    }
}

/// A command line without blanks in its words.
fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}
