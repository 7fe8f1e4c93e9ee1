//! Who the world's web servers are: one certificate for all names, and the authority that signed it.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

const NAMES: [&str; 6] =
    ["example.com", "*.example.com", "*.wild.example.com", "*.example.net", "*.example.org", "localhost"];

/// The authority's certificate as PEM, and what the servers show.
pub(super) fn identity() -> (String, Arc<ServerConfig>) {
    let mut above = CertificateParams::new(Vec::new()).expect("no names are no bad names");
    above.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    above.distinguished_name.push(rcgen::DnType::CommonName, "authority of the stage");
    let authority = CertifiedIssuer::self_signed(above, key()).expect("a new key signs");
    let own = key();
    let names = NAMES.map(str::to_owned).to_vec();
    let leaf = CertificateParams::new(names).expect("they are names").signed_by(&own, &authority).expect("it signs");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let secret = PrivateKeyDer::try_from(own.serialize_der()).expect("it was just made");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], secret)
        .expect("the key is the certificate's");
    (authority.as_ref().pem(), Arc::new(config))
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the host has random numbers")
}
