//! Cloudinary's official SDKs against the built program.
//!
//! They are installed by name and version into `.steep/sdk` of the workspace, and found there the next time. A machine
//! without Node or Python sees the test reported as skipped, with the reason; everything else that goes wrong is a failure.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use testkit::tools::{self, run};

use crate::restart::Program;

const NODE_SDK: &str = "2.11.0";
const PYTHON_SDK: &str = "1.46.3";

/// What the scripts expect of the server.
const ARGUMENTS: [&str; 8] =
    ["--admin", "--fetch-private", "--min-chunk", "1", "--preset", "open", "--oauth-token", "tok"];

fn skip(sdk: &str, reason: &str) {
    tools::skip(&format!("the {sdk} SDK was not tried"), reason);
}

/// Runs a script against a server of its own and shows what it said.
fn drive(program: &str, script: &str, path_name: &str, path: &Path) {
    let folder = TempDir::new().expect("a folder");
    let server = Program::start(folder.path(), &ARGUMENTS);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join("sdk").join(script);
    let mut command = Command::new(program);
    command.arg(script).env(path_name, path).env("CLOUDINARY_URL", &server.url).env("PYTHONDONTWRITEBYTECODE", "1");
    for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "CLOUDINARY_API_PROXY", "CLOUDINARY_CLOUD_NAME"]
    {
        command.env_remove(proxy);
    }
    match run(&mut command) {
        Ok(said) => println!("{said}"),
        Err(said) => panic!("{said}"),
    }
}

#[test]
fn the_node_sdk_works_unchanged() {
    let installed = tools::node_package("sdk", "cloudinary", NODE_SDK);
    match installed.unwrap_or_else(|reason| panic!("the Node SDK could not be installed: {reason}")) {
        Some(folder) => drive("node", "node.cjs", "NODE_PATH", &folder),
        None => skip("Node", "node and npm are not on this machine"),
    }
}

#[test]
fn the_python_sdk_works_unchanged() {
    let installed = tools::python_package("sdk", "cloudinary", PYTHON_SDK);
    match installed.unwrap_or_else(|reason| panic!("the Python SDK could not be installed: {reason}")) {
        Some(folder) => drive("python3", "python.py", "PYTHONPATH", &folder),
        None => skip("Python", "python3 with pip is not on this machine"),
    }
}
