//! A private authority, the two certificates of the link, and that of TURN.
//!
//! Made anew at each start: the demonstration and the tests keep no secret
//! that anybody could come to rely on.

use std::{fs, net::Ipv4Addr, path::Path};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// Name by which the edge calls the origin.
pub(super) const ORIGIN_NAME: &str = "localhost";
/// Name by which the origin knows the edge.
const EDGE_NAME: &str = "edge.localhost";

/// Writes for an edge at `address` `ca.pem`, and `origin`, `edge` and `turn` with `.pem` and `.key`.
pub(super) fn write(folder: &Path, address: Ipv4Addr) -> Result<()> {
    write_for(folder, &[("turn", vec![address.to_string()])])
}

/// Likewise for several edges: in the place of `turn` the files of each, with the names
/// that clients call it by.
pub(super) fn write_for(folder: &Path, servers: &[(&str, Vec<String>)]) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "Inlet test authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    fs::write(folder.join("ca.pem"), authority.pem())?;
    let (server, client) = (
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    );
    let named = |name: &str| vec![name.to_owned()];
    leaf(folder, "origin", named(ORIGIN_NAME), &server, &authority)?;
    leaf(folder, "edge", named(EDGE_NAME), &client, &authority)?;
    for (file, names) in servers {
        leaf(folder, file, names.clone(), &server, &authority)?;
    }
    Ok(())
}

fn leaf(
    folder: &Path,
    file: &str,
    names: Vec<String>,
    usage: &ExtendedKeyUsagePurpose,
    authority: &CertifiedIssuer<'_, KeyPair>,
) -> Result<()> {
    let name = names.first().cloned().unwrap_or_default();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![usage.clone()];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    fs::write(folder.join(format!("{file}.pem")), certificate.pem())?;
    fs::write(folder.join(format!("{file}.key")), key.serialize_pem())?;
    Ok(())
}
