//! The same data under other settings.

use std::path::Path;
use std::process::Command;

use crate::harness::Instance;

/// The encryption key of every instance; another one would open nothing that is stored.
pub const KEY_ENCRYPTION_KEY: &str = "dGVzdC1rZXktZW5jcnlwdGlvbi1rZXktMzItYnl0ZXM";

/// Restarts an instance with exactly these settings, on the same data and the same port.
#[track_caller]
pub fn restart_with(instance: &mut Instance, settings: &[(&str, &str)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let origin = instance.origin();
    let (_, port) = origin.rsplit_once(':').expect("an origin of ours has a port");
    let build = std::env::var("HELIOGRAPH_BUILD").unwrap_or_else(|_| "build/quick".to_owned());
    let mut command = Command::new("node");
    command.arg(root.join("scripts/serve/config.mjs"));
    command
        .arg("--data-dir")
        .arg(instance.data_dir())
        .args(["--port", port, "--build", &build]);
    for (name, value) in settings {
        command.args(["--set", &format!("{name}={value}")]);
    }
    let output = command.output().expect("node can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    instance.restart();
}
