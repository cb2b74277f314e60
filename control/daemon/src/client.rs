//! The client of the API, for the command line.

use std::io;
use std::path::{Path, PathBuf};

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use tokio::net::UnixStream;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no paceline is listening on {}: start it with `paceline run`", .0.display())]
    NotRunning(PathBuf),
    /// The socket is somebody else's.
    #[error("{}: permission denied: the socket is its owner's alone, so run this as the user of `paceline run` (root)", .0.display())]
    Permission(PathBuf),
    /// The connection broke.
    #[error("{}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The other side does not speak HTTP, or hung up.
    #[error("{}: {source}", path.display())]
    Http {
        /// The socket.
        path: PathBuf,
        /// What is wrong.
        source: hyper::Error,
    },
    /// The answer is no JSON.
    #[error("{}: the answer is not understood: {source}", path.display())]
    Json {
        /// The socket.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The switch refused.
    #[error("{0}")]
    Refused(String),
}

/// A client of the API at a socket.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// It connects with each request.
    pub fn new(socket: &Path) -> Self {
        Self { path: socket.into() }
    }

    /// What there is at `path`, such as `/v1/interfaces`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.value(Method::GET, path, Body::empty()).await
    }

    /// Sends `body` to `path`; the answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, ClientError> {
        self.value(Method::POST, path, self.body(body)?).await
    }

    /// Sends `body` to `path`, whose answer is a stream.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn stream(&self, path: &str, body: &impl Serialize) -> Result<Stream, ClientError> {
        let body = self.send(Method::POST, path, self.body(body)?).await?.into_body();
        Ok(Stream { path: self.path.clone(), body })
    }

    fn body(&self, body: &impl Serialize) -> Result<Body, ClientError> {
        let json = serde_json::to_vec(body);
        json.map(Body::from).map_err(|source| ClientError::Json { path: self.path.clone(), source })
    }

    async fn value(&self, method: Method, path: &str, body: Body) -> Result<Value, ClientError> {
        let bytes = self.collect(self.send(method, path, body).await?).await?;
        serde_json::from_slice(&bytes).map_err(|source| ClientError::Json { path: self.path.clone(), source })
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = response.into_body().collect().await;
        Ok(body.map_err(|source| ClientError::Http { path: self.path.clone(), source })?.to_bytes())
    }

    async fn send(&self, method: Method, path: &str, body: Body) -> Result<Response<Incoming>, ClientError> {
        let http = |source| ClientError::Http { path: self.path.clone(), source };
        let stream = UnixStream::connect(&self.path).await.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning(self.path.clone())
            }
            io::ErrorKind::PermissionDenied => ClientError::Permission(self.path.clone()),
            _ => ClientError::Io { path: self.path.clone(), source },
        })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
        // It ends with the response; an error of it shows there.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "paceline")
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .body(body)
            .expect("a method, a path and two headers that are valid");
        let response = sender.send_request(request).await.map_err(http)?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let status = response.status();
        let bytes = self.collect(response).await?;
        let error = serde_json::from_slice::<Value>(&bytes).ok();
        let error = error.as_ref().and_then(|body| body["error"].as_str());
        Err(ClientError::Refused(error.map_or_else(|| status.to_string(), Into::into)))
    }
}

/// An answer that goes on.
#[derive(Debug)]
pub struct Stream {
    path: PathBuf,
    body: Incoming,
}

impl Stream {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// [`ClientError::Http`]
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|source| ClientError::Http { path: self.path.clone(), source })?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}
