//! SSH host keys for a guest that shares its own with everybody else of its image. Made here, since a guest
//! that just woke has little else to do and less chance.

use machine_core::promise::awakening::SshHostKey;
use machine_core::promise::provider::ProviderError;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey};

use super::host_refused;

const SEED: usize = 32;

/// A new Ed25519 host key: every OpenSSH of this decade knows them.
pub(super) fn fresh(hostname: &str) -> Result<SshHostKey, ProviderError> {
    let mut seed = [0; SEED];
    getrandom::fill(&mut seed).map_err(|error| host_refused("get random numbers", error))?;
    let pair = KeypairData::from(Ed25519Keypair::from_seed(&seed));
    let spelled = |error| host_refused("make an SSH host key", error);
    let key = PrivateKey::new(pair, format!("root@{hostname}")).map_err(spelled)?;
    Ok(SshHostKey {
        kind: "ed25519".to_owned(),
        private: key.to_openssh(LineEnding::LF).map_err(spelled)?.to_string(),
        public: key.public_key().to_openssh().map_err(spelled)? + "\n",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_another_and_openssh_spells_it() {
        let (a, b) = (fresh("a").unwrap(), fresh("a").unwrap());
        assert_ne!(a.private, b.private);
        assert!(a.private.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n"));
        assert!(a.public.starts_with("ssh-ed25519 ") && a.public.ends_with(" root@a\n"), "{}", a.public);
    }
}
