//! The certificates of a cluster: one authority, and whoever it vouches for. Keys are EC, made in milliseconds.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::json;

/// Who may do everything.
pub(crate) const MASTERS: &str = "system:masters";

/// The authority. Its key is kept beside its certificate, so that a kept cluster can vouch for more.
#[derive(Debug)]
pub(crate) struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority, and the key that service accounts' tokens are signed with, in `directory`.
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        let key = KeyPair::generate().context("a key")?;
        fs::write(directory.join("ca.key"), key.serialize_pem()).context("ca.key")?;
        let params = Self::params()?;
        let certificate = params.self_signed(&key).context("the authority")?;
        fs::write(directory.join("ca.crt"), certificate.pem()).context("ca.crt")?;
        let tokens = KeyPair::generate().context("a key")?;
        fs::write(directory.join("tokens.key"), tokens.serialize_pem()).context("tokens.key")?;
        fs::write(directory.join("tokens.pub"), tokens.public_key_pem()).context("tokens.pub")?;
        Ok(Self {
            directory: directory.to_path_buf(),
            issuer: Issuer::new(params, key),
        })
    }

    /// The authority that was made in `directory`.
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let pem = fs::read_to_string(directory.join("ca.key")).context("ca.key")?;
        let key = KeyPair::from_pem(&pem).context("ca.key")?;
        Ok(Self {
            directory: directory.to_path_buf(),
            issuer: Issuer::new(Self::params()?, key),
        })
    }

    /// A file of the authority's.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes NAME.crt and NAME.key for somebody who is served: a user and the groups that it is in.
    pub(crate) fn client(&self, name: &str, user: &str, groups: &[&str]) -> Result<()> {
        self.sign(name, &subject(user, groups)?)
    }

    /// Writes NAME.crt and NAME.key for a server with these names and addresses.
    pub(crate) fn server(&self, name: &str, names: &[&str], addresses: &[IpAddr]) -> Result<()> {
        let mut params = subject(name, &[])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for dns in names {
            let dns = (*dns).try_into().context("a server's name")?;
            params.subject_alt_names.push(SanType::DnsName(dns));
        }
        let addresses = addresses.iter().copied().map(SanType::IpAddress);
        params.subject_alt_names.extend(addresses);
        self.sign(name, &params)
    }

    /// A kubeconfig that presents NAME.crt to the server at `url`. Whole in itself: it can be mounted, or copied.
    pub(crate) fn kubeconfig(&self, name: &str, url: &str) -> Result<PathBuf> {
        let read = |file: String| {
            let bytes = fs::read(self.file(&file)).with_context(|| file.clone())?;
            Ok::<_, anyhow::Error>(base64(&bytes))
        };
        let user = json!({
            "client-certificate-data": read(format!("{name}.crt"))?,
            "client-key-data": read(format!("{name}.key"))?,
        });
        self.kubeconfig_of(name, url, &user)
    }

    /// A kubeconfig with other credentials, as its `user` has them.
    pub(crate) fn kubeconfig_of(
        &self,
        name: &str,
        url: &str,
        user: &serde_json::Value,
    ) -> Result<PathBuf> {
        let authority = base64(&fs::read(self.file("ca.crt")).context("ca.crt")?);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "sluice",
            "clusters": [{"name": "sluice", "cluster": {"server": url, "certificate-authority-data": authority}}],
            "contexts": [{"name": "sluice", "context": {"cluster": "sluice", "user": name}}],
            "users": [{"name": name, "user": user}],
        });
        let path = self.file(&format!("{name}.kubeconfig"));
        fs::write(&path, format!("{config:#}\n")).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    fn params() -> Result<CertificateParams> {
        let mut params = subject("sluice-cluster", &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        params.extended_key_usages.clear();
        Ok(params)
    }

    fn sign(&self, name: &str, params: &CertificateParams) -> Result<()> {
        let key = KeyPair::generate().context("a key")?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("a certificate for {name}"))?;
        for (ending, text) in [("crt", certificate.pem()), ("key", key.serialize_pem())] {
            let path = self.file(&format!("{name}.{ending}"));
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

/// A certificate's subject, as Kubernetes reads it: the common name is the user, organisations are groups.
fn subject(user: &str, groups: &[&str]) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).context("a certificate")?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    // The library keeps one value of each kind, so somebody is in one group here.
    for group in groups {
        params
            .distinguished_name
            .push(DnType::OrganizationName, *group);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

/// RFC 4648 §4.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let at = usize::try_from(word >> (18 - 6 * digit) & 63).unwrap_or(0);
            text.push(if digit <= chunk.len() {
                char::from(DIGITS[at])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Authority, base64};

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn an_authority_vouches_again_after_it_was_opened() {
        let directory = tempfile::tempdir().unwrap();
        drop(Authority::create(directory.path()).unwrap());
        let authority = Authority::open(directory.path()).unwrap();
        authority.client("jane", "jane", &["staff"]).unwrap();
        let config = authority
            .kubeconfig("jane", "https://10.99.0.100:6443")
            .unwrap();
        let config: serde_json::Value =
            serde_json::from_slice(&std::fs::read(config).unwrap()).unwrap();
        assert_eq!(config["users"][0]["name"], "jane");
    }
}
