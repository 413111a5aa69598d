//! Keys and properties as they were set, read by the kinds of the options table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Origin};
use super::options::{self, Kind, Opt, PREFIX, Place, WITHOUT_EFFECT};
use super::{Note, Role, properties};

/// A value and where it was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What was set.
    pub value: String,
    /// Where.
    pub origin: Origin,
}

/// Java's system properties, as the command line and the environment give them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemProperties(BTreeMap<String, Setting>);

impl SystemProperties {
    /// Sets a property. What is set later wins.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>, origin: Origin) {
        let value = value.into();
        self.0.insert(name.into(), Setting { value, origin });
    }

    /// A property's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|setting| setting.value.as_str())
    }

    /// All names with their values.
    pub fn values(&self) -> BTreeMap<String, String> {
        let pairs = self.0.iter();
        pairs
            .map(|(name, setting)| (name.clone(), setting.value.clone()))
            .collect()
    }
}

/// Everything that was set, and the remarks made while it is read.
#[derive(Debug)]
pub(super) struct Settings {
    /// What messages about the whole name: the file, or the command line.
    pub place: String,
    /// Keys of zoo.cfg that are in the options table, and the lists of servers, groups and weights.
    pub keys: BTreeMap<String, Setting>,
    /// Properties: those of Java's machine, and over them what the file sets.
    pub properties: SystemProperties,
    /// What the operator is to be told.
    pub notes: Vec<Note>,
}

impl Settings {
    /// Without a file.
    pub fn new(place: String, properties: SystemProperties) -> Settings {
        Settings {
            place,
            keys: BTreeMap::new(),
            properties,
            notes: Vec::new(),
        }
    }

    /// From a file. Keys that are not in the table become properties, over those that were there before.
    pub fn from_file(path: &Path, bytes: &[u8], system: SystemProperties) -> Result<Settings, ConfigError> {
        let mut settings = Settings::new(path.display().to_string(), system);
        let entries = properties::parse(bytes).map_err(|error| ConfigError::Syntax {
            path: path.to_path_buf(),
            error,
        })?;
        for entry in entries {
            let key = java_trim(&entry.key).to_owned();
            let setting = Setting {
                value: java_trim(&entry.value).to_owned(),
                origin: Origin::File {
                    path: path.to_path_buf(),
                    line: entry.line,
                },
            };
            if is_listed(&key) {
                settings.add_to_list(key, setting)?;
            } else if is_key(&key) {
                settings.keys.insert(key, setting);
            } else {
                settings.properties.0.insert(format!("{PREFIX}{key}"), setting);
            }
        }
        Ok(settings)
    }

    /// Of a server, a group or a weight that is set twice, 3.4.14 takes the last. Who makes that mistake would lose a
    /// server, or start two ensembles.
    fn add_to_list(&mut self, key: String, setting: Setting) -> Result<(), ConfigError> {
        match self.keys.get(&key) {
            Some(first) if first.value != setting.value => Err(twice((&key, &setting), (&key, first))),
            Some(_) => {
                let note = format!("{}: {key}={} is there twice", setting.origin, setting.value);
                self.notes.push(Note::warn(note));
                Ok(())
            }
            None => {
                self.keys.insert(key, setting);
                Ok(())
            }
        }
    }

    fn find(&self, option: &Opt) -> Option<&Setting> {
        match option.place {
            Place::Key => self.keys.get(option.name),
            Place::Property | Place::StrictProperty => self.properties.0.get(option.name),
        }
    }

    /// A text, if it was set.
    pub fn text(&self, option: &Opt) -> Option<String> {
        self.find(option).map(|setting| setting.value.clone())
    }

    /// A directory, if it was set. None may be without a name: Java would take the working directory.
    pub fn directory(&self, option: &Opt) -> Result<Option<PathBuf>, ConfigError> {
        match self.find(option) {
            Some(setting) if setting.value.is_empty() => Err(bad_value(option.name, setting, option.kind)),
            setting => Ok(setting.map(|setting| PathBuf::from(&setting.value))),
        }
    }

    /// A number, or the option's default.
    pub fn number<T: TryFrom<i64>>(&mut self, option: &Opt) -> Result<T, ConfigError> {
        self.read(option, |text| parse_number(option.kind, text))
    }

    /// A number, if it was set.
    pub fn number_if_set<T: TryFrom<i64>>(&mut self, option: &Opt) -> Result<Option<T>, ConfigError> {
        match self.find(option) {
            None => Ok(None),
            Some(_) => self.number(option).map(Some),
        }
    }

    /// A switch, or the option's default.
    pub fn switch(&mut self, option: &Opt) -> bool {
        let setting = self.find(option);
        let value = setting.map_or(option.default, |setting| setting.value.as_str());
        let (on, known) = match option.kind {
            Kind::YesUnlessNo => (value != "no", matches!(value, "yes" | "no")),
            Kind::NoUnlessYes => (value == "yes", matches!(value, "yes" | "no")),
            _ => {
                let on = value.eq_ignore_ascii_case("true");
                (on, on || value.eq_ignore_ascii_case("false"))
            }
        };
        if let (Some(setting), false) = (setting, known) {
            let taken_as = match (option.kind, on) {
                (Kind::Bool, true) => "true",
                (Kind::Bool, false) => "false",
                (_, true) => "yes",
                (_, false) => "no",
            };
            let note = format!(
                "{}: {}={}: allowed is {}; taken as {taken_as}",
                setting.origin,
                option.name,
                setting.value,
                option.kind.allowed(),
            );
            self.notes.push(Note::warn(note));
        }
        on
    }

    /// A role, or the option's default.
    pub fn role(&mut self, option: &Opt) -> Result<Role, ConfigError> {
        self.read(option, parse_role)
    }

    fn read<T>(&mut self, option: &Opt, parse: impl Fn(&str) -> Option<T>) -> Result<T, ConfigError> {
        let refusal = match self.find(option) {
            None => no_default(&self.place, option),
            Some(setting) => match parse(&setting.value) {
                Some(value) => return Ok(value),
                None => bad_value(option.name, setting, option.kind),
            },
        };
        match parse(option.default) {
            Some(default) if self.find(option).is_none() => Ok(default),
            Some(default) if option.place == Place::Property => {
                let note = format!("{refusal}; the default {} is used", option.default);
                self.notes.push(Note::warn(note));
                Ok(default)
            }
            _ => Err(refusal),
        }
    }

    /// Tells the operator what has no effect: one line for each reason.
    pub fn note_what_has_no_effect(&mut self) {
        let mut groups: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let mut prefixed = Vec::new();
        let mut unknown = Vec::new();
        let keys = self.keys.iter().map(|(key, setting)| (key.as_str(), setting));
        let properties = self.properties.0.iter();
        let properties = properties.filter_map(|(name, s)| Some((name.strip_prefix(PREFIX)?, s)));
        for (key, setting) in keys.chain(properties) {
            let line = match &setting.origin {
                Origin::File { line, .. } => format!("{key} (line {line})"),
                Origin::CommandLine | Origin::Environment(_) => format!("-D{PREFIX}{key}"),
            };
            let in_file = matches!(setting.origin, Origin::File { .. });
            if provides_sasl(key, &setting.value) {
                continue;
            }
            if let Some(group) = WITHOUT_EFFECT.iter().position(|group| group.has(key)) {
                groups.entry(group).or_default().push(line);
            } else if is_key(key) || options::ALL.iter().any(|option| option.key() == Some(key)) || !in_file {
                continue;
            } else if options::ALL
                .iter()
                .any(|option| option.name == key && option.key().is_none())
            {
                prefixed.push(line);
            } else {
                unknown.push(line);
            }
        }
        for (group, names) in groups {
            self.note_names(&names, WITHOUT_EFFECT[group].why);
        }
        self.note_names(
            &prefixed,
            "these take effect as -D on the command line or in SERVER_JVMFLAGS only",
        );
        self.note_names(
            &unknown,
            "this server knows no such key; it is kept as a property",
        );
    }

    fn note_names(&mut self, names: &[String], why: &str) {
        if !names.is_empty() {
            let note = format!("{}: without effect: {}: {why}", self.place, names.join(", "));
            self.notes.push(Note::warn(note));
        }
    }

    /// The refusal of a missing key.
    pub fn missing(&self, key: &'static str, why: &'static str) -> ConfigError {
        ConfigError::Missing {
            place: self.place.clone(),
            key,
            why,
        }
    }

    /// The refusal of settings that do not go together.
    pub fn conflict(&self, reason: impl Into<String>) -> ConfigError {
        ConfigError::Conflict {
            place: self.place.clone(),
            reason: reason.into(),
        }
    }
}

/// The refusal of a value.
pub(super) fn bad_value(key: &str, setting: &Setting, kind: Kind) -> ConfigError {
    ConfigError::Value {
        origin: setting.origin.clone(),
        key: key.to_owned(),
        value: setting.value.clone(),
        allowed: kind.allowed(),
    }
}

/// The refusal of a second key for something that has one.
pub(super) fn twice(second: (&str, &Setting), first: (&str, &Setting)) -> ConfigError {
    let (second_key, second, first_key, first) = (second.0, second.1, first.0, first.1);
    ConfigError::Twice {
        second: format!("{}: {second_key}={}", second.origin, second.value),
        first: format!("{first_key}={} was set before, {}", first.value, first.origin),
    }
}

/// Reads a number that the kind allows.
pub(super) fn parse_number<T: TryFrom<i64>>(kind: Kind, text: &str) -> Option<T> {
    let (number, min, max) = match kind {
        Kind::Number(min, max) => (text.parse().ok()?, min, max),
        Kind::CNumber(min, max) => (parse_c_number(text)?, min, max),
        _ => return None,
    };
    if (min..=max).contains(&number) {
        T::try_from(number).ok()
    } else {
        None
    }
}

/// Reads a role. (QuorumPeerConfig)
pub(super) fn parse_role(text: &str) -> Option<Role> {
    match text.to_lowercase().as_str() {
        "participant" => Some(Role::Participant),
        "observer" => Some(Role::Observer),
        _ => None,
    }
}

/// Decimal, `0x` or `#` hexadecimal, `0` octal, with a sign before it. (Long.decode)
fn parse_c_number(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = ["0x", "0X", "#"]
        .iter()
        .find_map(|start| digits.strip_prefix(start));
    let (digits, radix) = match (hexadecimal, digits.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(octal)) if !octal.is_empty() => (octal, 8),
        _ => (digits, 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

/// Whether a property, without its prefix, switches the scheme `sasl` on. (ProviderRegistry)
pub(super) fn provides_sasl(key: &str, class: &str) -> bool {
    key.starts_with("authProvider.") && class.ends_with("SASLAuthenticationProvider")
}

/// Whether zoo.cfg gives the key a meaning of its own. (QuorumPeerConfig looks at the first letters of some.)
fn is_key(key: &str) -> bool {
    is_listed(key)
        || options::ALL
            .iter()
            .any(|option| option.place == Place::Key && option.name == key)
}

/// Whether the key is one of the lists of servers, groups and weights.
fn is_listed(key: &str) -> bool {
    key.starts_with("server.") || key.starts_with("group") || key.starts_with("weight")
}

fn no_default(place: &str, option: &Opt) -> ConfigError {
    ConfigError::Missing {
        place: place.to_owned(),
        key: option.name,
        why: "",
    }
}

/// Cuts what Java's String.trim cuts: all up to and including the blank.
fn java_trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}
