//! The yardstick: nginx writing the same bodies to the same disk, without syncing and without a database.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use testkit::tools;

/// A private nginx with `dav_methods PUT`.
pub struct Nginx {
    pub address: SocketAddr,
    root: PathBuf,
    _process: tools::Nginx,
}

impl Nginx {
    /// Starts one that keeps its files below a folder.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let program = tools::Nginx::find().context("nginx is not installed: apt-get install nginx-light")?;
        let dir = dir.join("nginx");
        let root = dir.join("root");
        fs::create_dir_all(root.join("f"))?;
        let server =
            format!("client_max_body_size 0; location /f/ {{ root {root}; dav_methods PUT; }}", root = root.display());
        let process = tools::Nginx::start(&program, &dir, &server).await?;
        Ok(Self { address: process.address, root, _process: process })
    }

    /// Removes what was uploaded, so that runs do not fill the disk.
    pub fn clear(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(self.root.join("f"))?;
        fs::create_dir_all(self.root.join("f"))?;
        Ok(())
    }
}
