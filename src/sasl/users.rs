//! Names with their passwords.

use std::collections::BTreeMap;
use std::fmt;

use super::jaas::Entry;

/// A password: nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Who may prove to be whom, with which password.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<String, Secret>);

/// What one side proves itself with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl Secret {
    /// Hides a password.
    pub fn new(password: impl Into<String>) -> Secret {
        Secret(password.into())
    }

    /// The password, for the arithmetic alone.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Users {
    /// The users of a section: the options `user_NAME="password"` of all its modules. (SaslServerCallbackHandler)
    pub fn of_section(entries: &[Entry]) -> Users {
        let options = entries.iter().flat_map(|entry| &entry.options);
        let users = options.filter_map(|(key, value)| {
            let name = key.strip_prefix(USER_PREFIX)?;
            Some((name.to_owned(), value.clone()))
        });
        Users(users.collect())
    }

    /// Gives a user another password, if there is that user.
    pub fn change_password(&mut self, name: &str, password: Secret) {
        if let Some(known) = self.0.get_mut(name) {
            *known = password;
        }
    }

    /// A user's password.
    pub(super) fn password_of(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }
}

impl Credentials {
    /// The credentials of a section: the options `username` and `password` of its first module.
    /// (DigestLoginModule)
    pub fn of_section(entries: &[Entry]) -> Option<Credentials> {
        let options = &entries.first()?.options;
        let password = options.get("password")?.clone();
        let username = options.get("username")?.reveal().to_owned();
        Some(Credentials { username, password })
    }
}

const USER_PREFIX: &str = "user_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_printed() {
        let credentials = Credentials {
            username: "bob".to_owned(),
            password: Secret::new("hidden"),
        };
        assert_eq!(
            format!("{credentials:?}"),
            "Credentials { username: \"bob\", password: (secret) }"
        );
    }
}
