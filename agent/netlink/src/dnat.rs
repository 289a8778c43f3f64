//! Services without kube-proxy, for laboratories: a table of destination translations. The gate knows nothing of it, as
//! it knows nothing of kube-proxy.

use std::ffi::CStr;
use std::net::{IpAddr, SocketAddr};

use crate::Error;
use crate::nft::{
    self, Chain, ChainKind, Expression, Field, Hook, Nat, Rule, Ruleset, Transaction,
};
use crate::socket::{Family, Socket};

const TABLE: &CStr = c"sluice-lab";
/// `NF_IP_PRI_NAT_DST`.
const PRIORITY: i32 = -100;

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnatRule {
    /// The Service's address.
    pub vip: IpAddr,
    /// IP protocol number: 6, 17 or 132.
    pub protocol: u8,
    /// The Service's port.
    pub port: u16,
    /// Where connections go, each with the same probability; of the address family of `vip`. None leaves them alone.
    pub backends: Vec<(IpAddr, u16)>,
}

/// Replaces the translations of the network namespace by these, in one transaction.
pub fn install(rules: &[DnatRule]) -> Result<(), Error> {
    if let Some(rule) = rules.iter().find(|rule| {
        rule.backends
            .iter()
            .any(|(to, _)| to.is_ipv4() != rule.vip.is_ipv4())
    }) {
        let why = format!("{} has a backend of the other address family", rule.vip);
        return Err(Error::Argument {
            what: "dnat rule",
            why,
        });
    }
    let mut socket = Socket::open(Family::Netfilter)?;
    Transaction::replace(&ruleset(rules)).commit("install the translations", &mut socket)
}

/// Removes the translations; whether there were any.
pub fn remove() -> Result<bool, Error> {
    nft::remove_table(&mut Socket::open(Family::Netfilter)?, TABLE)
}

/// Pods' connections pass the first hook, the node's own the second.
fn ruleset(rules: &[DnatRule]) -> Ruleset {
    let rules: Vec<Rule> = rules.iter().flat_map(translations).collect();
    let chain = |name, hook| Chain {
        name,
        kind: ChainKind::Nat,
        hook,
        priority: PRIORITY,
        rules: rules.clone(),
    };
    let chains = vec![
        chain(c"prerouting", Hook::Prerouting),
        chain(c"output", Hook::Output),
    ];
    Ruleset {
        table: TABLE,
        sets: Vec::new(),
        chains,
    }
}

/// A rule per backend: the first of `n` takes one `n`th, the next one of the remaining `n - 1`, the last the rest.
fn translations(service: &DnatRule) -> impl Iterator<Item = Rule> {
    (1..)
        .zip(service.backends.iter().rev())
        .map(|(left, (address, port))| {
            let to = SocketAddr::new(*address, *port);
            let rule = Rule::named(format!("{} {}", service.port, to));
            let rule = match service.vip {
                IpAddr::V4(vip) => rule
                    .equals(Field::NetworkProtocol, nft::IPV4)
                    .equals(Field::IPV4_DESTINATION, &vip.octets()),
                IpAddr::V6(vip) => rule
                    .equals(Field::NetworkProtocol, nft::IPV6)
                    .equals(Field::IPV6_DESTINATION, &vip.octets()),
            };
            let rule = rule.equals(Field::TransportProtocol, &[service.protocol]);
            let rule = rule.equals(Field::DESTINATION_PORT, &service.port.to_be_bytes());
            let rule = if left == 1 {
                rule
            } else {
                rule.equals(Field::Random { modulus: left }, &0u32.to_ne_bytes())
            };
            rule.then(Expression::DestinationNat(Nat { to }))
        })
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
}
