//! Operator subcommands of `inlet-origin`.
//!
//! Those of keys work on the registry's file beside a running server, which
//! notices at once. A key's secret goes to standard output, once, and nowhere else.

mod sign;

use std::io::{self, Write};

use clap::Subcommand;
use inlet_common::{clock, clock::UtcTime, ids::ClientId};

pub use sign::{Error as SignError, SignCommand};

use crate::{
    config::Config,
    registry::{self, KeyId, KeyRecord, Registry},
};

/// What an operator may ask for instead of running the service.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Manages the keys of the stream API.
    #[command(subcommand)]
    Apikey(ApikeyCommand),
    /// Prints a stream's URLs with playback tokens in them.
    Sign(SignCommand),
}

/// What can be done with API keys.
#[derive(Clone, Debug, Subcommand)]
pub enum ApikeyCommand {
    /// Makes a key and prints it. It cannot be shown again.
    Create {
        /// The client whose streams the key opens.
        #[arg(long, default_value = "1")]
        client: ClientId,
        /// What the key is for; shown by `list`.
        #[arg(long, default_value = "")]
        label: String,
    },
    /// Lists every key, without its secret.
    List,
    /// Revokes a key: its next request is refused.
    Revoke {
        /// The key's number, the part before the `$`.
        id: KeyId,
    },
}

impl Command {
    /// Does what was asked for, with its result on `out`.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn run(self, config: &Config, out: &mut (impl Write + Send)) -> Result<(), Error> {
        let command = match self {
            Self::Apikey(command) => command,
            Self::Sign(command) => {
                let urls = command.run(config, clock::utc())?;
                return Ok(out.write_all(urls.as_bytes())?);
            }
        };
        let registry = Registry::open_existing(&config.state.registry).await?;
        let result = command.run(&registry, clock::utc(), out).await;
        registry.close().await;
        result
    }
}

impl ApikeyCommand {
    async fn run(
        self,
        registry: &Registry,
        now: UtcTime,
        out: &mut (impl Write + Send),
    ) -> Result<(), Error> {
        match self {
            Self::Create { client, label } => {
                let key = registry.create_key(client, &label, now).await?;
                writeln!(out, "{}", key.expose())?;
            }
            Self::List => {
                writeln!(
                    out,
                    "{:>6}  {:>6}  {:20}  {:20}  LABEL",
                    "ID", "CLIENT", "CREATED", "REVOKED"
                )?;
                for key in registry.keys().await? {
                    writeln!(out, "{}", line(&key))?;
                }
            }
            Self::Revoke { id } => {
                if !registry.revoke_key(id, now).await? {
                    return Err(Error::NoSuchKey(id));
                }
                writeln!(out, "revoked key {id}")?;
            }
        }
        Ok(())
    }
}

fn line(key: &KeyRecord) -> String {
    let show = |at: UtcTime| humantime::format_rfc3339_seconds(at.to_system_time()).to_string();
    let revoked = key.revoked_at.map_or_else(|| "-".to_owned(), show);
    // A label is an operator's text, but a terminal obeys control characters.
    let label: String = key.label.chars().filter(|c| !c.is_control()).collect();
    let created = show(key.created_at);
    format!(
        "{:>6}  {:>6}  {created:20}  {revoked:20}  {label}",
        key.id.0, key.client.0
    )
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry could not be opened or asked.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// There is no such key, or it was revoked before.
    #[error("there is no key {0} that could be revoked")]
    NoSuchKey(KeyId),
    /// No URL could be signed.
    #[error(transparent)]
    Sign(#[from] sign::Error),
    /// The result could not be written.
    #[error("cannot write the result")]
    Output(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::registry::ApiKey;

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        command: Command,
    }

    async fn run(config: &Config, arguments: &[&str]) -> Result<String, Error> {
        let arguments = ["inlet-origin", "apikey"].iter().chain(arguments);
        let mut out = Vec::new();
        Cli::try_parse_from(arguments)
            .unwrap()
            .command
            .run(config, &mut out)
            .await?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn config(folder: &crate::test_util::Folder) -> Config {
        let mut config = Config::default();
        config.state.registry = folder.path().join("registry.sqlite3");
        config
    }

    #[tokio::test]
    async fn a_key_is_made_listed_and_revoked_beside_a_running_server() {
        let folder = crate::test_util::Folder::new();
        let config = config(&folder);
        let server = Registry::open(&config.state.registry).await.unwrap();

        let key: ApiKey = run(&config, &["create", "--label", "billing"])
            .await
            .unwrap()
            .trim_end()
            .parse()
            .unwrap();
        assert_eq!(server.client_of_key(&key).await.unwrap(), Some(ClientId(1)));

        let list = run(&config, &["list"]).await.unwrap();
        assert!(list.contains("billing"), "{list}");
        let secret = key.expose().split_once('$').unwrap().1.to_owned();
        assert!(!list.contains(&secret), "{list}");

        let id = key.id().to_string();
        assert_eq!(
            run(&config, &["revoke", &id]).await.unwrap(),
            format!("revoked key {id}\n")
        );
        assert_eq!(server.client_of_key(&key).await.unwrap(), None);
        assert!(matches!(
            run(&config, &["revoke", &id]).await,
            Err(Error::NoSuchKey(_))
        ));
    }

    #[tokio::test]
    async fn a_key_for_nobody_is_refused() {
        let folder = crate::test_util::Folder::new();
        let config = config(&folder);
        Registry::open(&config.state.registry).await.unwrap();
        let error = run(&config, &["create", "--client", "7"])
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "there is no client 7");
    }

    #[tokio::test]
    async fn no_command_makes_a_registry() {
        let folder = crate::test_util::Folder::new();
        let config = config(&folder);
        let error = run(&config, &["list"]).await.unwrap_err();
        assert!(
            error.to_string().contains("start inlet-origin once"),
            "{error}"
        );
        assert!(!config.state.registry.exists());
    }
}
