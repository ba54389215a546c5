//! The yardstick: nginx writing the same bodies to the same disk, without syncing and without a database.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use testkit::{Process, process};

/// A private nginx with one worker process and `dav_methods PUT`.
pub struct Nginx {
    pub address: SocketAddr,
    root: PathBuf,
    _process: Process,
}

impl Nginx {
    /// Starts one that keeps its files below a folder.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let program =
            ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"].iter().find(|path| Path::new(path).exists());
        let Some(program) = program else { bail!("nginx is not installed: apt-get install nginx-light") };
        let dir = dir.join("nginx");
        let root = dir.join("root");
        fs::create_dir_all(root.join("f"))?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = format!(
            "{user}worker_processes 1; daemon off; pid {dir}/pid; error_log {dir}/error.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; client_max_body_size 0; client_body_temp_path {dir}/body;\n\
             proxy_temp_path {dir}/t1; fastcgi_temp_path {dir}/t2; uwsgi_temp_path {dir}/t3; scgi_temp_path {dir}/t4;\n\
             server {{ listen {address}; location /f/ {{ root {root}; dav_methods PUT; }} }} }}\n",
            // As root, nginx would otherwise drop to a user who may not write here.
            user = if rustix::process::getuid().is_root() { "user root; " } else { "" },
            dir = dir.display(),
            root = root.display(),
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, config)?;
        let file = file.to_str().context("the folder's name is not UTF-8")?;
        let mut process = process::spawn("nginx", Path::new(program), &["-c", file], &[], &dir)?;
        process::until_listening(&mut process, address).await?;
        Ok(Self { address, root, _process: process })
    }

    /// Removes what was uploaded, so that runs do not fill the disk.
    pub fn clear(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(self.root.join("f"))?;
        fs::create_dir_all(self.root.join("f"))?;
        Ok(())
    }
}
