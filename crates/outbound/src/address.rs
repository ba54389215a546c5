//! Which addresses are of the internet.
//!
//! By the registries of IANA for special purposes,
//! <https://www.iana.org/assignments/iana-ipv4-special-registry> and <https://www.iana.org/assignments/iana-ipv6-special-registry>:
//! what is not globally reachable there is not of the internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Address and length of the prefix.
const NOT_PUBLIC_V4: &[([u8; 4], u32)] = &[
    // This network, "unspecified" in it.
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    // Between a carrier and its customers.
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    // Link-local, and the metadata of clouds.
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    // Assignments of protocols.
    ([192, 0, 0, 0], 24),
    // Documentation.
    ([192, 0, 2, 0], 24),
    // Relays of 6to4, which are no more.
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    // Benchmarks.
    ([198, 18, 0, 0], 15),
    // Documentation.
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // Multicast.
    ([224, 0, 0, 0], 4),
    // Reserved, broadcast in it.
    ([240, 0, 0, 0], 4),
];

/// All that is public is in 2000::/3. Of that, these are not: first two segments and length of the prefix.
const NOT_PUBLIC_V6: &[([u16; 2], u32)] = &[
    // Assignments of protocols: Teredo, benchmarks and ORCHID in it.
    ([0x2001, 0], 23),
    // Documentation.
    ([0x2001, 0x0db8], 32),
    // 6to4: an IPv4 address is in it.
    ([0x2002, 0], 16),
    // Documentation.
    ([0x3fff, 0], 20),
];

/// Whether an address is one of the internet: neither private, of this machine or this link, shared by a carrier, multicast,
/// unspecified, for documentation or benchmarks, nor another's in the clothes of 6to4 or Teredo; and not this machine's own.
///
/// An IPv4 address that is mapped into IPv6, or translated into it (NAT64), is judged as what it is.
pub fn is_public(address: IpAddr) -> bool {
    let address = address.to_canonical();
    is_of_the_internet(address) && !is_ours(address)
}

fn is_of_the_internet(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    !NOT_PUBLIC_V4.iter().any(|(prefix, length)| {
        let prefix = u32::from_be_bytes(*prefix);
        (bits ^ prefix) >> (32 - length) == 0
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // RFC 6052: by anybody's translator. That of a network of its own (64:ff9b:1::/48) is private.
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() {
        return is_public_v4(Ipv4Addr::from_bits(joined([high, low])));
    }
    let [first, second, ..] = address.segments();
    let bits = joined([first, second]);
    // What is beyond, unique-local ones among it, is not.
    let is_global = first >> 13 == 0b001;
    is_global && !NOT_PUBLIC_V6.iter().any(|(prefix, length)| (bits ^ joined(*prefix)) >> (32 - length) == 0)
}

fn joined([first, second]: [u16; 2]) -> u32 {
    (u32::from(first) << 16) | u32::from(second)
}

/// Whether an address, which may be a public one, is this machine's: whoever sends to that sends from it. Nothing is sent here.
fn is_ours(address: IpAddr) -> bool {
    const ANY_PORT: u16 = 9;
    let unspecified: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = UdpSocket::bind((unspecified, 0)).and_then(|socket| {
        socket.connect((address, ANY_PORT))?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_internet_are_public() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
    }

    #[test]
    fn an_address_of_this_machine_is_known_as_one() {
        assert!(is_ours(Ipv4Addr::LOCALHOST.into()) && !is_ours(Ipv4Addr::new(93, 184, 215, 14).into()));
    }

    #[test]
    fn all_others_are_not() {
        for other in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.168.255.255",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:20::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ffff::1",
        ] {
            assert!(!is_public(other.parse().expect("an address")), "{other}");
        }
    }
}
