//! The addresses that may be connected to.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The networks of IPv4 that are not on the public Internet, by the special-purpose address
/// registry of IANA (RFC 6890) and RFC 5771.
const SPECIAL_V4: [(Ipv4Net, &str); 17] = [
    (v4([0, 0, 0, 0], 8), "this network"),
    (v4([10, 0, 0, 0], 8), "private"),
    (v4([100, 64, 0, 0], 10), "shared by a carrier"),
    (v4([127, 0, 0, 0], 8), "loopback"),
    (v4([169, 254, 0, 0], 16), "link-local"),
    (v4([172, 16, 0, 0], 12), "private"),
    (v4([192, 0, 0, 0], 24), "reserved for protocols"),
    (v4([192, 0, 2, 0], 24), "for documentation"),
    (v4([192, 31, 196, 0], 24), "reserved for protocols"),
    (v4([192, 52, 193, 0], 24), "reserved for protocols"),
    (v4([192, 88, 99, 0], 24), "reserved for protocols"),
    (v4([192, 168, 0, 0], 16), "private"),
    (v4([192, 175, 48, 0], 24), "reserved for protocols"),
    (v4([198, 18, 0, 0], 15), "for benchmarks"),
    (v4([198, 51, 100, 0], 24), "for documentation"),
    (v4([203, 0, 113, 0], 24), "for documentation"),
    // Multicast (224/4), and reserved addresses with the broadcast address (240/4).
    (v4([224, 0, 0, 0], 3), "multicast or reserved"),
];

/// The networks of IPv6 that may be on the public Internet (RFC 4291 section 2.4).
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// The networks within [`GLOBAL_V6`] that are not. Teredo and 6to4 addresses contain one of IPv4.
const SPECIAL_V6: [(Ipv6Net, &str); 5] = [
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "reserved for protocols"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "for documentation"),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "a tunnel"),
    (v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48), "reserved for protocols"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "for documentation"),
];

/// The prefix of NAT64, by which a host without IPv4 reaches an address of IPv4 (RFC 6052).
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length)
}

/// The place of an address: where a packet to it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// On the public Internet.
    Public,
    /// In one of the networks that the operator allows.
    Allowed,
    /// Elsewhere, with the kind of address.
    Special(&'static str),
}

/// Returns the place of `address`. An address of IPv6 that contains one of IPv4 is where that is.
pub(crate) fn reach(address: IpAddr, private: &[IpNet]) -> Reach {
    let address = unwrapped(address);
    if private.iter().any(|network| network.contains(&address)) {
        return Reach::Allowed;
    }
    let special = match address {
        IpAddr::V4(address) => SPECIAL_V4.iter().find(|(network, _)| network.contains(&address)).map(|(_, kind)| *kind),
        IpAddr::V6(address) if !GLOBAL_V6.contains(&address) => Some("private, loopback or reserved"),
        IpAddr::V6(address) => SPECIAL_V6.iter().find(|(network, _)| network.contains(&address)).map(|(_, kind)| *kind),
    };
    special.map_or(Reach::Public, Reach::Special)
}

/// Returns the address of IPv4 that a mapped address, or one of NAT64, contains.
fn unwrapped(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if NAT64.contains(&address) => {
            let [.., a, b, c, d] = address.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Reach {
        reach(address.parse().unwrap(), &[])
    }

    /// The first and the last address of each network, the addresses beside it, and each spelling.
    #[test]
    fn special_networks_end_where_they_should() {
        let number = |address: Ipv4Addr| u32::from(address);
        for (network, kind) in SPECIAL_V4 {
            let (first, last) = (network.network(), network.broadcast());
            for inside in [first, last] {
                let [a, b, c, d] = inside.octets();
                let spellings = [
                    inside.to_string(),
                    format!("::ffff:{inside}"),
                    format!("64:ff9b::{inside}"),
                    format!("::ffff:{a:02x}{b:02x}:{c:02x}{d:02x}"),
                ];
                for spelling in spellings {
                    assert_eq!(at(&spelling), Reach::Special(kind), "{spelling}");
                }
                for tunnel in [format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1"), format!("::{inside}")] {
                    assert!(matches!(at(&tunnel), Reach::Special(_)), "{tunnel}");
                }
            }
            let beside = [number(first).checked_sub(1), number(last).checked_add(1)];
            for beside in beside.into_iter().flatten().map(Ipv4Addr::from) {
                let is_other = SPECIAL_V4.iter().any(|(other, _)| other.contains(&beside));
                assert_eq!(at(&beside.to_string()) == Reach::Public, !is_other, "{beside}");
            }
        }
        for (network, kind) in SPECIAL_V6 {
            for inside in [network.network(), network.broadcast()] {
                assert_eq!(at(&inside.to_string()), Reach::Special(kind), "{inside}");
            }
        }
    }

    #[test]
    fn well_known_addresses_are_where_they_are() {
        for public in
            ["1.1.1.1", "9.9.9.9", "192.0.1.1", "2606:4700::1", "2a00::1", "64:ff9b::1.1.1.1", "::ffff:8.8.8.8"]
        {
            assert_eq!(at(public), Reach::Public, "{public}");
        }
        for special in [
            "::",
            "::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "5f00::1",
            "64:ff9b:1::1",
            "::ffff:0:127.0.0.1",
            "::127.0.0.1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "255.255.255.255",
            "169.254.169.254",
            "fd00:ec2::254",
            "::ffff:a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            "0.0.0.0",
            "224.0.0.1",
        ] {
            assert!(matches!(at(special), Reach::Special(_)), "{special}");
        }
    }

    #[test]
    fn an_operator_allows_networks_not_spellings() {
        let private = ["10.1.0.0/16".parse().unwrap(), "fd12::/16".parse().unwrap()];
        let at = |address: &str| reach(address.parse().unwrap(), &private);
        for allowed in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd12::1"] {
            assert_eq!(at(allowed), Reach::Allowed, "{allowed}");
        }
        for special in ["10.2.0.1", "fd13::1", "127.0.0.1", "2002:0a01:0203::1"] {
            assert!(matches!(at(special), Reach::Special(_)), "{special}");
        }
        assert_eq!(at("1.1.1.1"), Reach::Public);
    }
}
