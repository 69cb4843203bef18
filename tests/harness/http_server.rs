//! A small HTTP/1.1 server on loopback for scripted peers: a real socket, so that it can also misbehave below HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use socket2::SockRef;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub method: String,
    /// Path and query, as in the request line.
    pub target: String,
    /// In the order and with the spelling of the wire.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// When the last byte was read.
    pub at: Instant,
}

impl Recorded {
    /// The value of a header, whatever the spelling of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }
}

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// An ordinary answer. Content-Length is added.
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// These bytes and nothing else, then the connection is closed.
    Raw(Vec<u8>),
    /// The connection is closed in good order, without an answer.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing, until the server is dropped.
    Never,
}

impl Reply {
    /// An answer without a body.
    pub fn status(status: u16) -> Self {
        Self::Answer {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// An answer with a JSON body.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::status(status)
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    /// Adds a header to an answer.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Gives an answer a body.
    #[must_use]
    pub fn body(mut self, content: impl Into<Vec<u8>>) -> Self {
        if let Self::Answer { body, .. } = &mut self {
            *body = content.into();
        }
        self
    }
}

type Handler = dyn Fn(Recorded) -> Reply + Send + Sync;

/// Serves until dropped. Each connection has a thread, so `handler` may block.
pub struct HttpServer {
    port: u16,
    closing: Arc<AtomicBool>,
}

/// How often an idle connection looks whether the server is gone.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl HttpServer {
    pub fn start(handler: impl Fn(Recorded) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback can be listened on");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let closing = Arc::new(AtomicBool::new(false));
        let handler: Arc<Handler> = Arc::new(handler);
        let stop = Arc::clone(&closing);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (handler, stop) = (Arc::clone(&handler), Arc::clone(&stop));
                std::thread::spawn(move || serve(stream, &*handler, &stop));
            }
        });
        Self { port, closing }
    }

    /// `http://127.0.0.1:{port}`
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for HttpServer {
    /// Refuses connections from now on and lets go of those that are open.
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then drops the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Serves one connection until either side closes it.
fn serve(stream: TcpStream, handler: &Handler, closing: &AtomicBool) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    while wait_for_bytes(&mut reader, closing) {
        let Some(request) = read_request(&mut reader) else {
            return;
        };
        let bodiless = request.method == "HEAD";
        let stream = reader.get_mut();
        match handler(request) {
            Reply::Answer { status, headers, body } => {
                if write_answer(stream, status, &headers, &body, bodiless).is_err() {
                    return;
                }
            }
            Reply::Raw(bytes) => {
                let _ = stream.write_all(&bytes);
                return;
            }
            Reply::Close => {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            Reply::Reset => {
                // Closing with no time to linger sends RST.
                let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
                return;
            }
            Reply::Never => {
                while !closing.load(Ordering::SeqCst) {
                    std::thread::sleep(LOOK_AGAIN);
                }
                return;
            }
        }
    }
}

/// Waits for the first byte of the next request. False when the peer closed or the server is gone.
pub(super) fn wait_for_bytes(reader: &mut BufReader<TcpStream>, closing: &AtomicBool) -> bool {
    let _ = reader.get_ref().set_read_timeout(Some(LOOK_AGAIN));
    loop {
        match reader.fill_buf() {
            Ok(bytes) => {
                let open = !bytes.is_empty();
                let _ = reader.get_ref().set_read_timeout(Some(super::DEADLINE));
                return open;
            }
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                if closing.load(Ordering::SeqCst) {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
}

pub(super) fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Recorded> {
    let start = read_line(reader)?;
    let mut words = start.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request = Recorded {
        method,
        target,
        headers,
        body: Vec::new(),
        at: Instant::now(),
    };
    request.body = match (request.header("transfer-encoding"), request.header("content-length")) {
        (Some(_), _) => read_chunks(reader)?,
        (None, Some(length)) => read_exactly(reader, length.parse().ok()?)?,
        (None, None) => Vec::new(),
    };
    request.at = Instant::now();
    Some(request)
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(reader)?;
        let length = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        body.extend(read_exactly(reader, length)?);
        // The end of the chunk, or of the (absent) trailer after the last one.
        read_line(reader)?;
        if length == 0 {
            return Some(body);
        }
    }
}

fn read_exactly(reader: &mut BufReader<TcpStream>, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn read_line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&length| length > 0)?;
    Some(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn write_answer(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
    bodiless: bool,
) -> std::io::Result<()> {
    let mut message = format!("HTTP/1.1 {status} Scripted\r\n").into_bytes();
    for (name, value) in headers {
        message.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if status != 204 && status != 304 {
        message.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    message.extend_from_slice(b"\r\n");
    if !bodiless {
        message.extend_from_slice(body);
    }
    stream.write_all(&message)
}
