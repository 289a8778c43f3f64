//! Which API, and as whom: `--kubeconfig`, the pod's own service account, or the user's kubeconfig. Reads them; what
//! is done with the connection is not its business.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt as _};
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder};

/// How long it may take until a connection is there.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection whose other end is gone without a word is noticed after so long, tried so often.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(15), Duration::from_secs(5), 3);

/// Where the way to the API is written down.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    origin: Origin,
}

#[derive(Clone, Debug)]
enum Origin {
    /// A kubeconfig that was named.
    Named(PathBuf),
    /// `$KUBECONFIG` or `~/.kube/config`.
    Users,
    /// A service account.
    Cluster,
}

/// The files of a pod's service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Why there is no way to any API. But for [`AccessError::None`] it may be mended while somebody waits.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A kubeconfig that cannot be used.
    #[error("{what}: {message}")]
    Kubeconfig {
        /// `--kubeconfig PATH`, or whose it is.
        what: String,
        /// The file, and what is wrong with it.
        message: String,
    },
    /// A pod without a service account's files.
    #[error("the pod's service account: {0}")]
    Cluster(String),
    /// Nobody named any API.
    #[error(
        "no source of policies: not in a pod, and no ~/.kube/config; give --kubeconfig or --manifests"
    )]
    None,
}

impl Access {
    /// Looks where an API is named.
    pub(crate) fn find(kubeconfig: Option<&Path>) -> Result<Self, AccessError> {
        let origin = match kubeconfig {
            Some(path) => Origin::Named(path.to_owned()),
            None if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => Origin::Cluster,
            None if has_kubeconfig() => Origin::Users,
            None => return Err(AccessError::None),
        };
        Ok(Self { origin })
    }

    /// Reads everything again, as credentials and certificates may be others by now.
    pub(crate) async fn client(&self) -> Result<(String, Client), AccessError> {
        let config = match &self.origin {
            Origin::Named(path) => {
                self.resolve(Kubeconfig::read_from(path).map_err(|error| self.wrong(&error))?)
                    .await?
            }
            Origin::Users => {
                self.resolve(Kubeconfig::read().map_err(|error| self.wrong(&error))?)
                    .await?
            }
            Origin::Cluster => Config::incluster().map_err(|error| self.wrong(&error))?,
        };
        let server = config.cluster_url.to_string();
        let client = connect(config).map_err(|error| self.wrong(&error))?;
        Ok((server.trim_end_matches('/').to_owned(), client))
    }

    async fn resolve(&self, kubeconfig: Kubeconfig) -> Result<Config, AccessError> {
        if let Some(user) = missing_user(&kubeconfig) {
            return Err(self.refused(&format!("users: no {user:?}, which the context names")));
        }
        let config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let config = config.map_err(|error| self.wrong(&error))?;
        let user = &config.auth_info;
        if user.exec.is_some() || user.auth_provider.is_some() {
            return Err(
                self.refused("the user has exec or auth-provider: the agent runs no programs")
            );
        }
        if config.proxy_url.is_some() {
            return Err(self.refused("the cluster has a proxy-url: the agent goes through none"));
        }
        Ok(config)
    }

    fn wrong(&self, error: &(dyn std::error::Error + 'static)) -> AccessError {
        let kubeconfig = error.downcast_ref().and_then(in_kubeconfig);
        let account = error.downcast_ref().and_then(in_account);
        let said = kubeconfig.or(account);
        self.refused(&said.unwrap_or_else(|| chain(error)))
    }

    fn refused(&self, message: &str) -> AccessError {
        let what = match &self.origin {
            Origin::Named(path) => format!("--kubeconfig {}", path.display()),
            Origin::Users => "the user's kubeconfig".to_owned(),
            Origin::Cluster => return AccessError::Cluster(message.to_owned()),
        };
        AccessError::Kubeconfig {
            what,
            message: message.to_owned(),
        }
    }
}

/// A user whom the context names and who is not there; the library takes that for nobody, whom no API lets in.
fn missing_user(kubeconfig: &Kubeconfig) -> Option<&str> {
    let current = kubeconfig.current_context.as_ref()?;
    let context = kubeconfig.contexts.iter().find(|it| it.name == *current)?;
    let user = context.context.as_ref()?.user.as_deref()?;
    let is_there = kubeconfig.auth_infos.iter().any(|it| it.name == user);
    (!user.is_empty() && !is_there).then_some(user)
}

/// What is wrong with a kubeconfig, by its field; none where the error says that itself. Its path is said already.
fn in_kubeconfig(error: &KubeconfigError) -> Option<String> {
    Some(match error {
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        KubeconfigError::CurrentContextNotSet => "current-context: not set".to_owned(),
        KubeconfigError::LoadContext(name) if name.is_empty() => {
            "current-context: not set".to_owned()
        }
        KubeconfigError::LoadContext(name) => {
            format!("contexts: no {name:?}, which current-context names")
        }
        KubeconfigError::LoadClusterOfContext(name) => {
            format!("clusters: no {name:?}, which the context names")
        }
        KubeconfigError::MissingClusterUrl => "server: missing in the cluster".to_owned(),
        KubeconfigError::ParseClusterUrl(error) => format!("server: {error}"),
        KubeconfigError::LoadCertificateAuthority(error) => {
            format!("certificate-authority: {}", chain(error))
        }
        KubeconfigError::ParseCertificates(error) => {
            format!("certificate-authority: {}", chain(error))
        }
        KubeconfigError::LoadClientCertificate(error) => {
            format!("client-certificate: {}", chain(error))
        }
        KubeconfigError::LoadClientKey(error) => format!("client-key: {}", chain(error)),
        _ => return None,
    })
}

/// What is wrong with a service account, by its file.
fn in_account(error: &InClusterError) -> Option<String> {
    let (file, cause): (_, &dyn std::error::Error) = match error {
        InClusterError::ReadDefaultNamespace(error) => ("namespace", error),
        InClusterError::ReadCertificateBundle(error) => ("ca.crt", error),
        InClusterError::ParseCertificates(error) => ("ca.crt", error),
        _ => return None,
    };
    Some(format!("{ACCOUNT}/{file}: {cause}"))
}

fn has_kubeconfig() -> bool {
    let named = std::env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty());
    named || std::env::home_dir().is_some_and(|home| home.join(".kube/config").exists())
}

/// An error and its causes, on one line and each once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said = String::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        let line = text.lines().next().unwrap_or_default();
        if !said.contains(line) {
            let separator = if said.is_empty() { "" } else { ": " };
            let _infallible = write!(said, "{separator}{line}");
        }
        next = cause.source();
    }
    said
}

/// kube's own stack retries and logs on its own account; this one is its layers without that.
fn connect(config: Config) -> Result<Client, kube::Error> {
    let mut connector = HttpConnector::new();
    let (idle, interval, tries) = KEEPALIVE;
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(idle));
    connector.set_keepalive_interval(Some(interval));
    connector.set_keepalive_retries(Some(tries));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http: legacy::Client<_, Body> =
        legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}
