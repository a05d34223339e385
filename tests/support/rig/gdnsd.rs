//! gdnsd on loopback, as the other opinion on where clients are near to.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use anyhow::{Result, ensure};

use super::{Process, READY_PATIENCE, TAIL, ports, until};

/// Where clients may be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Datacentre {
    /// Its name.
    pub name: &'static str,
    /// Degrees north.
    pub north: f64,
    /// Degrees east.
    pub east: f64,
    /// Its address.
    pub address: Ipv4Addr,
}

impl Datacentre {
    /// One of them.
    pub const fn new(name: &'static str, north: f64, east: f64, address: [u8; 4]) -> Self {
        let [a, b, c, d] = address;
        Self {
            name,
            north,
            east,
            address: Ipv4Addr::new(a, b, c, d),
        }
    }
}

/// A running gdnsd.
pub struct Gdnsd {
    process: Process,
    folder: PathBuf,
    port: u16,
}

impl Gdnsd {
    /// Starts one that answers `whip.inlet.test` with the nearest of `pops`.
    ///
    /// # Errors
    ///
    /// When it ends, or does not listen in time; with the tail of its log.
    pub async fn start(database: &[u8], pops: &[Datacentre]) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let folder = env::temp_dir().join(format!("inlet-gdnsd-{}-{number}", std::process::id()));
        let [port] = ports::any()?;
        write(&folder, port, database, pops)?;
        let arguments = [
            "-c".to_owned(),
            folder.display().to_string(),
            "start".to_owned(),
        ];
        let log = folder.join("gdnsd.log");
        let mut process = Process::start("gdnsd", "gdnsd".as_ref(), arguments, log)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        until("gdnsd", READY_PATIENCE, async || {
            ensure!(process.is_running()?, "it ended\n{}", process.tail(TAIL));
            // UDP has nothing to connect to; both are bound at once.
            TcpStream::connect(address)?;
            Ok(())
        })
        .await?;
        Ok(Self {
            process,
            folder,
            port,
        })
    }

    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

impl Drop for Gdnsd {
    fn drop(&mut self) {
        // The process goes with it.
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// Writes what it reads: configuration, zone and database.
///
/// # Errors
///
/// When the folder cannot be written.
pub fn write(folder: &Path, port: u16, database: &[u8], pops: &[Datacentre]) -> Result<()> {
    for part in ["zones", "geoip", "run", "state"] {
        fs::create_dir_all(folder.join(part))?;
    }
    fs::write(folder.join("geoip/city.mmdb"), database)?;
    fs::write(folder.join("config"), config(folder, port, pops))?;
    let zone = "@ SOA ns1 hostmaster 1 7200 30M 3D 60\n@ NS ns1\nns1 A 127.0.0.1\n\
                whip 30 DYNA geoip!whip\n";
    Ok(fs::write(folder.join("zones/inlet.test"), zone)?)
}

fn config(folder: &Path, port: u16, pops: &[Datacentre]) -> String {
    let names: Vec<&str> = pops.iter().map(|pop| pop.name).collect();
    let each = |line: &dyn Fn(&Datacentre) -> String| -> String {
        pops.iter().map(|pop| line(pop) + "\n").collect()
    };
    format!(
        "options => {{ listen => 127.0.0.1:{port}, udp_threads => 1, tcp_threads => 1,\n\
         run_dir => {run}, state_dir => {state} }}\n\
         plugins => {{ geoip => {{\n\
         maps => {{ world => {{ geoip2_db => city.mmdb, datacenters => [{datacentres}],\n\
         auto_dc_coords => {{ {coordinates} }} }} }}\n\
         resources => {{ whip => {{ map => world, service_types => up, dcmap => {{ {addresses} }} }} }}\n\
         }} }}\n",
        run = folder.join("run").display(),
        state = folder.join("state").display(),
        datacentres = names.join(", "),
        coordinates = each(&|pop| format!("{} => [ {}, {} ]", pop.name, pop.north, pop.east)),
        addresses = each(&|pop| format!("{} => {}", pop.name, pop.address)),
    )
}
