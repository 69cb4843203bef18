//! A value that must not be seen: it prints as `***` and cannot be serialised, so that logs, error texts and JSON
//! answers leave it out by construction. Reading it takes an explicit [`Secret::expose`].

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Wraps a secret. Never serialisable.
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    pub fn new(value: T) -> Self {
        Secret(value)
    }

    /// The value itself, for the one place that sends, seals or compares it.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// Gives the value up, for the one place that stores it.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl Secret<String> {
    /// Compares digests in constant time, so that neither content nor length of the secret shows in the time taken.
    pub fn eq_constant_time(&self, other: &str) -> bool {
        let [ours, theirs]: [[u8; 32]; 2] = [self.0.as_str(), other].map(|text| Sha256::digest(text).into());
        ours.ct_eq(&theirs).into()
    }
}

/// Also `==` takes constant time: there is no quick way to compare by accident.
impl PartialEq for Secret<String> {
    fn eq(&self, other: &Self) -> bool {
        self.eq_constant_time(&other.0)
    }
}

impl Eq for Secret<String> {}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Secret(value)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_prints_its_value() {
        let secret = Secret::new(String::from("hunter2"));
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
    }

    #[test]
    fn compares_whole_values() {
        let secret = Secret::new(String::from("hunter2"));
        for (guess, expected) in [("hunter2", true), ("hunter", false), ("hunter22", false), ("", false)] {
            assert_eq!(secret.eq_constant_time(guess), expected, "{guess}");
        }
        assert_eq!(secret, Secret::from(String::from("hunter2")));
    }
}
