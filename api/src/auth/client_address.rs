//! From which address a request comes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::{HeaderMap, request::Parts};
use ipnet::IpNet;

use super::Auth;
use crate::http::problem::Problem;

/// Where the client is: the peer of the connection, or the address for which a trusted proxy asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress
where
    Arc<Auth>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        let auth = Arc::<Auth>::from_ref(state);
        let trusted: Vec<IpNet> = auth.settings.proxies().collect();
        Ok(Self(client(&trusted, peer, &parts.headers)))
    }
}

/// Every proxy adds to the end of `X-Forwarded-For` who asked it. What a client wrote itself stands before that. So the
/// list is read backwards, for as long as trusted proxies have written it, and as bytes: what a client wrote may be
/// anything, and hides nothing that a proxy adds to it. The first entry that is no address ends the walk.
fn client(trusted: &[IpNet], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut client = peer.to_canonical();
    if trusted.is_empty() {
        return client;
    }
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    for said in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
        if !trusted.iter().any(|network| network.contains(&client)) {
            break;
        }
        let Some(address) = std::str::from_utf8(said).ok().and_then(|said| address(said.trim())) else { break };
        client = address.to_canonical();
    }
    client
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    IpAddr::from_str(bare).ok().or_else(|| SocketAddr::from_str(text).ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let forwarded: Vec<&[u8]> = forwarded.iter().map(|line| line.as_bytes()).collect();
        client_by_bytes(trusted, peer, &forwarded)
    }

    fn client_by_bytes(trusted: &[&str], peer: &str, forwarded: &[&[u8]]) -> String {
        let network = |text: &str| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let trusted: Vec<IpNet> = trusted.iter().map(|text| network(text).expect("an address")).collect();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(value).expect("a header"));
        }
        super::client(&trusted, peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        assert_eq!(client(&[], "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(client(&["10.0.0.0/8"], "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
    }

    #[test]
    fn a_trusted_proxy_says_for_whom_it_asks() {
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client(&["10.1.2.3"], "::ffff:10.1.2.3", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &["198.51.100.7:1234"]), "198.51.100.7");
    }

    #[test]
    fn what_the_client_wrote_itself_is_not_reached() {
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &["1.1.1.1, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &["1.1.1.1", "198.51.100.7, 10.9.9.9"]), "198.51.100.7");
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &["10.1.1.1, nonsense"]), "10.1.2.3");
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn a_byte_that_is_not_ascii_hides_nothing_that_a_proxy_wrote() {
        let client = |forwarded: &[&[u8]]| client_by_bytes(&["10.0.0.0/8"], "10.1.2.3", forwarded);
        // A proxy that adds to the line that it was sent.
        assert_eq!(client(&[b"\xe9, 192.0.2.50"]), "192.0.2.50");
        assert_eq!(client(&[b"1.2.3.4", b"\xe9, 192.0.2.50"]), "192.0.2.50");
        // One that adds a line, and one more proxy behind it.
        assert_eq!(client(&[b"\xe9", b"192.0.2.50, 10.9.9.9"]), "192.0.2.50");
        // Where the list can no longer be read, the last proxy is the client, and no entry before that counts.
        for nonsense in
            [&b"1.2.3.4, \xe9"[..], b"1.2.3.4, 192.0.2.50\xe9", b"1.2.3.4, \xef\xbb\xbf192.0.2.50", b"1.2.3.4,"]
        {
            assert_eq!(client(&[nonsense]), "10.1.2.3", "{nonsense:?}");
        }
        assert_eq!(client(&[b"1.2.3.4", b""]), "10.1.2.3");
    }
}
