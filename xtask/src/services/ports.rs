//! TCP ports on the loopback address.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::Error;
use crate::error::IoContext as _;

/// Below the ports that Linux gives to clients (`ip_local_port_range`): one of those may be taken before a service has it.
const CHOICE: std::ops::Range<u16> = 12_000..32_000;

/// `N` different ports that were free a moment ago. Nothing holds them: a start that loses the race for one has to be
/// tried again with others.
pub fn free<const N: usize>() -> Result<[u16; N], Error> {
    // All are held until all are known, or one could be named twice.
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = free_one().doing(|| "finding a free port".into())?;
        *port = listener.local_addr().doing(|| "finding a free port".into())?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Drawn, so that who else looks for one at the same time finds another.
fn free_one() -> io::Result<TcpListener> {
    for _ in 0..1_000 {
        let drawn = RandomState::new().hash_one(()) % u64::from(CHOICE.end - CHOICE.start);
        let port = CHOICE.start + u16::try_from(drawn).unwrap_or_default();
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener);
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

/// Starts a service on ports from [`free`], up to three times: one that ended at once most likely lost a port to somebody.
pub(crate) fn try_again<T>(mut start: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 0..2 {
        match start() {
            Err(Error::Died { .. }) => {}
            other => return other,
        }
    }
    start()
}

/// Fails when something listens on `port`.
pub fn ensure_free(port: u16, service: &str, advice: &str) -> Result<(), Error> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(Error::PortBusy { port, service: service.into(), advice: advice.into() })
        }
        Err(source) => Err(Error::Io { what: format!("port {port} for {service} ({advice})"), source }),
    }
}

/// Whether something accepts connections on `port` right now.
pub fn answers(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Duration::from_millis(500)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_are_different_and_free() {
        let ports = free::<5>().unwrap();
        for (index, port) in ports.iter().enumerate() {
            assert!(!ports[..index].contains(port), "{ports:?}");
            ensure_free(*port, "test", "").unwrap();
        }
    }

    #[test]
    fn a_busy_port_is_named_with_its_service_and_the_way_out() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let message = ensure_free(port, "the api", "choose another with --api-port").unwrap_err().to_string();
        assert_eq!(
            message,
            format!("port {port} for the api is in use by another program; choose another with --api-port")
        );
        assert!(answers(port));
    }
}
