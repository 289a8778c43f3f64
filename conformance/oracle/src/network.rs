//! Networks in CIDR notation: bits written out, and compared one by one.

use std::net::IpAddr;

/// Whether an address is in a network: their first bits, as many as the prefix says, are the same. An address of one
/// family is in no network of the other.
pub(super) fn contains(cidr: &str, address: IpAddr) -> bool {
    read(cidr).is_some_and(|(network, length)| {
        network.is_ipv4() == address.is_ipv4()
            && (0..length).all(|place| bit(network, place) == bit(address, place))
    })
}

/// Whether a network is in another, and smaller.
pub(super) fn is_strict_part(part: &str, whole: &str) -> bool {
    let is_smaller = |((_, own), (_, other)): (Network, Network)| own > other;
    read(part).is_some_and(|(address, _)| contains(whole, address))
        && read(part).zip(read(whole)).is_some_and(is_smaller)
}

/// An address and how many of its bits count.
type Network = (IpAddr, usize);

/// A network; none where the text is not one.
pub(super) fn read(cidr: &str) -> Option<Network> {
    let (network, length) = cidr.split_once('/')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let length: usize = length.parse().ok().filter(|_| is_number(length))?;
    let network: IpAddr = plain(network).parse().ok()?;
    // An IPv4 network in the notation of IPv6 is that IPv4 network: packets never carry such addresses.
    let mapped = match network {
        IpAddr::V6(six) => six.to_ipv4_mapped(),
        IpAddr::V4(_) => None,
    };
    let (network, length) = match mapped {
        Some(four) => (IpAddr::V4(four), length.checked_sub(96)?),
        None => (network, length),
    };
    let is_whole = length == 0 || bit(network, length - 1).is_some();
    is_whole.then_some((network, length))
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
    fn a_part_is_smaller_and_within() {
        for (part, is_part) in [
            ("10.0.0.0/9", true),
            ("10.0.0.0/8", false),
            ("10.0.0.0/7", false),
            ("11.0.0.0/9", false),
            ("10.0.0.0/33", false),
            ("fd00::/9", false),
        ] {
            assert_eq!(is_strict_part(part, "10.0.0.0/8"), is_part, "{part}");
        }
    }

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
