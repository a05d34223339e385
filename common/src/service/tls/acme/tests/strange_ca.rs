//! A CA that says what pebble never says: when to renew (RFC 9773), and when to come
//! back.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{extract::Request, http::header, response::IntoResponse as _, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{super::driver::Driver, super::schedule::Output, *};
use crate::{
    config::TlsFiles,
    service::tls::{Certificates, tcp_server},
};

/// 2020-01-01: what such a suggestion wants is a renewal now.
const PAST: &str = "2020-01-01T00:00:00Z";

/// What the CA answers at `path`, besides its directory and nonces.
type Answers = fn(path: &str) -> Response;

struct StrangeCa {
    port: u16,
    asked: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl StrangeCa {
    /// Serves HTTPS that `folder`'s authority signs. What is asked beyond directory
    /// and nonces is counted.
    fn start(folder: &Folder, answers: Answers) -> Self {
        let names = vec!["127.0.0.1".to_owned()];
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &folder.authority).unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        fs::create_dir_all(&folder.path).unwrap();
        write("ca.pem", &folder.authority.pem());
        let files = TlsFiles {
            certificate: write("server.pem", &certificate.pem()),
            key: write("server.key", &key.serialize_pem()),
        };
        let loaded = Certificates::load(files, Gauge::noop()).unwrap();
        let tls = Some(Arc::new(tcp_server(loaded, None).unwrap()));
        let metrics = ListenerMetrics::new("inlet_test", "ca");
        let address = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(address, Options::default(), tls, metrics).unwrap();
        let (port, stop) = (listener.local_addr().port(), CancellationToken::new());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let routes = Router::new().fallback(async move |request: Request| {
            let path = request.uri().path();
            let nonce = [("replay-nonce", "bm9uY2U")];
            match path {
                "/dir" => directory(port).into_response(),
                "/nonce" => (nonce, "").into_response(),
                path => {
                    count.fetch_add(1, Ordering::SeqCst);
                    (nonce, answers(path)).into_response()
                }
            }
        });
        tokio::spawn(listener.serve(routes, stop.clone()));
        Self { port, asked, stop }
    }

    /// A driver with an account at this CA, and a certificate.
    fn driver(&self, folder: &Folder) -> Driver {
        let mut settings = folder.settings(Challenge::TlsAlpn01);
        settings.directory = format!("https://127.0.0.1:{}/dir", self.port);
        settings.directory_ca = Some(folder.path.join("ca.pem"));
        let store = Store::new(&settings.state_dir, &settings.directory);
        let key = URL_SAFE_NO_PAD.encode(KeyPair::generate().unwrap().serialize_der());
        let account = format!(
            "{{\"contact\": [], \"credentials\": {{\"id\": \"https://127.0.0.1:{}/account\", \
             \"key_pkcs8\": \"{key}\", \"directory\": \"{}\"}}}}",
            self.port, settings.directory
        );
        store.keep_account(account.as_bytes()).unwrap();
        store.keep_certificate(folder.issue().as_bytes()).unwrap();
        Driver::new(Acme::load(settings, "inlet_test", Gauge::noop()).unwrap())
    }
}

impl Drop for StrangeCa {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Folder {
    /// Chain and key for both names, for a thousand years; with an authority key
    /// identifier, which RFC 9773 needs.
    fn issue(&self) -> String {
        let names = vec!["a.example".to_owned(), "b.example".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        format!("{}{}", certificate.pem(), key.serialize_pem())
    }
}

fn directory(port: u16) -> String {
    let url = |path: &str| format!("\"https://127.0.0.1:{port}/{path}\"");
    format!(
        "{{\"newNonce\": {}, \"newAccount\": {}, \"newOrder\": {}, \"renewalInfo\": {}}}",
        url("nonce"),
        url("new-account"),
        url("order"),
        url("renewal-info")
    )
}

#[tokio::test]
async fn a_suggestion_of_the_ca_brings_the_renewal_forward() {
    let folder = Folder::new();
    let ca = StrangeCa::start(&folder, |path| {
        // The identifier: two parts in base64url (RFC 9773 §4.1).
        let is_asked = path.starts_with("/renewal-info/") && path.matches('.').count() == 1;
        let window =
            format!("{{\"suggestedWindow\": {{\"start\": \"{PAST}\", \"end\": \"{PAST}\"}}}}");
        match is_asked {
            true => ([(header::RETRY_AFTER, "21600")], window).into_response(),
            false => StatusCode::NOT_FOUND.into_response(),
        }
    });
    let mut driver = ca.driver(&folder);
    let now = clock::utc();
    assert_eq!(driver.schedule.poll_output(now), Output::AskRenewalInfo);
    assert!(driver.schedule.due(now) > now);
    driver.ask_renewal_info().await;
    assert_eq!(ca.asked.load(Ordering::SeqCst), 1);
    assert_eq!(driver.schedule.poll_output(clock::utc()), Output::Order);
}

#[tokio::test]
async fn the_cas_word_on_when_to_come_back_is_heard() {
    let folder = Folder::new();
    let ca = StrangeCa::start(&folder, |_| {
        let head = [
            (header::RETRY_AFTER, "172800"),
            (header::CONTENT_TYPE, "application/problem+json"),
        ];
        let body = "{\"type\": \"urn:ietf:params:acme:error:rateLimited\", \"detail\": \"slow\"}";
        (StatusCode::TOO_MANY_REQUESTS, head, body).into_response()
    });
    let mut driver = ca.driver(&folder);
    let served = |driver: &Driver| driver.acme.resolver.current().unwrap().names().to_vec();
    let before = served(&driver);
    driver.attempt().await;
    let two_days = clock::utc().plus_micros(172_000 * 1_000_000);
    driver.schedule.handle_reload(clock::utc(), false);
    assert!(driver.schedule.due(clock::utc()) > two_days);
    assert_eq!(served(&driver), before);
    let why = &driver.acme.lock().last;
    assert!(
        why.starts_with("slow (rateLimited). the CA's rate limit"),
        "{why}"
    );
}

#[tokio::test]
async fn a_page_that_is_no_problem_document_is_the_cas_trouble() {
    let folder = Folder::new();
    let ca = StrangeCa::start(&folder, |_| {
        (StatusCode::BAD_GATEWAY, "<html>down</html>").into_response()
    });
    let mut driver = ca.driver(&folder);
    driver.attempt().await;
    let why = &driver.acme.lock().last;
    assert!(why.starts_with("answered 502 Bad Gateway"), "{why}");
}
