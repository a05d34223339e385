//! nginx with the same bytes as static files.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
};

use anyhow::Result;
use tests::rig::Nginx;

/// Starts it on a core of its own, with a file of each of these lengths named
/// by its length.
///
/// # Errors
///
/// When it cannot be started.
pub async fn start(folder: &Path, lengths: &[usize], core: usize) -> Result<(Nginx, SocketAddr)> {
    let files = folder.join("files");
    fs::create_dir_all(&files)?;
    for length in lengths {
        fs::write(files.join(length.to_string()), vec![b'7'; *length])?;
    }
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let nginx = Nginx::start(folder, &settings(&files, port), port, Some(core)).await?;
    Ok((nginx, (Ipv4Addr::LOCALHOST, port).into()))
}

/// As its handbook has it for small files that are asked for often.
fn settings(files: &Path, port: u16) -> String {
    let files = files.display();
    format!(
        "sendfile on;\ntcp_nopush on;\nkeepalive_requests 1000000000;\n\
         open_file_cache max=100;\nopen_file_cache_valid 1h;\n\
         server {{ listen 127.0.0.1:{port}; root {files}; }}"
    )
}
