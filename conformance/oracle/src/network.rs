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
    network.is_ipv4() == address.is_ipv4()
        && (0..length).all(|place| {
            let own = bit(network, place);
            own.is_some() && own == bit(address, place)
        })
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

/// One bit of an address, counted from the first; none past the last.
fn bit(address: IpAddr, place: usize) -> Option<bool> {
    let octet = match address {
        IpAddr::V4(address) => address.octets().get(place / 8).copied(),
        IpAddr::V6(address) => address.octets().get(place / 8).copied(),
    };
    octet.map(|octet| octet >> (7 - place % 8) & 1 == 1)
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
