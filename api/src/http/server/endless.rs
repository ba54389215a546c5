//! A connection on which an answer has no end.
//!
//! What is written tells that the client has gone, but a stream may have nothing to write for long. So the other direction is looked
//! at, which is otherwise left alone until the answer is written, as a client may have ended it. Whoever reads a stream has not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Whether the present answer of a connection is a stream. Every request of the connection has it in its extensions, and begins with
/// it unset. The end of a stream does not unset it: its last bytes may wait for a client that reads nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Endless(Arc<AtomicBool>);

impl Endless {
    pub(crate) fn set(&self, is_endless: bool) {
        self.0.store(is_endless, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Fails as soon as the other side has hung up while an answer has no end.
#[derive(Debug)]
pub(super) struct Attentive {
    stream: TcpStream,
    endless: Endless,
}

impl Attentive {
    pub(super) fn new(stream: TcpStream, endless: Endless) -> Self {
        Self { stream, endless }
    }
}

impl AsyncRead for Attentive {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Attentive {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Asked for whenever there is nothing more to write. The task is then woken by what arrives, too.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.endless.is_set() {
            let mut byte = [0];
            if let Poll::Ready(peeked) = self.stream.poll_peek(cx, &mut ReadBuf::new(&mut byte))
                && peeked? == 0
            {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the client has hung up")));
            }
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::Ipv4Addr;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_client_that_has_hung_up_is_noticed_although_nothing_is_written() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut client, endless) = (client.expect("connected"), Endless::default());
        let mut stream = Attentive::new(accepted.expect("accepted").0, endless.clone());

        client.shutdown().await.expect("half of it is closed");
        stream.flush().await.expect("an answer that has an end is written to its end");
        endless.set(true);
        let noticed = poll_fn(|cx| match Pin::new(&mut stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => Poll::Pending,
            done => done,
        });
        assert_eq!(noticed.await.expect_err("nobody is there").kind(), io::ErrorKind::ConnectionAborted);
    }
}
