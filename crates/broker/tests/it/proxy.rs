//! A broker that is away, hangs, or raises an alarm: a proxy between us and the real one.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

pub use testkit::proxy::Passage;
use tokio::net::lookup_host;

use crate::support::Host;

pub struct Proxy {
    /// The virtual host, through the proxy.
    pub url: String,
    proxy: Arc<testkit::proxy::Proxy>,
}

impl Proxy {
    pub async fn new(host: &Host, passage: Passage) -> Self {
        let mut url = host.url();
        let upstream = (url.host_str().expect("a host"), url.port().unwrap_or(5672));
        let upstream = lookup_host(upstream).await.expect("an address").next().expect("an address");
        let proxy = testkit::proxy::Proxy::start(upstream).await.expect("a port");
        proxy.set(passage);
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(proxy.address.port())).expect("a port");
        Self { url: url.into(), proxy }
    }

    /// Tells all clients what a broker short of memory tells those that publish: connection.blocked, class 10, method 60.
    pub fn raise_alarm(&self) {
        let reason = b"low on memory";
        let mut arguments = vec![u8::try_from(reason.len()).expect("short")];
        arguments.extend_from_slice(reason);
        self.tell(60, &arguments);
    }

    /// connection.unblocked, class 10, method 61.
    pub fn clear_alarm(&self) {
        self.tell(61, &[]);
    }

    fn tell(&self, method: u8, arguments: &[u8]) {
        // Frame: type 1 (method), channel 0, size; class, method, arguments; end.
        let size = u8::try_from(4 + arguments.len()).expect("short");
        let mut frame = vec![1, 0, 0, 0, 0, 0, size, 0, 10, 0, method];
        frame.extend_from_slice(arguments);
        frame.push(0xCE);
        self.proxy.forge(frame);
    }
}

impl Deref for Proxy {
    type Target = testkit::proxy::Proxy;

    fn deref(&self) -> &Self::Target {
        &self.proxy
    }
}

/// Long enough for what must not happen.
pub async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}
