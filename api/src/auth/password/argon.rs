//! Argon2 whose memory goes back to the system after every hash.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{CustomizedPasswordHasher, Error, PasswordHasher, Result};
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// So many blocks, allocated at once, get a mapping of their own, which is unmapped when they are freed. glibc keeps
/// smaller allocations for ever after the first hash: its threshold grows with what is freed, up to 32 MiB (mallopt(3),
/// `M_MMAP_THRESHOLD`). Only the blocks that are used are touched, so the rest costs addresses only.
const BLOCKS_WITH_A_MAPPING_OF_THEIR_OWN: usize = 40 * 1024 * 1024 / Block::SIZE;

/// Hashes with Argon2id and given parameters, and verifies with those of the hash at hand.
#[derive(Debug)]
pub(super) struct Hasher(pub(super) Params);

impl PasswordHasher<PasswordHash> for Hasher {
    fn hash_password_with_salt(&self, password: &[u8], salt: &[u8]) -> Result<PasswordHash> {
        self.hash_password_customized(password, salt, None, None, self.0.clone())
    }
}

/// For verifying.
impl CustomizedPasswordHasher<PasswordHash> for Hasher {
    type Params = Params;

    fn hash_password_customized(
        &self,
        password: &[u8],
        salt: &[u8],
        algorithm: Option<&str>,
        version: Option<u32>,
        params: Params,
    ) -> Result<PasswordHash> {
        let algorithm = algorithm.map(Algorithm::try_from).transpose()?.unwrap_or_default();
        let version = version.map(Version::try_from).transpose()?.unwrap_or_default();
        let (blocks, length) = (params.block_count(), params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN));
        let mut memory = Vec::new();
        memory.try_reserve_exact(blocks.max(BLOCKS_WITH_A_MAPPING_OF_THEIR_OWN)).map_err(|_| Error::OutOfMemory)?;
        memory.resize(blocks, Block::new());
        let mut buffer = [0; Output::MAX_LENGTH];
        let output = buffer.get_mut(..length).ok_or(Error::OutputSize)?;
        let described = ParamsString::try_from(&params)?;
        Argon2::new(algorithm, version, params).hash_password_into_with_memory(password, salt, output, &mut memory)?;
        Ok(PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: described,
            salt: Some(Salt::new(salt)?),
            hash: Some(Output::new(output)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier;

    use super::*;

    #[test]
    fn it_makes_the_hashes_that_the_library_makes() {
        let params = Params::new(64, 2, 1, None).expect("parameters");
        let theirs =
            Argon2::from(&params).hash_password_with_salt(b"correct horse", b"a salt of sixteen").expect("a hash");
        let ours = Hasher(params).hash_password_with_salt(b"correct horse", b"a salt of sixteen").expect("a hash");
        assert_eq!(ours.to_string(), theirs.to_string());
    }

    #[test]
    fn it_verifies_with_the_parameters_of_the_hash() {
        let hasher = Hasher(Params::new(64, 2, 1, None).expect("parameters"));
        let others = Params::new(128, 3, 2, Some(24)).expect("parameters");
        let hash =
            Argon2::new(Algorithm::Argon2i, Version::V0x10, others).hash_password(b"correct horse").expect("a hash");
        assert_eq!(hasher.verify_password(b"correct horse", &hash), Ok(()));
        assert_eq!(hasher.verify_password(b"correct house", &hash), Err(Error::PasswordInvalid));
    }
}
