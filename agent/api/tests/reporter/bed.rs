//! What every scene needs: kinds, rights, agents' reporters, and looking at what they wrote.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value as Json, json};
use sluice_api::{
    Finding, Findings, Known, Options, Reason, Reporter, ReporterOptions, Source, Subject, Terms,
};
use sluice_cluster::{Channel, ControlPlane, conditions, until};
use sluice_kubernetes::live::{Kind, ObjectName};
use sluice_policy::AdminKind;

/// How long anything may take on a machine that does other things besides.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);
/// A machine that stands still for some seconds costs nobody the election, and with it what it was told.
pub(crate) const TERMS: Terms = Terms {
    lasts: Duration::from_mins(1),
    renewed_by: Duration::from_secs(40),
    retry: Duration::from_millis(500),
    look: Duration::from_secs(1),
};
/// Where the end of a term is waited for.
pub(crate) const BRIEF: Terms = Terms {
    lasts: Duration::from_secs(6),
    renewed_by: Duration::from_secs(4),
    ..TERMS
};
/// Shorter than in a cluster, so that nobody waits for long.
pub(crate) const SETTLES: Duration = Duration::from_secs(5);

pub(crate) const ANP: Kind = Kind::Admin(AdminKind::AdminNetworkPolicy);
pub(crate) const CNP: Kind = Kind::Admin(AdminKind::ClusterNetworkPolicy);

/// A namespace, and a service account in it with what the chart grants.
pub(crate) struct Bed<'c> {
    pub(crate) control: &'c ControlPlane,
    pub(crate) namespace: String,
    kubeconfig: PathBuf,
}

/// What is known of a policy: its generation, and what there is to say.
pub(crate) type Said<'s> = (&'s Subject, i64, &'s [(Reason, &'s str)]);

/// A reporter, and the source that carries it.
pub(crate) struct Agent {
    pub(crate) reporter: Reporter,
    _source: Source,
}

/// One kind as it is published, and one without a status, as no release has it.
pub(crate) fn define_kinds(control: &ControlPlane) -> Result<()> {
    control.define(ANP.resource(), Channel::Standard)?;
    control.define(CNP.resource(), Channel::Standard)?;
    let definition = format!("crd/{}", CNP.resource());
    let read = control.kubectl(&["get", &definition, "-o", "json"])?;
    let mut read: Json = serde_json::from_str(&read)?;
    for version in read["spec"]["versions"]
        .as_array_mut()
        .context("versions")?
    {
        version["subresources"] = json!({});
    }
    let patch = json!({"spec": {"versions": read["spec"]["versions"]}}).to_string();
    control
        .kubectl(&["patch", &definition, "--type=merge", "-p", &patch])
        .map(drop)
}

impl<'c> Bed<'c> {
    /// The chart's own rights, as it renders them.
    pub(crate) fn make(control: &'c ControlPlane, scene: &str) -> Result<Self> {
        let namespace = format!("of-{scene}");
        control.kubectl(&["create", "namespace", &namespace])?;
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../helm/sluice");
        let chart = chart.to_str().context("the path of the chart")?;
        let release = format!("sluice-{scene}");
        let rights = control.helm(&[
            "template",
            "--kube-version=1.35.4",
            &release,
            chart,
            "--namespace",
            &namespace,
            "--show-only=templates/rbac.yaml",
            "--show-only=templates/serviceaccount.yaml",
        ])?;
        control.apply(&rights)?;
        let account = control.kubectl(&[
            "get",
            "serviceaccounts",
            "-n",
            &namespace,
            "-l",
            "app.kubernetes.io/name=sluice",
            "-o",
            "jsonpath={.items[0].metadata.name}",
        ])?;
        let token = control.token(&namespace, &account)?;
        let kubeconfig = control.kubeconfig_with_token(&release, &token)?;
        Ok(Self {
            control,
            namespace,
            kubeconfig,
        })
    }

    /// An agent on a node of that name.
    pub(crate) fn agent(&self, node: &str) -> Result<Agent> {
        self.agent_with(node, |_| {})
    }

    pub(crate) fn agent_with(
        &self,
        node: &str,
        change: impl FnOnce(&mut ReporterOptions),
    ) -> Result<Agent> {
        let mut options = ReporterOptions::new(node.into());
        options.namespace = Some(self.namespace.clone());
        (options.terms, options.settles) = (TERMS, SETTLES);
        change(&mut options);
        let kubeconfig = Some(self.kubeconfig.clone());
        let source = Options {
            kubeconfig,
            kinds: Vec::new(),
        };
        let source = self.control.inside(|| Source::start(source, drop))??;
        let reporter = source.start_reporter(options);
        Ok(Agent {
            reporter,
            _source: source,
        })
    }

    /// Makes or changes an object.
    pub(crate) fn apply(&self, object: &Json) -> Result<()> {
        self.control.apply(&object.to_string()).map(drop)
    }

    pub(crate) fn get(&self, arguments: &[&str]) -> Result<Json> {
        let arguments = [&["get", "-o", "json"], arguments].concat();
        Ok(serde_json::from_str(&self.control.kubectl(&arguments)?)?)
    }

    /// What is elected by.
    pub(crate) fn lease(&self) -> Result<Json> {
        self.get(&[
            "leases.coordination.k8s.io",
            "sluice",
            "-n",
            &self.namespace,
        ])
    }

    /// The Events about a policy, as `REASON: NOTE`, sorted.
    pub(crate) fn events(&self, subject: &Subject) -> Result<Vec<String>> {
        let namespace = match &*subject.name.namespace {
            "" => "default",
            namespace => namespace,
        };
        let events = self.get(&["events.events.k8s.io", "-n", namespace])?;
        let all = events["items"].as_array().into_iter().flatten();
        let about = all.filter(|it| {
            let regarding = &it["regarding"];
            regarding["name"] == *subject.name.name && regarding["kind"] == subject.kind.name()
        });
        let said = |it: &Json| {
            let text = |field: &str| it[field].as_str().unwrap_or_default().to_owned();
            format!("{} {}: {}", text("type"), text("reason"), text("note"))
        };
        let mut said: Vec<_> = about.map(said).collect();
        said.sort();
        Ok(said)
    }

    pub(crate) fn await_events(&self, subject: &Subject, wanted: &[&str]) -> Result<()> {
        let what = format!("events {wanted:?}");
        until(&what, LIMIT, || {
            Ok((self.events(subject)? == wanted).then_some(()))
        })
        .with_context(|| format!("{:?}", self.events(subject)))
    }

    /// The conditions of a policy, as `TYPE STATUS REASON GENERATION`.
    pub(crate) fn conditions(&self, subject: &Subject) -> Result<Vec<String>> {
        let object = self.get(&[subject.kind.resource(), &subject.name.name])?;
        Ok(conditions(&object))
    }

    pub(crate) fn await_conditions(&self, subject: &Subject, wanted: &[&str]) -> Result<()> {
        let what = format!("conditions {wanted:?}");
        until(&what, LIMIT, || {
            Ok((self.conditions(subject)? == wanted).then_some(()))
        })
        .with_context(|| format!("{:?}", self.conditions(subject)))
    }

    /// A NetworkPolicy in the scene's namespace.
    pub(crate) fn network_policy(&self, name: &str) -> Result<Subject> {
        self.network_policy_in(&self.namespace, name)
    }

    pub(crate) fn network_policy_in(&self, namespace: &str, name: &str) -> Result<Subject> {
        self.apply(
            &json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace}, "spec": {"podSelector": {}}}),
        )?;
        Ok(subject(Kind::NetworkPolicy, namespace, name))
    }

    /// An admin policy; another priority is another generation.
    pub(crate) fn admin_policy(&self, kind: Kind, name: &str, priority: u16) -> Result<Subject> {
        let version = if kind == ANP { "v1alpha1" } else { "v1alpha2" };
        let mut spec = json!({"priority": priority, "subject": {"namespaces": {}}});
        if kind == CNP {
            spec["tier"] = json!("Admin");
        }
        self.apply(&json!({"apiVersion": format!("policy.networking.k8s.io/{version}"), "kind": kind.name(),
            "metadata": {"name": name}, "spec": spec}))?;
        Ok(subject(kind, "", name))
    }
}

impl Agent {
    pub(crate) fn await_leading(&self) -> Result<()> {
        until("leading", LIMIT, || Ok(self.reporter.leads().map(drop)))
    }

    /// Ends it as an agent ends that was told to.
    pub(crate) fn stop(self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.reporter.stop(LIMIT));
        Ok(())
    }

    /// Lets it tell, once it leads.
    pub(crate) fn tell(&self, findings: &[Said<'_>]) -> Result<()> {
        self.await_leading()?;
        self.reporter.hand_over(known(findings));
        Ok(())
    }
}

pub(crate) fn known(findings: &[Said<'_>]) -> Findings {
    let finding = |(reason, message): &(Reason, &str)| Finding {
        reason: *reason,
        message: (*message).to_owned(),
    };
    let of = |(subject, generation, said): &Said<'_>| {
        let findings = said.iter().map(finding).collect();
        let generation = *generation;
        let known = Known {
            generation,
            findings,
        };
        ((*subject).clone(), known)
    };
    findings.iter().map(of).collect()
}

fn subject(kind: Kind, namespace: &str, name: &str) -> Subject {
    Subject {
        kind,
        name: ObjectName {
            namespace: namespace.into(),
            name: name.into(),
        },
    }
}
