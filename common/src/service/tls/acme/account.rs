//! The account at the CA: made once, kept, and made anew when the CA has lost it.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use instant_acme::{
    Account, AccountCredentials, Error as AcmeError, ExternalAccountKey, NewAccount,
};
use serde::{Deserialize, Serialize};

use super::{
    client::Client,
    failure::Failure,
    schedule::Kind,
    store::{self, Store},
};
use crate::{
    config::acme::{ExternalAccount, Settings},
    service::credential,
};

/// base64url, with and without padding: CAs hand out both.
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `account.json`.
#[derive(Serialize, Deserialize)]
struct Kept {
    contact: Vec<String>,
    credentials: AccountCredentials,
}

/// The kept account, or a new one, which is kept before it is used.
pub(super) async fn open(
    settings: &Settings,
    store: &Store,
    client: &Client,
) -> Result<Account, Failure> {
    let kept = store.account()?;
    let kept = kept.and_then(|json| match serde_json::from_slice::<Kept>(&json) {
        Ok(kept) => Some(kept),
        Err(error) => {
            tracing::warn!(%error, "the kept ACME account cannot be read; a new one is made");
            None
        }
    });
    match kept {
        Some(kept) => resume(settings, store, client, kept).await,
        None => create(settings, store, client).await,
    }
}

async fn resume(
    settings: &Settings,
    store: &Store,
    client: &Client,
    kept: Kept,
) -> Result<Account, Failure> {
    let failure = |error| Failure::of(error, settings.challenge, None);
    let is_known = kept.contact == settings.contact;
    let json = serde_json::to_vec(&Kept {
        contact: settings.contact.clone(),
        credentials: copy(&kept.credentials)?,
    });
    let builder = Account::builder_with_http(Box::new(client.clone()));
    let account = builder.from_credentials(kept.credentials).await;
    let account = account.map_err(failure)?;
    if !is_known {
        let contact = contacts(settings);
        account.update_contacts(&contact).await.map_err(failure)?;
        store.keep_account(&json.map_err(|error| failure(error.into()))?)?;
        tracing::info!("contacts of the ACME account renewed");
    }
    Ok(account)
}

async fn create(settings: &Settings, store: &Store, client: &Client) -> Result<Account, Failure> {
    let failure = |error| Failure::of(error, settings.challenge, None);
    let external = settings.external_account.as_ref().map(external_key);
    let external = external.transpose()?;
    let contact = contacts(settings);
    let wanted = NewAccount {
        contact: &contact,
        // The sample configuration says that naming a domain is agreeing.
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let directory = settings.directory.clone();
    let (account, credentials) = Account::builder_with_http(Box::new(client.clone()))
        .create(&wanted, directory, external.as_ref())
        .await
        .map_err(failure)?;
    let kept = Kept {
        contact: settings.contact.clone(),
        credentials,
    };
    let json = serde_json::to_vec(&kept).map_err(|error| failure(AcmeError::Json(error)))?;
    store.keep_account(&json)?;
    tracing::info!(directory = settings.directory, "ACME account made");
    Ok(account)
}

fn contacts(settings: &Settings) -> Vec<&str> {
    settings.contact.iter().map(String::as_str).collect()
}

/// The library's credentials cannot be cloned.
fn copy(credentials: &AccountCredentials) -> Result<AccountCredentials, Failure> {
    let copied = serde_json::to_vec(credentials).and_then(|json| serde_json::from_slice(&json));
    copied.map_err(|error| Failure::new(Kind::Local, error.to_string(), "report it"))
}

/// Reads the HMAC key of an external account.
pub(super) fn external_key(external: &ExternalAccount) -> Result<ExternalAccountKey, Failure> {
    let path = credential::locate(&external.hmac_file);
    let text =
        std::fs::read_to_string(&path).map_err(|source| store::Error::Read { path, source })?;
    let key = BASE64_URL.decode(text.trim()).map_err(|_| {
        Failure::new(
            Kind::Local,
            "acme.eab_hmac_file holds no base64url",
            "write the HMAC key as the CA shows it",
        )
    })?;
    Ok(ExternalAccountKey::new(external.kid.clone(), &key))
}
