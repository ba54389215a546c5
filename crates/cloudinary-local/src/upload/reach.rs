//! From where the file of an upload may be fetched, and where notifications may go.
//!
//! Whoever can upload can have us fetch, and see what came: a page in a developer's browser that knows the account, too. So
//! this machine and the networks around it are out of reach unless told otherwise.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use outbound::is_public;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use url::Host;

const WITHIN: Duration = Duration::from_secs(120);

#[derive(Debug, thiserror::Error)]
#[error("{0} is an address of this machine or its network; --fetch-private allows them")]
pub(crate) struct OutOfReach(String);

/// A client for one fetch, as fetches are rare and everything else shall work without root certificates. Unless
/// `fetch_private`, it goes through no proxy, which would reach for us what we must not.
pub(super) fn client(fetch_private: bool) -> reqwest::Result<Client> {
    let client = Client::builder().timeout(WITHIN);
    if fetch_private {
        return client.build();
    }
    let redirects = Policy::custom(|attempt| match check(attempt.url()) {
        Ok(()) => Policy::default().redirect(attempt),
        Err(refused) => attempt.error(refused),
    });
    client.no_proxy().dns_resolver(Arc::new(PublicOnly)).redirect(redirects).build()
}

/// A client that sends what others asked for, and follows no redirect. `anywhere`: to this machine and its networks too.
pub(crate) fn sender(anywhere: bool, within: Duration) -> reqwest::Result<Client> {
    let client = Client::builder().timeout(within).redirect(Policy::none()).no_proxy();
    if anywhere { client.build() } else { client.dns_resolver(Arc::new(PublicOnly)).build() }
}

/// Whether an address that is written out may be asked. Names are looked up by the client.
pub(crate) fn check(url: &Url) -> Result<(), OutOfReach> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::from(address),
        Some(Host::Ipv6(address)) => address.into(),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    is_public(address).then_some(()).ok_or_else(|| OutOfReach(address.to_string()))
}

/// Why a fetch failed, in words for the client.
pub(crate) fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(one) = cause {
        if let Some(refused) = one.downcast_ref::<OutOfReach>() {
            return refused.to_string();
        }
        cause = one.source();
    }
    error.to_string()
}

/// Looks names up, and keeps public addresses only. The connection goes to what was looked at here, so a name that leads
/// elsewhere the next time gains nothing.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(OutOfReach(name.as_str().to_owned()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn addresses_of_this_machine_and_its_network_are_out_of_reach_however_they_are_written() {
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f000001",
            "2130706433",
            "0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::5db8:d70e]",
            "[64:ff9b:1:a9fe:a9:fe00:5db8:d70e]",
            "[2002:7f00:1::]",
            "[fd00::1]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
        ] {
            let url = Url::parse(&format!("http://{host}:8000/secret")).expect("an address");
            assert!(check(&url).is_err(), "{host}");
        }
        for host in [
            "93.184.215.14",
            "100.128.0.1",
            "172.32.0.1",
            "[2606:2800:21f:cb07::1]",
            "[64:ff9b::5db8:d70e]",
            "example.com",
        ] {
            let url = Url::parse(&format!("http://{host}/a")).expect("an address");
            assert!(check(&url).is_ok(), "{host}");
        }
    }

    /// The first address is looked at by who asks for it. Here it has to be this machine's.
    #[tokio::test]
    async fn a_redirect_to_this_machine_is_out_of_reach() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let redirecting = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 1000]).await;
            let answer = format!("HTTP/1.1 302 Found\r\nLocation: http://{address}/secret\r\nContent-Length: 0\r\n");
            let answer = answer + "Connection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.expect("sent");
            timeout(Duration::from_millis(50), listener.accept()).await.is_err()
        });
        let fetched = client(false).expect("a client").get(format!("http://{address}/")).send().await;
        let why = reason(fetched.expect_err("the redirect is refused"));
        assert!(why.contains("--fetch-private"), "{why}");
        assert!(redirecting.await.expect("no panic"), "somebody asked");
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_out_of_reach() {
        let found = PublicOnly.resolve("localhost".parse().expect("a name")).await;
        assert!(found.is_err_and(|error| error.is::<OutOfReach>()));
    }
}
