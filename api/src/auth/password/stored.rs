//! Hashes that are stored: ours, those of chai-backend, and whatever else an adopted database holds.

use argon2::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use bcrypt::HashParts;
use store::MAX_BCRYPT_COST;

use super::argon::Hasher;

/// What every hash of ours begins with.
pub(super) const OURS: &str = "$argon2id$v=19$m=19456,t=2,p=1$";
/// The versions of bcrypt. Node's `bcrypt` writes `$2b$`.
const BCRYPT: [&str; 3] = ["$2a$", "$2b$", "$2y$"];

/// The most that checking a hash may cost, some seven times what one of ours does and above what libraries make it cost by
/// themselves. Otherwise whoever may write to the database holds a thread, and the memory, as long as the parameters say.
/// 64 MiB of memory …
const MAX_MEMORY_KIB: u32 = 64 * 1024;
/// … walked over as often as adds up to 256 MiB. What bcrypt may cost is the store's to say, which finds the users.
const MAX_WALKED_KIB: u64 = 256 * 1024;

/// Whether a password belongs to a hash. A hash that cannot be read or costs too much belongs to none.
pub(super) fn verify(hasher: &Hasher, password: &str, hash: &str) -> bool {
    if is_bcrypt(hash) {
        return bcrypt::verify(password, hash).unwrap_or(false);
    }
    PasswordHash::new(hash).is_ok_and(|hash| hasher.verify_password(password.as_bytes(), &hash).is_ok())
}

/// Whether a hash can be checked at a price that anybody may ask for. One that is malformed costs nothing.
pub(super) fn is_affordable(hash: &str) -> bool {
    if is_bcrypt(hash) {
        return hash.parse::<HashParts>().map_or(true, |parts| parts.get_cost() <= MAX_BCRYPT_COST);
    }
    let Ok(hash) = PasswordHash::new(hash) else { return true };
    let parameter = |name: &str| hash.params.get_decimal(name).unwrap_or_default();
    let (memory, passes) = (parameter("m"), parameter("t"));
    memory <= MAX_MEMORY_KIB && u64::from(memory) * u64::from(passes) <= MAX_WALKED_KIB
}

fn is_bcrypt(hash: &str) -> bool {
    BCRYPT.iter().any(|prefix| hash.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT_AND_HASH: &str = "c3RlZXAtbm9ib2R5LXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const BCRYPT_HASH: &str = "ABCDEFGHIJKLMNOPQRSTUuABCDEFGHIJKLMNOPQRSTUVWXYZabcde";

    #[test]
    fn a_hash_may_cost_what_libraries_make_it_cost_and_not_what_somebody_writes() {
        for (parameters, affordable) in [
            ("m=19456,t=2,p=1", true),
            ("m=47104,t=1,p=1", true),
            ("m=65536,t=3,p=4", true),
            ("m=65536,t=4,p=1", true),
            ("m=65536,t=5,p=1", false),
            ("m=65537,t=1,p=1", false),
            ("m=1048576,t=3,p=1", false),
            ("m=8,t=4294967295,p=1", false),
            ("m=4294967295,t=4294967295,p=1", false),
        ] {
            for kind in ["argon2id", "argon2i", "argon2d"] {
                let hash = format!("${kind}$v=19${parameters}${SALT_AND_HASH}");
                assert!(PasswordHash::new(&hash).is_ok(), "{hash}");
                assert_eq!(is_affordable(&hash), affordable, "{hash}");
            }
        }
        for (cost, affordable) in
            [("04", true), ("10", true), ("13", true), ("14", false), ("031", false), ("31", false)]
        {
            let hash = format!("$2b${cost}${BCRYPT_HASH}");
            assert!(hash.parse::<HashParts>().is_ok(), "{hash}");
            assert_eq!(is_affordable(&hash), affordable, "{hash}");
        }
        for malformed in ["", "plain", "$2b$", "$2b$xx$", "$argon2id$"] {
            assert!(is_affordable(malformed), "{malformed}");
        }
    }
}
