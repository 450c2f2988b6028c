//! A network between a process and its database that can fail.

use std::{io, path::PathBuf, time::Duration};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::AbortHandle,
};
use url::Url;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Cut,
    Open,
    Silent,
}

#[derive(Clone, Debug)]
enum Target {
    Socket(PathBuf),
    Tcp(String, u16),
}

/// A proxy on a free loopback port. It lives in the runtime that made it, and ends when dropped.
#[derive(Debug)]
pub struct Link {
    url: Url,
    state: watch::Sender<State>,
    accepting: AbortHandle,
}

impl Link {
    /// A proxy in front of the database at `url`; the way between the two is not encrypted.
    ///
    /// # Errors
    /// If `url` is not a PostgreSQL URL, or no port can be opened.
    pub async fn to(url: &Url) -> io::Result<Self> {
        let options: PgConnectOptions = url.as_str().parse().map_err(io::Error::other)?;
        let target = match options.get_socket() {
            Some(socket) => Target::Socket(socket.join(format!(".s.PGSQL.{}", options.get_port()))),
            None => Target::Tcp(options.get_host().to_owned(), options.get_port()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut through = url.clone();
        through.set_host(Some("127.0.0.1")).map_err(io::Error::other)?;
        let port = listener.local_addr()?.port();
        through.set_port(Some(port)).map_err(|()| io::Error::other("a URL without a port"))?;
        through.set_query(Some("sslmode=disable"));
        let state = watch::Sender::new(State::Open);
        let accepting = tokio::spawn(accept(listener, target, state.subscribe())).abort_handle();
        Ok(Self { url: through, state, accepting })
    }

    /// The database as it is reached through this proxy.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Breaks every connection, and every new one at once.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Lets nothing through any more, in silence; connections stay.
    pub fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    /// Lets everything through again.
    pub fn restore(&self) {
        self.state.send_replace(State::Open);
    }

    /// Cuts for a while.
    pub async fn cut_for(&self, time: Duration) {
        self.cut();
        tokio::time::sleep(time).await;
        self.restore();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: Target, state: watch::Receiver<State>) {
    while let Ok((near, _)) = listener.accept().await {
        if *state.borrow() != State::Cut {
            tokio::spawn(carry(near, target.clone(), state.clone()));
        }
    }
}

async fn carry(near: TcpStream, target: Target, state: watch::Receiver<State>) -> io::Result<()> {
    near.set_nodelay(true)?;
    match target {
        Target::Socket(path) => join(near, UnixStream::connect(path).await?, state).await,
        Target::Tcp(host, port) => join(near, TcpStream::connect((host, port)).await?, state).await,
    }
}

/// Until one side ends or the link is cut: both are closed then.
async fn join(
    near: TcpStream,
    far: impl AsyncRead + AsyncWrite + Send,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = tokio::io::split(far);
    let (there, back) = (state.clone(), state.clone());
    tokio::select! {
        done = pump(near_read, far_write, there) => done,
        done = pump(far_read, near_write, back) => done,
        _ = state.wait_for(|state| *state == State::Cut) => Ok(()),
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin + Send,
    mut to: impl AsyncWrite + Unpin + Send,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        if state.wait_for(|state| *state != State::Silent).await.is_err() {
            return Ok(());
        }
        to.write_all(&buffer[..length]).await?;
    }
}
