//! The control plane: etcd, the API server, and the two that act on what it holds. With or without nodes.
//!
//! It listens in a network namespace of its own and nowhere else, so clients enter that: [`ControlPlane::inside`] for
//! code of this process, [`ControlPlane::enter`] for programs.

mod components;

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::json;

pub use self::components::Component;
use crate::home::Home;
use crate::network::{self, Family};
use crate::node::Node;
use crate::pki::{self, Authority};
use crate::sandbox::{self, Role, Sandbox};
use crate::{kubectl, programs};

/// The name of the control plane's sandbox.
pub(crate) const SANDBOX: &str = "control";
/// The port of the API server.
const PORT: u16 = 6443;
/// How long the API server may take, on a machine that does other things besides.
const LIMIT: Duration = Duration::from_mins(2);
/// Who acts in the name of the cluster's owner.
const ADMIN: &str = "admin";

/// What a control plane is made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlOptions {
    /// The addresses that it listens on.
    pub family: Family,
    /// Whether there are controllers and a scheduler, and with them service accounts for pods. Without, pods are
    /// accepted with no service account, a namespace that is deleted stays in `Terminating`, and nothing but what
    /// was asked for happens.
    pub controllers: bool,
    /// More arguments for the API server.
    pub api_server: &'static [&'static str],
}

/// A control plane in a network namespace of its own. On drop it ends, and nothing is left of it.
#[derive(Debug)]
pub struct ControlPlane {
    family: Family,
    options: ControlOptions,
    authority: Authority,
    sandbox: Sandbox,
    // Last, since dropping it ends the rest.
    home: Home,
}

impl ControlPlane {
    /// Starts etcd and an API server, and waits until it is ready: about 4 s.
    ///
    /// ```no_run
    /// # fn main() -> anyhow::Result<()> {
    /// use sluice_cluster::{ControlOptions, ControlPlane};
    ///
    /// let control = ControlPlane::start(ControlOptions::default())?;
    /// control.kubectl(&["create", "namespace", "x"])?;
    /// let names = control.kubectl(&["get", "namespaces", "-o", "name"])?;
    /// assert!(names.contains("namespace/x"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Names the component that did not start, its log, and the end of that.
    pub fn start(options: ControlOptions) -> Result<Self> {
        let home = Home::create(&crate::root()?, &crate::new_name())?;
        let control = Self::create(home, options)?;
        control.start_all()?;
        control.wait_ready()?;
        Ok(control)
    }

    /// Makes what the components need, and starts none.
    pub(crate) fn create(home: Home, options: ControlOptions) -> Result<Self> {
        let sandbox = Sandbox::create(&home, SANDBOX, Role::Control)?;
        let authority = certify(&home, options.family)?;
        let links = network::control_links(options.family);
        ip(&sandbox, &links)?;
        Ok(Self {
            family: options.family,
            options,
            authority,
            sandbox,
            home,
        })
    }

    /// The control plane of a kept cluster.
    pub(crate) fn open(home: Home, options: ControlOptions) -> Result<Self> {
        Ok(Self {
            family: options.family,
            options,
            authority: Authority::open(&home.path().join("pki"))?,
            sandbox: Sandbox::open(&home, SANDBOX)?,
            home,
        })
    }

    /// Starts every component, and waits for the API server. That asks for etcd until it is there; the others do not
    /// ask for long, and would end on a busy machine.
    pub(crate) fn start_all(&self) -> Result<()> {
        self.start_component(Component::Etcd)?;
        self.start_component(Component::ApiServer)?;
        self.wait_api()?;
        if self.options.controllers {
            self.start_component(Component::Controllers)?;
            self.start_component(Component::Scheduler)?;
        }
        Ok(())
    }

    /// Waits until the API server says that it is ready, and pods can be created.
    ///
    /// # Errors
    /// Where it ends instead, or takes more than two minutes; with the end of its log.
    pub fn wait_ready(&self) -> Result<()> {
        self.wait_api()?;
        if self.options.controllers {
            self.kubectl(&[
                "wait",
                "--for=create",
                "serviceaccount/default",
                "--namespace=default",
                "--timeout=120s",
            ])
            .with_context(|| self.sandbox.last_words(&Component::Controllers.to_string()))?;
        }
        Ok(())
    }

    /// Waits until the API server says that it is ready.
    pub(crate) fn wait_api(&self) -> Result<()> {
        let component = Component::ApiServer.to_string();
        let ready = || Ok(self.kubectl(&["get", "--raw=/readyz"]).ok());
        self.sandbox
            .wait(&component, "readiness of the API server", LIMIT, ready)
            .map(drop)
    }

    /// Waits until nodes are ready to take pods.
    pub(crate) fn wait_nodes(&self, nodes: &[Node]) -> Result<()> {
        let names = nodes.iter().map(|node| format!("node/{}", node.name()));
        let names: Vec<_> = names.collect();
        let mut line = vec!["wait", "--for=condition=Ready", "--timeout=120s"];
        line.extend(names.iter().map(String::as_str));
        self.kubectl(&line).map(drop)
    }

    /// The address families.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Stops a component, as a machine that shuts down does. What it holds stays, etcd's objects too.
    pub fn stop(&self, component: Component) -> Result<()> {
        self.sandbox.stop(&component.to_string())
    }

    /// Ends a component at once, as a power failure does.
    pub fn kill(&self, component: Component) -> Result<()> {
        self.sandbox.kill(&component.to_string())
    }

    /// Starts a component that was stopped. It is not waited for: [`ControlPlane::wait_ready`] does that.
    pub fn start_component(&self, component: Component) -> Result<()> {
        let line = match component {
            Component::Etcd => self.etcd()?,
            Component::ApiServer => self.api_server()?,
            Component::Controllers => self.controllers()?,
            Component::Scheduler => self.scheduler()?,
        };
        self.sandbox.start(&component.to_string(), &line)
    }

    /// Whether a component runs.
    pub fn runs(&self, component: Component) -> bool {
        self.sandbox.runs(&component.to_string())
    }

    /// The log of a component.
    pub fn log(&self, component: Component) -> PathBuf {
        self.sandbox.log(&component.to_string())
    }

    /// Where the API server is, for whoever is in its network namespace or on a node.
    pub fn url(&self) -> String {
        format!(
            "https://{}:{PORT}",
            network::in_url(self.family.control()[0])
        )
    }

    /// A kubeconfig of somebody who may do everything; whole in itself.
    pub fn kubeconfig(&self) -> PathBuf {
        self.authority.file(&format!("{ADMIN}.kubeconfig"))
    }

    /// The process id of process 1 of its namespaces, as this machine counts.
    pub fn pid(&self) -> i32 {
        self.sandbox.pid()
    }

    /// The network namespace that the API server listens in, as a file.
    pub fn netns(&self) -> PathBuf {
        self.sandbox.netns()
    }

    /// A directory that lasts as long as the cluster, for whatever a test writes.
    pub fn directory(&self) -> PathBuf {
        self.home.path()
    }

    /// Runs `code` in a thread of its own in the API server's network namespace. Threads that it starts, a runtime's
    /// for instance, are there as well.
    ///
    /// # Panics
    /// Where `code` does.
    pub fn inside<T: Send>(&self, code: impl FnOnce() -> T + Send) -> Result<T> {
        in_netns(&self.netns(), code)
    }

    /// `program` in the API server's network namespace, and otherwise as if it were started here.
    pub fn enter(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.sandbox.enter_network(program)
    }

    /// What `kubectl ARGUMENTS` prints, as the administrator.
    ///
    /// # Errors
    /// What it says where it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        kubectl::text(self.kubectl_command()?.args(arguments), None)
    }

    /// The same, for whoever wants to see it fail.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<Output> {
        kubectl::run(self.kubectl_command()?.args(arguments), None)
    }

    /// A script that is `kubectl` as the administrator, for people and for scripts of theirs.
    pub fn kubectl_script(&self) -> Result<PathBuf> {
        let path = self.home.path().join("kubectl");
        let command = self.kubectl_command()?;
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        let text = format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "));
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// `kubectl` as the administrator, its arguments still to come.
    pub fn kubectl_command(&self) -> Result<Command> {
        let mut command = self.tool(programs::built("kubectl")?);
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .arg("--cache-dir")
            .arg(self.home.path().join("kubectl-cache"));
        Ok(command)
    }

    /// Applies manifests, given as YAML or JSON.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        let mut command = self.kubectl_command()?;
        kubectl::text(command.args(["apply", "-f", "-"]), Some(manifests))
    }

    /// What `helm ARGUMENTS` prints, as the administrator.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        kubectl::text(self.helm_command()?.args(arguments), None)
    }

    /// `helm` as the administrator, its arguments still to come.
    pub fn helm_command(&self) -> Result<Command> {
        let mut command = self.tool("env");
        for (name, place) in [
            ("HELM_CACHE_HOME", "helm/cache"),
            ("HELM_CONFIG_HOME", "helm/config"),
            ("HELM_DATA_HOME", "helm/data"),
        ] {
            let path = self.home.path().join(place);
            command.arg(format!("{name}={}", path.display()));
        }
        command
            .arg(format!("KUBECONFIG={}", self.kubeconfig().display()))
            .arg(programs::built("helm")?);
        Ok(command)
    }

    /// A kubeconfig of the user `user`, who is in `groups` and has no rights but what is granted to these.
    pub fn user(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        ensure!(groups.len() <= 1, "a certificate here names one group");
        self.authority.client(user, user, groups)?;
        self.authority.kubeconfig(user, &self.url())
    }

    /// A token of a service account that exists, good for an hour.
    pub fn token(&self, namespace: &str, account: &str) -> Result<String> {
        let token = self.kubectl(&["create", "token", account, "--namespace", namespace])?;
        Ok(token.trim().to_owned())
    }

    /// A kubeconfig `NAME.kubeconfig` with that token, or any other text in its place.
    pub fn kubeconfig_with_token(&self, name: &str, token: &str) -> Result<PathBuf> {
        let user = json!({ "token": token });
        self.authority.kubeconfig_of(name, &self.url(), &user)
    }

    /// What was started, and whether it runs.
    pub fn components(&self) -> Vec<(String, bool)> {
        self.sandbox.components()
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Lets it outlive us.
    pub(crate) fn keep(&mut self) -> Result<()> {
        self.sandbox.keep()?;
        self.home.keep()
    }

    /// A tool of the administrator's: it sees the files that we see, the API server, and nothing of our environment.
    fn tool(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.sandbox.enter_network("env");
        command.args(sandbox::ENVIRONMENT).arg(program);
        command
    }
}

/// Everybody's certificates and kubeconfigs, nodes aside.
fn certify(home: &Home, family: Family) -> Result<Authority> {
    let authority = Authority::create(&home.path().join("pki"))?;
    let url = format!("https://{}:{PORT}", network::in_url(family.control()[0]));
    let names = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "localhost",
    ];
    let addresses = [family.control(), family.api_service()].concat();
    authority.server("api", &names, &addresses)?;
    authority.client("kubelet-client", "kube-apiserver", &[pki::MASTERS])?;
    for (name, user, groups) in [
        (ADMIN, "admin", &[pki::MASTERS][..]),
        ("controllers", "system:kube-controller-manager", &[]),
        ("scheduler", "system:kube-scheduler", &[]),
        ("proxy", "system:kube-proxy", &[]),
    ] {
        authority.client(name, user, groups)?;
        authority.kubeconfig(name, &url)?;
    }
    Ok(authority)
}

/// Runs lines of `ip -batch` in a sandbox.
pub(crate) fn ip(sandbox: &Sandbox, lines: &str) -> Result<()> {
    // With the machine's processes in sight: the other end of a cable is named by one of them.
    let mut ip = sandbox.enter_network("ip");
    kubectl::text(ip.args(["-batch", "-"]), Some(lines))
        .map(drop)
        .with_context(|| format!("the network of {}", sandbox.name()))
}

/// Runs `code` in a thread of its own in a network namespace.
pub(crate) fn in_netns<T: Send>(netns: &Path, code: impl FnOnce() -> T + Send) -> Result<T> {
    let file = File::open(netns).with_context(|| netns.display().to_string())?;
    let entered = move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| anyhow!("{}: {error}", netns.display()))?;
        Ok(code())
    };
    thread::scope(|scope| match scope.spawn(entered).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Writes JSON where a component reads YAML, which it is as well.
pub(crate) fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    fs::write(path, format!("{value:#}\n")).with_context(|| path.display().to_string())
}
