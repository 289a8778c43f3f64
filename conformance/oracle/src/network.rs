//! Networks in CIDR notation: bits written out, and compared one by one.

use std::net::IpAddr;

/// Whether an address is in a network: their first bits, as many as the prefix says, are the same. An address of one
/// family is in no network of the other.
pub(super) fn contains(cidr: &str, address: IpAddr) -> bool {
    let Some((network, length)) = cidr.split_once('/') else {
        return false;
    };
    let (Ok(network), Ok(length)) = (plain(network).parse::<IpAddr>(), length.parse::<usize>())
    else {
        return false;
    };
    // An IPv4 network in the notation of IPv6 is that IPv4 network: packets never carry such addresses.
    let (network, length) = match network {
        IpAddr::V6(six) => match (six.to_ipv4_mapped(), length.checked_sub(96)) {
            (Some(four), Some(length)) => (IpAddr::V4(four), length),
            _ => (network, length),
        },
        IpAddr::V4(_) => (network, length),
    };
    let (network, address) = (bits(network), bits(address));
    network.len() == address.len()
        && length <= network.len()
        && network[..length] == address[..length]
}

/// Old objects may have leading zeros in IPv4 addresses, which Kubernetes always took for decimal.
fn plain(network: &str) -> String {
    if network.contains(':') {
        return network.to_owned();
    }
    let plain = network
        .split('.')
        .map(|octet| match octet.trim_start_matches('0') {
            "" if !octet.is_empty() => "0",
            digits => digits,
        });
    plain.collect::<Vec<_>>().join(".")
}

/// The bits of an address, first to last.
fn bits(address: IpAddr) -> Vec<bool> {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    octets
        .iter()
        .flat_map(|octet| (0..8).rev().map(move |place| octet >> place & 1 == 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_what_shares_their_first_bits() {
        for (cidr, address, inside) in [
            ("0.0.0.0/0", "10.0.0.1", true),
            ("0.0.0.0/0", "fd00::1", false),
            ("::/0", "fd00::1", true),
            ("::/0", "10.0.0.1", false),
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/31", "10.0.0.1", true),
            ("10.0.0.0/31", "10.0.0.2", false),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.0", false),
            ("fd00:10::/33", "fd00:10:7fff::1", true),
            ("fd00:10::/33", "fd00:10:8000::1", false),
            ("10.0.0.0/40", "10.0.0.0", false),
            ("nonsense", "10.0.0.0", false),
        ] {
            assert_eq!(
                contains(cidr, address.parse().unwrap()),
                inside,
                "{cidr} {address}"
            );
        }
    }
}
