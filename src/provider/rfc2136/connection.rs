//! Connections to a server: one message at a time over each, kept open for the next (RFC 7766 section 6.2.1).

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::mutex::locked;

/// How long a connection waits for its next message. BIND closes after 30 s, others after as few as two.
const IDLE: Duration = Duration::from_secs(10);

/// Connections that wait for their next message.
#[derive(Clone, Default)]
pub(super) struct Connections {
    idle: Arc<Mutex<Vec<Idle>>>,
}

struct Idle {
    address: SocketAddr,
    stream: TcpStream,
    since: Instant,
}

impl Connections {
    /// Sends a message and returns the answer to it. One of the connections that wait is used where there is one; where it turns out
    /// that the server has closed it, a new one: messages to a primary may be sent twice, since a value is there or it is not.
    ///
    /// # Errors
    /// Those of the transport; [`io::ErrorKind::InvalidInput`] for a message over 65535 bytes.
    pub(super) async fn exchange(&self, address: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
        let length = u16::try_from(message.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let framed = [&length.to_be_bytes()[..], message].concat();
        if let Some(mut stream) = self.take(address)
            && let Ok(answer) = ask(&mut stream, &framed).await
        {
            self.keep(address, stream);
            return Ok(answer);
        }
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let answer = ask(&mut stream, &framed).await?;
        self.keep(address, stream);
        Ok(answer)
    }

    fn take(&self, address: SocketAddr) -> Option<TcpStream> {
        let mut idle = locked(&self.idle);
        let last = idle.iter().rposition(|it| it.address == address && it.since.elapsed() < IDLE)?;
        Some(idle.swap_remove(last).stream)
    }

    fn keep(&self, address: SocketAddr, stream: TcpStream) {
        let mut idle = locked(&self.idle);
        let is_first = idle.is_empty();
        idle.push(Idle { address, stream, since: Instant::now() });
        if is_first {
            let idle = Arc::downgrade(&self.idle);
            tokio::spawn(async move {
                loop {
                    sleep(IDLE).await;
                    let Some(idle) = idle.upgrade() else { return };
                    let mut idle = locked(&idle);
                    idle.retain(|it| it.since.elapsed() < IDLE);
                    if idle.is_empty() {
                        return;
                    }
                }
            });
        }
    }
}

async fn ask(stream: &mut TcpStream, framed: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(framed).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::net::TcpListener;

    use super::*;

    /// A server that sends each message back, so many to a connection, then closes; and how many connections it took.
    async fn echo(each: usize) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    for _ in 0..each {
                        let Ok(length) = stream.read_u16().await else { return };
                        let mut message = vec![0; usize::from(length)];
                        stream.read_exact(&mut message).await.unwrap();
                        stream.write_all(&[&length.to_be_bytes()[..], &message[..]].concat()).await.unwrap();
                    }
                });
            }
        });
        (address, connections)
    }

    #[tokio::test]
    async fn a_connection_is_used_again() {
        let (address, count) = echo(usize::MAX).await;
        let connections = Connections::default();
        for message in [&b"one"[..], b"two", b"three"] {
            assert_eq!(connections.exchange(address, message).await.unwrap(), message);
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_connection_that_the_server_closed_is_replaced() {
        let (address, count) = echo(1).await;
        let connections = Connections::default();
        for message in [&b"one"[..], b"two", b"three"] {
            assert_eq!(connections.exchange(address, message).await.unwrap(), message);
        }
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn none_is_left_open_for_long() {
        let (address, _) = echo(usize::MAX).await;
        let connections = Connections::default();
        connections.exchange(address, b"one").await.unwrap();
        assert_eq!(locked(&connections.idle).len(), 1);
        sleep(IDLE * 2).await;
        assert!(locked(&connections.idle).is_empty());
    }
}
