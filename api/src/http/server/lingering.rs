//! A connection that is closed in the middle of a request, after the answer.
//!
//! What arrives on a closed socket is answered with a reset, and a reset may overtake the answer, or make the client's system
//! throw it away unread. So the answer's side is closed first, and the other read on for a while. No library does that.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// For so long.
const LIMIT: Duration = Duration::from_secs(2);
const PIECE_BYTES: usize = 16 * 1024;

/// Whether something of a request was left unread. Every request of a connection has it in its extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unread(Arc<AtomicBool>);

impl Unread {
    pub(crate) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Reads on when it is shut down and something was left unread, until the other side hangs up or the time is over.
#[derive(Debug)]
pub(super) struct Lingering<S> {
    stream: S,
    unread: Unread,
    /// Until when, once nothing more can be written.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Lingering<S> {
    pub(super) fn new(stream: S, unread: Unread) -> Self {
        Self { stream, unread, until: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
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

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, unread, until } = &mut *self;
        if until.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            if !unread.is_noted() {
                return Poll::Ready(Ok(()));
            }
        }
        let until = until.get_or_insert_with(|| Box::pin(tokio::time::sleep(LIMIT)));
        let mut piece = [0; PIECE_BYTES];
        while until.as_mut().poll(cx).is_pending() {
            let mut piece = ReadBuf::new(&mut piece);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut piece));
            if read.is_err() || piece.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_still_comes_is_read_until_the_client_hangs_up_or_the_time_is_over() {
        for pieces in [3, 300] {
            let (server, mut client) = tokio::io::duplex(10);
            let unread = Unread::default();
            let mut server = Lingering::new(server, unread.clone());
            unread.note();
            let began = Instant::now();
            let sending = async {
                assert_eq!(client.read(&mut [0]).await.expect("an end"), 0, "the answer has an end at once");
                for _ in 0..pieces {
                    if client.write_all(&[0; 10]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                drop(client);
            };
            let closing = async {
                server.shutdown().await.expect("closed");
                let lasted = began.elapsed();
                drop(server);
                lasted
            };
            let (lasted, ()) = tokio::join!(closing, sending);
            let expected = LIMIT.min(Duration::from_millis(100 * pieces));
            assert_eq!(lasted.as_millis() / 10, expected.as_millis() / 10);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_requests_were_read_is_closed_at_once() {
        let (server, _client) = tokio::io::duplex(10);
        let began = Instant::now();
        Lingering::new(server, Unread::default()).shutdown().await.expect("closed");
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
