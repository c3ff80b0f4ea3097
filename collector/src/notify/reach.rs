//! Where a notification may go: the host is looked up here, every address it has is checked, and the connection goes to
//! those addresses and to no others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper::Uri;

use crate::outgoing::host_and_port;

/// A range of addresses, `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    network: IpAddr,
    bits: u8,
}

/// What private addresses are allowed out of: nobody can be led to any other.
const PRIVATE: [Range; 5] = [
    v4([10, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    v4([100, 64, 0, 0], 10),
    Range { network: IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), bits: 7 },
];

/// Not of the public internet, or what clouds answer questions about a machine on.
const NEVER_V4: [Range; 17] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([168, 63, 129, 16], 32),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
    v4([255, 255, 255, 255], 32),
];

/// Of IPv6 only 2000::/3 is the internet; in there are tunnels to IPv4 (Teredo, 6to4), which would lead around the check,
/// and examples. Mapped, translated (NAT64), link-local, unique local and multicast addresses lie outside it.
const GLOBAL_V6: Range = v6([0x2000, 0], 3);
const NEVER_V6: [Range; 4] = [v6([0x2001, 0], 23), v6([0x2001, 0xdb8], 32), v6([0x2002, 0], 16), v6([0x3fff, 0], 20)];

/// Addresses at which clouds answer questions about the machine, within ranges that may be allowed.
const METADATA: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254))];

const fn v4([a, b, c, d]: [u8; 4], bits: u8) -> Range {
    Range { network: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits }
}

const fn v6([a, b]: [u16; 2], bits: u8) -> Range {
    Range { network: IpAddr::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0)), bits }
}

impl Range {
    /// A range of private addresses.
    ///
    /// # Errors
    /// A sentence: no range, or not a private one.
    pub fn parse_private(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(network, bits)| {
            let (network, bits): (IpAddr, u8) = (network.parse().ok()?, bits.parse().ok()?);
            (bits <= if network.is_ipv4() { 32 } else { 128 }).then_some(Self { network, bits })
        });
        let range = parsed.ok_or_else(|| format!("{text:?} is not a range like \"10.20.0.0/16\""))?;
        let within = |private: &Self| private.contains(range.network) && private.bits <= range.bits;
        if !PRIVATE.iter().any(within) {
            return Err(format!(
                "{text:?} lies outside the private ranges 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 and \
                 fc00::/7; no other can be allowed"
            ));
        }
        Ok(range)
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Which addresses a target may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Private ranges that are allowed beside the internet.
    pub private: Vec<Range>,
    /// Goes to this machine and nowhere else, also without TLS.
    pub insecure_loopback: bool,
}

/// Why a target is not gone to. Nothing of it has left.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// The URL cannot be.
    #[error(
        "the URL is not https with a host and without a user; http goes to this machine alone, with insecure_loopback"
    )]
    Url,
    /// The host is not known.
    #[error("{host} cannot be looked up: {reason}")]
    Unknown {
        /// The host.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// One of its addresses is not allowed.
    #[error("{host} leads to {address}, which is not of the internet; allow_private names ranges that are allowed")]
    Forbidden {
        /// The host.
        host: String,
        /// The address.
        address: IpAddr,
    },
}

impl Reach {
    /// Whether this is a URL a notification may go to, as far as it can be told without looking it up.
    ///
    /// # Errors
    /// [`ReachError::Url`].
    pub fn check_url(&self, url: &Uri) -> Result<(), ReachError> {
        let authority = url.authority().ok_or(ReachError::Url)?;
        let allowed = match url.scheme_str() {
            Some("https") => true,
            Some("http") => self.insecure_loopback,
            _ => false,
        };
        let plain = !authority.host().is_empty() && !authority.as_str().contains('@');
        if allowed && plain { Ok(()) } else { Err(ReachError::Url) }
    }

    /// Looks the host of a URL up; what comes back is all it may be connected to.
    ///
    /// # Errors
    /// [`ReachError`]. One forbidden address among several is enough: a name that leads here and there is not trusted.
    pub async fn resolve(&self, url: &Uri) -> Result<Vec<SocketAddr>, ReachError> {
        self.check_url(url)?;
        let (host, port) = host_and_port(url).map_err(|_| ReachError::Url)?;
        let unknown = |reason: String| ReachError::Unknown { host: host.clone(), reason };
        let found = tokio::net::lookup_host((host.as_str(), port)).await.map_err(|error| unknown(error.to_string()))?;
        let addresses: Vec<SocketAddr> = found.collect();
        if addresses.is_empty() {
            return Err(unknown("it has no address".into()));
        }
        match addresses.iter().map(SocketAddr::ip).find(|address| !self.allows(*address)) {
            Some(address) => Err(ReachError::Forbidden { host, address }),
            None => Ok(addresses),
        }
    }

    /// Whether an address may be connected to.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        if self.insecure_loopback {
            return address.is_loopback();
        }
        let is_private = self.private.iter().any(|range| range.contains(address));
        (is_private && !METADATA.contains(&address)) || is_of_the_internet(address)
    }
}

fn is_of_the_internet(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => !NEVER_V4.iter().any(|range| range.contains(address)),
        IpAddr::V6(_) => GLOBAL_V6.contains(address) && !NEVER_V6.iter().any(|range| range.contains(address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_internet_is_reached_without_being_allowed() {
        let reach = Reach::default();
        for address in ["1.1.1.1", "113.96.208.1", "172.15.255.255", "172.32.0.0", "100.63.255.255", "2606:4700::1111"]
        {
            assert!(reach.allows(ip(address)), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "::1.1.1.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "4000::1",
        ] {
            assert!(!reach.allows(ip(address)), "{address}");
        }
    }

    #[test]
    fn private_ranges_are_allowed_by_name_and_metadata_never() {
        let allow = |ranges: &[&str]| Reach {
            private: ranges.iter().map(|range| Range::parse_private(range).unwrap()).collect(),
            insecure_loopback: false,
        };
        let reach = allow(&["10.20.0.0/16", "fd12:3456::/32", "100.64.0.0/10", "fd00:ec2::/32"]);
        for address in ["10.20.0.1", "10.20.255.255", "fd12:3456::9", "100.100.100.199", "1.1.1.1"] {
            assert!(reach.allows(ip(address)), "{address}");
        }
        for address in ["10.21.0.1", "fd13::1", "100.100.100.200", "fd00:ec2::254", "127.0.0.1", "::ffff:10.20.0.1"] {
            assert!(!reach.allows(ip(address)), "{address}");
        }
        for range in ["0.0.0.0/0", "8.0.0.0/6", "127.0.0.0/8", "169.254.0.0/16", "::/0", "fe80::/10", "10.0.0.0", "x/8"]
        {
            assert!(Range::parse_private(range).is_err(), "{range}");
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_its_addresses() {
        let open = Reach::default();
        for url in ["https://localhost/", "https://127.0.0.1/", "https://[::1]/", "https://169.254.169.254/latest"] {
            assert!(matches!(open.resolve(&url.parse().unwrap()).await, Err(ReachError::Forbidden { .. })), "{url}");
        }
        for url in
            ["http://hooks.example/", "http://127.0.0.1/", "ftp://hooks.example/", "https://a:b@hooks.example/", "/x"]
        {
            assert!(matches!(open.resolve(&url.parse().unwrap()).await, Err(ReachError::Url)), "{url}");
        }
        let own = Reach { insecure_loopback: true, private: Vec::new() };
        assert_eq!(
            own.resolve(&"http://127.0.0.1:7/".parse().unwrap()).await.unwrap(),
            ["127.0.0.1:7".parse().unwrap()]
        );
        assert!(matches!(own.resolve(&"http://1.1.1.1/".parse().unwrap()).await, Err(ReachError::Forbidden { .. })));
    }
}
