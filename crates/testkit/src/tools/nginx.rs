//! An nginx of one's own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use xtask::services::locate;

use crate::Process;
use crate::process;

/// One worker process on a port of its own. It is killed when dropped.
#[derive(Debug)]
pub struct Nginx {
    pub address: SocketAddr,
    _process: Process,
}

impl Nginx {
    /// The program, if it is on this machine.
    pub fn find() -> Option<PathBuf> {
        locate::on_path("nginx")
    }

    /// Starts one that keeps its files in a folder, with these lines in its only server.
    pub async fn start(program: &Path, folder: &Path, server: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let address = process::free_address()?;
        let config = format!(
            "{user}worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; client_body_temp_path {folder}/t0; proxy_temp_path {folder}/t1;\n\
             fastcgi_temp_path {folder}/t2; uwsgi_temp_path {folder}/t3; scgi_temp_path {folder}/t4;\n\
             server {{ listen {address};\n{server}\n}} }}\n",
            // As root, nginx would otherwise drop to a user who may not write here.
            user = if is_root(folder)? { "user root; " } else { "" },
            folder = folder.display(),
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, config)?;
        let file = file.to_str().context("the folder's name is not UTF-8")?;
        let mut process = process::spawn("nginx", program, &["-c", file], &[], folder)?;
        process::until_listening(&mut process, address).await?;
        Ok(Self { address, _process: process })
    }
}

/// Whether what we make belongs to root.
fn is_root(folder: &Path) -> anyhow::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata(folder)?.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_does_what_its_only_server_is_told() {
        let Some(program) = Nginx::find() else {
            return crate::tools::skip("an nginx", "nginx is not on this machine");
        };
        let folder = tempfile::tempdir().expect("a folder");
        let server = "location / { return 200 \"as told\"; }";
        let nginx = Nginx::start(&program, &folder.path().join("nginx"), server).await.expect("an nginx");
        let answer = reqwest::get(format!("http://{}/", nginx.address)).await.expect("an answer");
        assert_eq!(answer.text().await.expect("text"), "as told");
    }
}
