//! What keeps one who connects from keeping others out: so many connections of one address, and an end for whoever takes
//! nothing of what they are sent.

use std::collections::HashMap;
use std::future::Future as _;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::held;
use crate::operators::throttle::net_of;

/// Connections of one address at the same time: a whole office may be behind one.
const PER_ADDRESS_MAX: usize = 512;
/// How long whoever is sent something may take nothing of it.
pub(in crate::web) const UNREAD: Duration = Duration::from_secs(30);

/// Connections by the address they come from.
#[derive(Debug, Default)]
pub(in crate::web) struct Doors {
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(in crate::web) struct Place {
    doors: Arc<Doors>,
    of: Option<IpAddr>,
}

impl Doors {
    /// A place for a connection of this address; none where it has as many as it may. An address of this machine is a
    /// proxy's, and so everybody's.
    pub(in crate::web) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let net = net_of(address);
        if net.is_loopback() {
            return Some(Place { doors: Arc::clone(self), of: None });
        }
        let mut open = held(&self.open);
        let count = open.entry(net).or_default();
        if *count >= PER_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Place { doors: Arc::clone(self), of: Some(net) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(net) = self.of else { return };
        let mut open = held(&self.doors.open);
        let left = open.get_mut(&net).map_or(0, |count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == 0 {
            open.remove(&net);
        }
    }
}

/// A stream that fails when what is written to it stays unread for too long.
#[derive(Debug)]
pub(in crate::web) struct Patient<S> {
    stream: S,
    patience: Duration,
    waits: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(in crate::web) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, waits: None }
    }

    fn or_over<T>(&mut self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waits = None;
            return polled;
        }
        let patience = self.patience;
        let waits = self.waits.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(waits.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.or_over(polled, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.or_over(polled, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.or_over(polled, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn one_address_has_so_many_connections_and_a_network_of_the_new_kind_is_one() {
        let doors = Arc::new(Doors::default());
        let mut places = Vec::new();
        for number in 0..=PER_ADDRESS_MAX as u16 {
            let place = doors.enter(IpAddr::from([0x2001, 0xdb8, 0, 7, 0, 0, 0, number]));
            assert_eq!(place.is_none(), usize::from(number) == PER_ADDRESS_MAX, "{number}");
            places.extend(place);
        }
        assert!(doors.enter(IpAddr::from([192, 0, 2, 1])).is_some(), "others come in");
        assert!((0..=PER_ADDRESS_MAX).all(|_| doors.enter(IpAddr::from([127, 0, 0, 1])).is_some()));
        places.pop();
        assert!(doors.enter(IpAddr::from([0x2001, 0xdb8, 0, 7, 9, 9, 9, 9])).is_some(), "one has gone");
        places.clear();
        assert!(held(&doors.open).is_empty());
    }

    #[tokio::test]
    async fn whoever_takes_nothing_is_let_go_and_whoever_is_slow_is_not() {
        let (near, far) = tokio::io::duplex(16);
        let mut near = Patient::new(near, Duration::from_millis(50));
        let error = near.write_all(&[7; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(far);

        let (near, mut far) = tokio::io::duplex(16);
        let mut near = Patient::new(near, Duration::from_secs(60));
        let written = tokio::spawn(async move { near.write_all(&[7; 64]).await });
        let mut all = [0; 64];
        far.read_exact(&mut all).await.unwrap();
        written.await.unwrap().unwrap();
    }
}
