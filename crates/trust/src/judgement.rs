//! The time at which keys and signatures are judged.

use sequoia_openpgp::{
    policy::{HashAlgoSecurity, StandardPolicy},
    types::HashAlgorithm,
};

use crate::time::UnixSeconds;

/// Seconds by which a signature may lie in the future: clocks of two machines differ, and a virtual machine that just woke lags by minutes.
pub const SKEW: u64 = 15 * 60;

/// When a signature must have been right.
///
/// Algorithms are judged by sequoia's `StandardPolicy` at the same time, with two exceptions. Signatures on documents with SHA-1 or MD5 are refused at any time. What a certificate of the
/// keyring says about itself may be bound with SHA-1 at any time: Ubuntu's key of 2012, which signs living pockets, has no other self-signature; a forgery would need a second preimage,
/// which nobody can compute, and a place in the keyring, where it would need no forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// A living suite: the key must be valid at this time, the signature made before it (but for [`SKEW`]) and not expired.
    Now(UnixSeconds),
    /// An ended suite, whose keys have expired since: the signature must have been made in this time (both ends included), and the key is judged at the signature's own time.
    ///
    /// A key that was revoked as compromised is refused at any time.
    AtSignature {
        /// When the suite's life began.
        from: UnixSeconds,
        /// When the suite's life ended.
        until: UnixSeconds,
    },
}

impl Judgement {
    /// The time at which the maker of a signature of `signed_at` is looked at.
    pub(crate) fn time(&self, signed_at: UnixSeconds) -> UnixSeconds {
        match self {
            Judgement::Now(now) => *now,
            Judgement::AtSignature { .. } => signed_at,
        }
    }

    pub(crate) fn policy(&self, signed_at: UnixSeconds) -> StandardPolicy<'static> {
        let mut policy = StandardPolicy::at(self.time(signed_at).to_system());
        policy.accept_hash_property(HashAlgorithm::SHA1, HashAlgoSecurity::SecondPreImageResistance);
        policy
    }
}
