//! The API server's rules for names, labels, port names and addresses, as pure predicates.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// An RFC 1123 label: what names a namespace.
pub(crate) fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len()) && is_label_characters(text)
}

/// An RFC 1123 subdomain: what names most objects.
pub(crate) fn is_dns_subdomain(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text
            .split('.')
            .all(|part| !part.is_empty() && is_label_characters(part))
}

/// An RFC 1035 label: what names a Service.
pub(crate) fn is_service_name(text: &str) -> bool {
    is_dns_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase())
}

fn is_label_characters(text: &str) -> bool {
    !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// An IANA service name: what names a port.
pub(crate) fn is_port_name(text: &str) -> bool {
    text.len() <= 15
        && is_dns_label(text)
        && !text.contains("--")
        && text.contains(|character: char| character.is_ascii_lowercase())
}

/// `[PREFIX/]NAME`: a label key.
pub(crate) fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => {
            is_dns_subdomain(prefix) && !name.is_empty() && is_label_value(name)
        }
        None => !text.is_empty() && is_label_value(text),
    }
}

/// A label value: empty, or up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
pub(crate) fn is_label_value(text: &str) -> bool {
    let is_end = |byte: u8| byte.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_none_or(|byte| is_end(*byte))
        && bytes.last().is_none_or(|byte| is_end(*byte))
        && bytes
            .iter()
            .all(|byte| is_end(*byte) || b"-_.".contains(byte))
}

/// An address as the API writes it; the IPv4-mapped form is the IPv4 address that it stands for.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>()
        .ok()
        .map(|address| address.to_canonical())
}

/// A network, and whether it was written as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    /// Without host bits.
    pub(crate) network: IpNet,
    /// What is wrong with the writing; the network is what a cluster that accepted it makes of it.
    pub(crate) fault: Option<String>,
}

/// Reads `ADDRESS/LENGTH`. Leading zeros are decimal and host bits are masked, as in objects that older API servers let in.
pub(crate) fn cidr(text: &str) -> Option<Cidr> {
    let (address, length) = text.split_once('/')?;
    if length.is_empty() || length.len() > 5 || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let written: IpAddr = address
        .parse()
        .ok()
        .or_else(|| sloppy_ipv4(address).map(IpAddr::V4))?;
    let mut length: u8 = length.parse().ok()?;
    let canonical = written.to_canonical();
    if canonical.is_ipv4() && written.is_ipv6() {
        length = length.checked_sub(96)?;
    }
    let network = IpNet::new(canonical, length).ok()?.trunc();
    Some(Cidr {
        network,
        fault: fault(text, canonical, network),
    })
}

fn fault(text: &str, address: IpAddr, network: IpNet) -> Option<String> {
    if network.addr() != address {
        Some(format!("has host bits set, write {network}"))
    } else if address.is_ipv4() && text != network.to_string() {
        Some(format!("is not in canonical form, write {network}"))
    } else {
        None
    }
}

/// Four decimal numbers, leading zeros and all.
fn sloppy_ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_their_rfcs() {
        for (text, label, subdomain, service) in [
            ("a", true, true, true),
            ("a-1", true, true, true),
            ("1-a", true, true, false),
            ("a.b", false, true, false),
            ("", false, false, false),
            ("-a", false, false, false),
            ("a-", false, false, false),
            ("a..b", false, false, false),
            ("A", false, false, false),
            ("a_b", false, false, false),
            ("ä", false, false, false),
        ] {
            assert_eq!(
                (
                    is_dns_label(text),
                    is_dns_subdomain(text),
                    is_service_name(text)
                ),
                (label, subdomain, service),
                "{text}"
            );
        }
        assert!(is_dns_label(&"a".repeat(63)) && !is_dns_label(&"a".repeat(64)));
    }

    #[test]
    fn port_names_are_iana_service_names() {
        for (text, valid) in [
            ("http", true),
            ("serve-80-tcp", true),
            ("a23456789012345", true),
            ("a234567890123456", false),
            ("80", false),
            ("a--b", false),
            ("-a", false),
            ("Http", false),
            ("", false),
        ] {
            assert_eq!(is_port_name(text), valid, "{text}");
        }
    }

    #[test]
    fn label_keys_and_values() {
        for (text, key, value) in [
            ("app", true, true),
            ("app.kubernetes.io/name", true, false),
            ("", false, true),
            ("a/b/c", false, false),
            ("/a", false, false),
            ("a/", false, false),
            ("A_b.c-1", true, true),
            ("-a", false, false),
            ("a b", false, false),
        ] {
            assert_eq!(
                (is_label_key(text), is_label_value(text)),
                (key, value),
                "{text}"
            );
        }
    }

    #[test]
    fn networks_are_read_as_clusters_read_them() {
        for (text, network, fault) in [
            ("10.0.0.0/8", "10.0.0.0/8", None),
            ("0.0.0.0/0", "0.0.0.0/0", None),
            ("fd00::/8", "fd00::/8", None),
            ("FD00:0::/8", "fd00::/8", None),
            (
                "10.0.0.1/24",
                "10.0.0.0/24",
                Some("has host bits set, write 10.0.0.0/24"),
            ),
            (
                "fd00::1/64",
                "fd00::/64",
                Some("has host bits set, write fd00::/64"),
            ),
            (
                "010.0.0.0/8",
                "10.0.0.0/8",
                Some("is not in canonical form, write 10.0.0.0/8"),
            ),
            (
                "10.0.0.0/08",
                "10.0.0.0/8",
                Some("is not in canonical form, write 10.0.0.0/8"),
            ),
            (
                "::ffff:10.0.0.0/104",
                "10.0.0.0/8",
                Some("is not in canonical form, write 10.0.0.0/8"),
            ),
        ] {
            let read = cidr(text).unwrap();
            assert_eq!(
                (read.network.to_string().as_str(), read.fault.as_deref()),
                (network, fault),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_network_is_none() {
        for text in [
            "",
            "/",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0/8",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "fd00::/129",
        ] {
            assert_eq!(cidr(text), None, "{text}");
        }
        for text in [
            "10.0.0.256/32",
            "ten.0.0.0/8",
            "10.0.0.0/x",
            "::ffff:10.0.0.0/8",
            "10.0.0.0.0/8",
            "fg00::/8",
        ] {
            assert_eq!(cidr(text), None, "{text}");
        }
    }
}
