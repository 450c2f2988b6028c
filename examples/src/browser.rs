//! Waiting for the browser to come back: a loopback redirect on a free port.

use integration_core::{Error, ErrorKind, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A loopback address for one callback.
#[derive(Debug)]
pub struct Loopback(TcpListener);

fn failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Transport, "the loopback address for the browser does not work").with_source(error)
}

impl Loopback {
    /// Takes a free port.
    ///
    /// # Errors
    /// `Transport` if there is none.
    pub async fn bind() -> Result<Self> {
        TcpListener::bind("127.0.0.1:0").await.map(Self).map_err(failed)
    }

    /// The redirect to register with the authorisation, by this name of the machine itself (`127.0.0.1`, `localhost`).
    ///
    /// # Errors
    /// `Transport` if the socket is gone.
    pub fn redirect(&self, host: &str) -> Result<String> {
        Ok(format!("http://{host}:{}/callback", self.0.local_addr().map_err(failed)?.port()))
    }

    /// Waits for the browser and returns the callback's query.
    ///
    /// # Errors
    /// `Transport` if the connection breaks.
    pub async fn query(&self) -> Result<String> {
        loop {
            let (mut stream, _) = self.0.accept().await.map_err(failed)?;
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < 64 * 1024 {
                match stream.read(&mut chunk).await.map_err(failed)? {
                    0 => break,
                    read => request.extend_from_slice(&chunk[..read]),
                }
            }
            let line = String::from_utf8_lossy(&request);
            let target = line.split_whitespace().nth(1).unwrap_or_default();
            let (status, body) = match target.strip_prefix("/callback?") {
                Some(_) => ("200 OK", "You can close this window and go back to the program."),
                None => ("404 Not Found", "Nothing is here."),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.map_err(failed)?;
            if let Some(query) = target.strip_prefix("/callback?") {
                return Ok(query.to_owned());
            }
        }
    }
}
