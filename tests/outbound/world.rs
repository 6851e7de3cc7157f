//! Servers and proxies of the tests, on the test's own loop.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::LocalSet;

/// What a server does with each request.
#[derive(Clone)]
pub enum Script {
    Answer(String),
    /// The first request of all gets the first, later ones the second.
    Then(String, String),
    /// So many bytes of the answer, then the end.
    Cut(String, usize),
    /// So many bytes of the answer, then nothing more.
    Stall(String, usize),
    Silent,
    /// A body without an end.
    Endless,
}

pub struct World(Rc<State>);

#[derive(Default)]
struct State {
    port: Cell<u16>,
    accepted: Cell<usize>,
    open: Cell<usize>,
    heads: RefCell<Vec<String>>,
    hang_up: Notify,
}

pub fn on_loop(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, work);
}

impl World {
    pub async fn start(script: Script) -> World {
        World::listen(move |state, tcp| {
            let script = script.clone();
            tokio::task::spawn_local(async move {
                let _open = Open::new(&state);
                tokio::select! {
                    _ = serve(&state, tcp, &script) => {}
                    () = state.hang_up.notified() => {}
                }
            });
        })
        .await
    }

    /// Also the authority's certificate in PEM.
    pub async fn start_secure(script: Script) -> (World, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        let leaf_key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
        let pem = authority.pem();
        let issuer = rcgen::Issuer::new(params, key);
        let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                rustls::pki_types::PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let world = World::listen(move |state, tcp| {
            let (script, acceptor) = (script.clone(), acceptor.clone());
            tokio::task::spawn_local(async move {
                if let Ok(tls) = acceptor.accept(tcp).await {
                    let _ = serve(&state, tls, &script).await;
                }
            });
        })
        .await;
        (world, pem)
    }

    /// Counts only whom it lets through.
    pub async fn start_proxy(scheme: &'static str, user: &str, password: &str) -> World {
        let login = (user.to_owned(), password.to_owned());
        World::listen(move |state, mut tcp| {
            let login = login.clone();
            tokio::task::spawn_local(async move {
                let wanted = match scheme {
                    "http" => connect_wanted(&mut tcp, &login).await,
                    _ => socks_wanted(&mut tcp, &login).await,
                };
                let Ok(Some(address)) = wanted else { return };
                state.heads.borrow_mut().push(address.clone());
                let mut server = TcpStream::connect(address).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut tcp, &mut server).await;
            });
        })
        .await
    }

    async fn listen(serve: impl Fn(Rc<State>, TcpStream) + 'static) -> World {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Rc::new(State::default());
        state.port.set(listener.local_addr().unwrap().port());
        let shared = state.clone();
        tokio::task::spawn_local(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                shared.accepted.set(shared.accepted.get() + 1);
                serve(shared.clone(), tcp);
            }
        });
        World(state)
    }

    pub fn port(&self) -> u16 {
        self.0.port.get()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port())
    }

    pub fn accepted(&self) -> usize {
        self.0.accepted.get()
    }

    pub fn open(&self) -> usize {
        self.0.open.get()
    }

    /// Requests that came whole.
    pub fn seen(&self) -> usize {
        self.0.heads.borrow().len()
    }

    pub fn heads(&self) -> Vec<String> {
        self.0.heads.borrow().clone()
    }

    /// Closes what is open.
    pub fn hang_up(&self) {
        self.0.hang_up.notify_waiters();
    }

    pub async fn until(&self, holds: impl Fn(&World) -> bool) {
        for _ in 0..2_000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it never came true");
    }
}

struct Open<'a>(&'a State);

impl<'a> Open<'a> {
    fn new(state: &'a State) -> Open<'a> {
        state.open.set(state.open.get() + 1);
        Open(state)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

async fn serve<S>(state: &State, mut stream: S, script: &Script) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let head = read_head(&mut stream).await?;
        state.heads.borrow_mut().push(head);
        match script {
            Script::Answer(answer) => stream.write_all(answer.as_bytes()).await?,
            Script::Then(first, later) => {
                let first_time = state.heads.borrow().len() == 1;
                let answer = if first_time { first } else { later };
                stream.write_all(answer.as_bytes()).await?;
            }
            Script::Cut(answer, at) => {
                stream.write_all(&answer.as_bytes()[..*at]).await?;
                return stream.shutdown().await;
            }
            Script::Stall(answer, at) => {
                stream.write_all(&answer.as_bytes()[..*at]).await?;
                stream.flush().await?;
                return wait_for_end(&mut stream).await;
            }
            Script::Silent => return wait_for_end(&mut stream).await,
            Script::Endless => {
                let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(head).await?;
                loop {
                    stream.write_all(b"5\r\ntick\n\r\n").await?;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
        stream.flush().await?;
    }
}

async fn wait_for_end(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut rest = [0; 64];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

type Wanted = std::io::Result<Option<String>>;

async fn connect_wanted(tcp: &mut TcpStream, login: &(String, String)) -> Wanted {
    use base64::Engine as _;
    let head = read_head(tcp).await?;
    let token =
        base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", login.0, login.1));
    if !head.contains(&format!("proxy-authorization: Basic {token}\r\n")) {
        tcp.write_all(b"HTTP/1.1 407 Who\r\n\r\n").await?;
        return Ok(None);
    }
    tcp.write_all(b"HTTP/1.1 200 Go on\r\n\r\n").await?;
    let target = head.strip_prefix("CONNECT ").unwrap();
    Ok(Some(target.split(' ').next().unwrap().to_owned()))
}

async fn socks_wanted(tcp: &mut TcpStream, login: &(String, String)) -> Wanted {
    let mut hello = [0; 3];
    tcp.read_exact(&mut hello).await?;
    assert_eq!(hello, [5, 1, 2]);
    tcp.write_all(&[5, 2]).await?;
    assert_eq!(tcp.read_u8().await?, 1);
    let mut given = [String::new(), String::new()];
    for word in &mut given {
        let mut bytes = vec![0; usize::from(tcp.read_u8().await?)];
        tcp.read_exact(&mut bytes).await?;
        *word = String::from_utf8(bytes).unwrap();
    }
    if given != [login.0.clone(), login.1.clone()] {
        tcp.write_all(&[1, 1]).await?;
        return Ok(None);
    }
    tcp.write_all(&[1, 0]).await?;
    let mut head = [0; 5];
    tcp.read_exact(&mut head).await?;
    assert_eq!(head[..4], [5, 1, 0, 3]);
    let mut host = vec![0; usize::from(head[4])];
    tcp.read_exact(&mut host).await?;
    let port = tcp.read_u16().await?;
    tcp.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    Ok(Some(format!("{}:{port}", String::from_utf8(host).unwrap())))
}
