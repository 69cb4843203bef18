//! One workerd process with a data folder of its own, running the built Worker.
//!
//! The build is `build/quick`, made current once per test program; `HELIOGRAPH_BUILD` names another one and leaves
//! building to whoever set it (`npm test` does).

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::client::Client;
use super::wait::{DEADLINE, eventually};

/// The operator's token of every instance.
pub const ADMIN_TOKEN: &str = "test-operator-token";

/// 32 bytes, base64url. The same in every run, so that a kept data folder can be opened again.
const KEY_ENCRYPTION_KEY: &str = "dGVzdC1rZXktZW5jcnlwdGlvbi1rZXktMzItYnl0ZXM";

/// Below the range from which the system gives out ports by itself, so that no connection takes one that is between uses.
const PORTS: std::ops::Range<u32> = 20_000..32_000;

/// How much of workerd's log a failing test shows.
const LOG_TAIL_BYTES: usize = 8 * 1024;

/// What an instance is started with.
#[derive(Clone, Debug)]
pub struct Options {
    settings: Vec<(String, String)>,
    kv_stale_ms: u64,
    kv_slow_ms: u64,
}

impl Default for Options {
    /// An operator's token, an encryption key, and loopback endpoints allowed.
    fn default() -> Self {
        Self {
            settings: Vec::new(),
            kv_stale_ms: 0,
            kv_slow_ms: 0,
        }
        .set("ADMIN_TOKEN", ADMIN_TOKEN)
        .set("KEY_ENCRYPTION_KEY", KEY_ENCRYPTION_KEY)
        .set("ALLOW_LOOPBACK", "1")
    }
}

impl Options {
    /// Gives a setting a value, in place of the one it had.
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self = self.unset(name);
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// Takes a setting away.
    pub fn unset(mut self, name: &str) -> Self {
        self.settings.retain(|(known, _)| known != name);
        self
    }

    /// KV serves a key's old value for this long after a write.
    pub fn kv_stale_ms(mut self, milliseconds: u64) -> Self {
        self.kv_stale_ms = milliseconds;
        self
    }

    /// A write to KV takes so long.
    pub fn kv_slow_ms(mut self, milliseconds: u64) -> Self {
        self.kv_slow_ms = milliseconds;
        self
    }
}

/// A running Worker. Dropping it kills the process and removes its data.
pub struct Instance {
    port: u16,
    /// The bound socket, until workerd gets it.
    listener: Option<TcpListener>,
    data_dir: PathBuf,
    config: PathBuf,
    process: Option<Child>,
}

impl Instance {
    /// Starts an instance and waits until it answers. Panics with its log when it does not, for example because a setting is wrong.
    #[track_caller]
    pub fn start(options: Options) -> Self {
        let mut instance = Self::prepare(&options);
        instance.launch();
        instance.wait_until_ready();
        instance
    }

    /// As `start`, but does not ask whether the Worker is content with its settings.
    pub fn start_unchecked(options: Options) -> Self {
        let mut instance = Self::prepare(&options);
        instance.launch();
        instance
    }

    /// The origin that the tests use, and so the issuer unless `PUBLIC_URL` says otherwise: `http://127.0.0.1:{port}`.
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// An absolute URL of this instance.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// A client without credentials.
    pub fn anyone(&self) -> Client {
        Client::new(self.origin(), Some(self.log_path()))
    }

    /// A client with the operator's token.
    pub fn operator(&self) -> Client {
        self.anyone().bearer(ADMIN_TOKEN)
    }

    /// The folder with the objects' SQLite files.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Kills workerd with SIGKILL and waits until it is gone. From then on connections are refused.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("workerd can be killed");
            process.wait().expect("workerd can be waited for");
        }
    }

    /// Starts workerd again, on the same data and the same port, killing it first if it still runs.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
        self.wait_until_ready();
    }

    /// The end of what workerd printed so far, over all restarts.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log_path())
    }

    fn prepare(options: &Options) -> Self {
        let data_dir = fresh_directory();
        let listener = listen_somewhere();
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let mut command = Command::new("node");
        command.arg(root().join("scripts/serve/config.mjs"));
        command.arg("--data-dir").arg(&data_dir).arg("--build").arg(build());
        command.args([
            "--port",
            &port.to_string(),
            "--kv-stale-ms",
            &options.kv_stale_ms.to_string(),
            "--kv-slow-ms",
            &options.kv_slow_ms.to_string(),
        ]);
        for (name, value) in &options.settings {
            command.args(["--set", &format!("{name}={value}")]);
        }
        let config = PathBuf::from(output_of(command));
        Self {
            port,
            listener: Some(listener),
            data_dir,
            config,
            process: None,
        }
    }

    fn launch(&mut self) {
        // The socket is bound here and handed over as standard input: no other process can take the port in between.
        let listener = self.listener.take().unwrap_or_else(|| self.listen_again());
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("the log can be written");
        let process = Command::new(root().join("node_modules/workerd/bin/workerd"))
            .arg("serve")
            .arg(&self.config)
            .args(["--experimental", "--socket-fd", "http=0"])
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(log.try_clone().expect("the log can be shared"))
            .stderr(log)
            .spawn()
            .expect("workerd can be started");
        self.process = Some(process);
    }

    #[track_caller]
    fn wait_until_ready(&mut self) {
        let client = self.anyone();
        let started = Instant::now();
        loop {
            match client.try_get("/console.json") {
                Ok(answer) if answer.status == 200 => return,
                Ok(answer) => panic!("the Worker does not start: {answer}\n{}", self.log_tail()),
                Err(error) => {
                    let ended = self
                        .process
                        .as_mut()
                        .and_then(|process| process.try_wait().expect("workerd can be asked"));
                    assert!(ended.is_none(), "workerd ended ({ended:?}):\n{}", self.log_tail());
                    assert!(
                        started.elapsed() < DEADLINE,
                        "workerd does not answer ({error}):\n{}",
                        self.log_tail()
                    );
                }
            }
        }
    }

    fn listen_again(&self) -> TcpListener {
        eventually("the port is free", || {
            match TcpListener::bind(("127.0.0.1", self.port)) {
                Ok(listener) => Some(listener),
                Err(error) if error.kind() == ErrorKind::AddrInUse => None,
                Err(error) => panic!("cannot listen on port {}: {error}", self.port),
            }
        })
    }

    fn log_path(&self) -> PathBuf {
        self.data_dir.join("workerd.log")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- workerd on port {} ---\n{}", self.port, self.log_tail());
        }
        if std::env::var_os("HELIOGRAPH_KEEP_DATA").is_some() {
            eprintln!("kept {}", self.data_dir.display());
        } else {
            let _ = fs::remove_dir_all(&self.data_dir);
        }
    }
}

/// The last part of a log file.
pub(super) fn log_tail(path: &Path) -> String {
    let log = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let start = log.len().saturating_sub(LOG_TAIL_BYTES);
    let start = (start..log.len()).find(|&at| log.is_char_boundary(at)).unwrap_or(start);
    log[start..].to_owned()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The directory of the build under test, relative to the checkout.
fn build() -> &'static str {
    static BUILD: OnceLock<String> = OnceLock::new();
    BUILD.get_or_init(|| {
        std::env::var("HELIOGRAPH_BUILD").unwrap_or_else(|_| {
            let mut command = Command::new("node");
            command.arg(root().join("scripts/build.mjs")).arg("quick");
            output_of(command);
            "build/quick".to_owned()
        })
    })
}

fn output_of(mut command: Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// In memory where the system offers it: object storage there takes half the time.
fn fresh_directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let parent = Some(PathBuf::from("/dev/shm"))
        .filter(|shm| shm.is_dir())
        .unwrap_or_else(std::env::temp_dir);
    let name = format!(
        "heliograph-test-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let directory = parent.join(name);
    // What an earlier process with the same id left behind is not ours.
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a data folder can be made");
    directory
}

/// A socket on a port that nobody else has. Other test programs choose at the same time, hence a random start.
fn listen_somewhere() -> TcpListener {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let clock = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is set")
        .subsec_nanos();
    let span = PORTS.end - PORTS.start;
    (0..span)
        .map(|_| NEXT.fetch_add(7, Ordering::Relaxed))
        .map(|step| PORTS.start + (clock / 1_000 + std::process::id() * 31 + step) % span)
        .filter_map(|port| u16::try_from(port).ok())
        .find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
        .expect("some port is free")
}
