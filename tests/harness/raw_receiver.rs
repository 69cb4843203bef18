//! A receiver that misbehaves below HTTP: what it does with its connections is a manner, which a test changes while it
//! runs. One that only answers wrongly is better written with `ScriptedReceiver`.

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::http_server::{LOOK_AGAIN, Recorded, read_request, wait_for_bytes};

/// Connections that are served at once, each by a thread; further ones are closed. Far more than a stream has pushes in
/// flight.
const MOST_CONNECTIONS: usize = 64;

/// Written at a time to a peer that is never told enough.
const PIECE: [u8; 16 * 1024] = [b'z'; 16 * 1024];

/// What is done with a connection, or with a request on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The request is read and answered 202, as it should be.
    Behave,
    /// The connection is reset before anything is read.
    Reset,
    /// The connection is taken, and then nothing is read and nothing written.
    Ignore,
    /// The request is read, and that is all.
    Silence,
    /// These bytes come before the peer has said anything, then nothing.
    Greet(Vec<u8>),
    /// The request is read, these bytes are written, and the connection is closed.
    Say(Vec<u8>),
    /// As `Say`, but the connection is reset.
    SayAndReset(Vec<u8>),
    /// As `Say`, but the connection stays open.
    SayAndStall(Vec<u8>),
    /// The request is read, and the answer comes one byte at a time.
    Drip { answer: Vec<u8>, every: Duration },
    /// The request is read; after these bytes others follow for as long as the peer takes them.
    Endless(Vec<u8>),
}

#[derive(Default)]
struct Shared {
    manner: Mutex<Option<Manner>>,
    requests: Mutex<Vec<Recorded>>,
    /// Connections that are open, by their number.
    open: Mutex<Vec<(usize, TcpStream)>>,
    connections: AtomicUsize,
    most_written: AtomicU64,
    closing: AtomicBool,
}

impl Shared {
    fn manner(&self) -> Manner {
        held(&self.manner).clone().unwrap_or(Manner::Behave)
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics here")
}

/// Serves until dropped; then its connections are closed, too.
pub struct RawReceiver {
    port: u16,
    shared: Arc<Shared>,
    /// The bound socket of one that does not listen yet.
    refusing: Mutex<Option<Socket>>,
}

impl RawReceiver {
    pub fn start(manner: Manner) -> Self {
        let receiver = Self::refusing();
        receiver.turn(manner);
        receiver
    }

    /// One that refuses connections, on a port that nobody else can take, until it is turned to another manner.
    pub fn refusing() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&anywhere.into()).expect("loopback has a free port");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket());
        Self {
            port: address.expect("a bound socket has an address").port(),
            shared: Arc::default(),
            refusing: Mutex::new(Some(socket)),
        }
    }

    /// Changes its manner, for connections and requests that come from now on.
    pub fn turn(&self, manner: Manner) {
        *held(&self.shared.manner) = Some(manner);
        if let Some(socket) = held(&self.refusing).take() {
            socket.listen(128).expect("a bound socket can listen");
            let shared = Arc::clone(&self.shared);
            std::thread::spawn(move || accept(&socket.into(), &shared));
        }
    }

    /// The absolute URL of a path here, for `endpoint_url` and `push_endpoints`.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// As `url`, with a scheme that is not spoken here.
    pub fn https_url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    /// All requests that were read, in whatever manner they were answered.
    pub fn requests(&self) -> Vec<Recorded> {
        held(&self.shared.requests).clone()
    }

    /// How many connections were taken so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many are open now.
    pub fn open(&self) -> usize {
        held(&self.shared.open).len()
    }

    /// Bytes written to the peer that took most on one connection in the manner `Endless`.
    pub fn most_written(&self) -> u64 {
        self.shared.most_written.load(Ordering::SeqCst)
    }
}

impl Drop for RawReceiver {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        for (_, stream) in held(&self.shared.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the accepting thread, which then drops the listener.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().map_while(Result::ok) {
        let mut open = held(&shared.open);
        if shared.is_closing() {
            return;
        }
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let Ok(copy) = stream.try_clone() else { continue };
        if open.len() >= MOST_CONNECTIONS {
            continue;
        }
        open.push((number, copy));
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let reset = serve(stream, &shared);
            let mut open = held(&shared.open);
            let place = open.iter().position(|(known, _)| *known == number);
            if let Some((_, last)) = place.map(|place| open.swap_remove(place)) {
                if reset {
                    // Closing with no time to linger sends RST.
                    let _ = SockRef::from(&last).set_linger(Some(Duration::ZERO));
                } else {
                    let _ = last.shutdown(Shutdown::Both);
                }
            }
        });
    }
}

/// Serves one connection to its end; true when it is to be reset.
fn serve(stream: TcpStream, shared: &Shared) -> bool {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    match shared.manner() {
        Manner::Reset => return true,
        Manner::Ignore => return wait_while_ignoring(shared),
        Manner::Greet(bytes) => {
            let _ = reader.get_mut().write_all(&bytes);
            return wait_for_its_end(&mut reader, shared);
        }
        _ => {}
    }
    while wait_for_bytes(&mut reader, &shared.closing) {
        let Some(request) = read_request(&mut reader) else {
            return false;
        };
        held(&shared.requests).push(request);
        let stream = reader.get_mut();
        match shared.manner() {
            Manner::Behave => {
                if stream
                    .write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
                    .is_err()
                {
                    return false;
                }
            }
            Manner::Reset => return true,
            Manner::Ignore | Manner::Silence | Manner::Greet(_) => return wait_for_its_end(&mut reader, shared),
            Manner::Say(bytes) => {
                let _ = stream.write_all(&bytes);
                return false;
            }
            Manner::SayAndReset(bytes) => {
                let _ = stream.write_all(&bytes);
                return true;
            }
            Manner::SayAndStall(bytes) => {
                let _ = stream.write_all(&bytes);
                return wait_for_its_end(&mut reader, shared);
            }
            Manner::Drip { answer, every } => return drip(stream, &answer, every, shared),
            Manner::Endless(start) => return pour(stream, &start, shared),
        }
    }
    false
}

fn drip(stream: &mut TcpStream, answer: &[u8], every: Duration, shared: &Shared) -> bool {
    for byte in answer {
        if shared.is_closing() || stream.write_all(&[*byte]).is_err() {
            return false;
        }
        std::thread::sleep(every);
    }
    false
}

fn pour(stream: &mut TcpStream, start: &[u8], shared: &Shared) -> bool {
    let mut written = 0;
    let mut pour = |bytes: &[u8]| {
        let poured = stream.write_all(bytes).is_ok();
        written += bytes.len() as u64;
        shared.most_written.fetch_max(written, Ordering::SeqCst);
        poured
    };
    let mut goes_on = pour(start);
    while goes_on && !shared.is_closing() {
        goes_on = pour(&PIECE);
    }
    false
}

/// Waits until the peer closes or this receiver is dropped, and reads what still comes.
fn wait_for_its_end(reader: &mut BufReader<TcpStream>, shared: &Shared) -> bool {
    while wait_for_bytes(reader, &shared.closing) {
        let mut rest = [0; 4096];
        if !matches!(reader.read(&mut rest), Ok(1..)) {
            break;
        }
    }
    false
}

/// Leaves everything that comes in the socket, where nobody can tell whether the peer is still there.
fn wait_while_ignoring(shared: &Shared) -> bool {
    let started = Instant::now();
    while !shared.is_closing() && started.elapsed() < super::DEADLINE {
        std::thread::sleep(LOOK_AGAIN);
    }
    false
}
