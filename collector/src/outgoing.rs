//! One request to somebody else's server: HTTP/1.1, one connection for each, no redirect ever followed.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Limited};
use hyper::header::{HOST, HeaderMap};
use hyper::http::request::Builder;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::credentials::provider;

/// Longest answer that is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A connection, over TLS or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What a server has answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most [`ANSWER_BYTES_MAX`] bytes.
    pub body: Vec<u8>,
}

/// Host and port a URL leads to; an IPv6 address without its brackets.
///
/// # Errors
/// It names no host.
pub fn host_and_port(url: &Uri) -> anyhow::Result<(String, u16)> {
    let host = url.host().context("the URL names no host")?.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_u16().unwrap_or(if is_https(url) { 443 } else { 80 });
    Ok((host.to_owned(), port))
}

fn is_https(url: &Uri) -> bool {
    url.scheme_str() == Some("https")
}

/// Connects to the first of the addresses that answers; the certificate has to be one of the URL's host that the system trusts.
///
/// # Errors
/// None answers, or TLS.
pub async fn connect(url: &Uri, addresses: &[SocketAddr]) -> anyhow::Result<Box<dyn Stream>> {
    let (host, port) = host_and_port(url)?;
    let tcp = TcpStream::connect(addresses).await.with_context(|| format!("connect to {host}:{port}"))?;
    if !is_https(url) {
        return Ok(Box::new(tcp));
    }
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    let name = ServerName::try_from(host)?;
    Ok(Box::new(tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, tcp).await?))
}

/// A POST to a path of the URL's host.
///
/// # Errors
/// The URL names no host.
pub fn post(url: &Uri, path: &str) -> anyhow::Result<Builder> {
    let host = url.authority().context("the URL names no host")?;
    Ok(Request::builder().method(Method::POST).uri(path).header(HOST, host.as_str()))
}

/// Sends a request and reads the answer.
///
/// # Errors
/// The connection ended before the answer did, or it is too long.
pub async fn exchange(stream: Box<dyn Stream>, request: Request<String>) -> anyhow::Result<Answer> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = Ended(tokio::spawn(connection));
    let response = sender.send_request(request).await?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    drop(connection);
    let body = body.map_err(|error| anyhow::anyhow!("its answer: {error}"))?.to_bytes();
    Ok(Answer { status: parts.status, headers: parts.headers, body: body.into() })
}

/// A task that ends when nobody waits for it any more.
struct Ended<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Ended<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
