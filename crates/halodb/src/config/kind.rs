//! The types an option can have: what is allowed, and the field of [`Config`] it stands for.

use std::path::PathBuf;
use std::time::Duration;

use super::options::{Config, ConfigOption};
use super::setting::{Notation, Setting};

/// A field of the configuration, for reading and for writing.
#[derive(Debug)]
pub(super) struct Field<T> {
    pub(super) get: fn(&Config) -> &T,
    pub(super) get_mut: fn(&mut Config) -> &mut T,
}

/// Type, bounds (both allowed) and field.
#[derive(Debug)]
pub(super) enum Kind {
    Path {
        field: Field<PathBuf>,
    },
    Integer {
        min: u32,
        max: u32,
        field: Field<u32>,
    },
    Size {
        min: u64,
        max: u64,
        field: Field<u64>,
    },
    /// A size in bytes that is a power of two.
    PowerOfTwo {
        min: u32,
        max: u32,
        field: Field<u32>,
    },
    Duration {
        min: Duration,
        max: Duration,
        field: Field<Duration>,
    },
    Choice {
        names: &'static [&'static str],
        get: fn(&Config) -> &'static str,
        set: fn(&mut Config, &str),
    },
}

/// Why a value does not fit its option, without the place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl ConfigOption {
    /// `section.key`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// Section of the file, without brackets.
    pub fn section(&self) -> &'static str {
        self.section
    }

    /// Key in its section.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// Environment variable.
    pub fn variable(&self) -> String {
        format!("HALODB_{}__{}", self.section.to_ascii_uppercase(), self.key.to_ascii_uppercase())
    }

    /// What it is and when to change it, in whole sentences.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// What another value costs, in whole sentences.
    pub fn cost(&self) -> &'static str {
        self.cost
    }

    /// The default, as it is written in a file.
    pub fn default_value(&self) -> String {
        self.get(&Config::default()).render(Notation::Toml)
    }

    /// What is allowed, as it is written in a file: `1 to 256`, `"memory", "buffered" or "sync"`.
    pub fn allowed(&self) -> String {
        self.allowed_in(Notation::Toml)
    }

    pub(super) fn allowed_in(&self, notation: Notation) -> String {
        if let Kind::Choice { names, .. } = self.kind {
            let names: Vec<String> = names.iter().map(|name| Setting::Choice(name).render(notation)).collect();
            let (last, others) = names.split_last().expect("a choice has names");
            return format!("{} or {last}", others.join(", "));
        }
        let Some((min, max)) = self.bounds() else {
            return "a path".to_owned();
        };
        let suffix = if matches!(self.kind, Kind::PowerOfTwo { .. }) { ", a power of two" } else { "" };
        format!("{} to {}{suffix}", min.render(notation), max.render(notation))
    }

    /// The type in words, for "must be …".
    pub(super) fn noun(&self) -> &'static str {
        match self.kind {
            Kind::Path { .. } => "a path",
            Kind::Integer { .. } => "a whole number",
            Kind::Size { .. } | Kind::PowerOfTwo { .. } => "a size",
            Kind::Duration { .. } => "a duration",
            Kind::Choice { .. } => "a name",
        }
    }

    pub(super) fn bounds(&self) -> Option<(Setting, Setting)> {
        match self.kind {
            Kind::Path { .. } | Kind::Choice { .. } => None,
            Kind::Integer { min, max, .. } => Some((Setting::Integer(min), Setting::Integer(max))),
            Kind::Size { min, max, .. } => Some((Setting::Size(min), Setting::Size(max))),
            Kind::PowerOfTwo { min, max, .. } => Some((Setting::Size(min.into()), Setting::Size(max.into()))),
            Kind::Duration { min, max, .. } => Some((Setting::Duration(min), Setting::Duration(max))),
        }
    }

    pub(super) fn get(&self, config: &Config) -> Setting {
        match &self.kind {
            Kind::Path { field } => Setting::Path((field.get)(config).clone()),
            Kind::Integer { field, .. } => Setting::Integer(*(field.get)(config)),
            Kind::Size { field, .. } => Setting::Size(*(field.get)(config)),
            Kind::PowerOfTwo { field, .. } => Setting::Size((*(field.get)(config)).into()),
            Kind::Duration { field, .. } => Setting::Duration(*(field.get)(config)),
            Kind::Choice { get, .. } => Setting::Choice(get(config)),
        }
    }

    /// `setting` has been checked for this option.
    pub(super) fn set(&self, config: &mut Config, setting: Setting) {
        match (&self.kind, setting) {
            (Kind::Path { field }, Setting::Path(path)) => *(field.get_mut)(config) = path,
            (Kind::Integer { field, .. }, Setting::Integer(number)) => *(field.get_mut)(config) = number,
            (Kind::Size { field, .. }, Setting::Size(bytes)) => *(field.get_mut)(config) = bytes,
            (Kind::PowerOfTwo { field, .. }, Setting::Size(bytes)) => *(field.get_mut)(config) = bytes as u32,
            (Kind::Duration { field, .. }, Setting::Duration(duration)) => *(field.get_mut)(config) = duration,
            (Kind::Choice { set, .. }, Setting::Choice(name)) => set(config, name),
            (kind, setting) => {
                unreachable!("{setting:?} was made for another option than {kind:?}")
            }
        }
    }

    /// Bounds and other rules about this value alone.
    pub(super) fn check(&self, setting: &Setting, notation: Notation) -> Result<(), Fault> {
        let outside = |nearest: Setting| Fault {
            message: format!(
                "`{}` must be {}, not {}",
                self.name(),
                self.allowed_in(notation),
                setting.render(notation)
            ),
            hint: Some(format!("the nearest allowed value is {}", nearest.render(notation))),
        };
        if let Setting::Path(path) = setting {
            return if path.as_os_str().is_empty() {
                Err(Fault { message: format!("`{}` must not be empty", self.name()), hint: None })
            } else {
                Ok(())
            };
        }
        let Some((min, max)) = self.bounds() else {
            return Ok(());
        };
        if is_below(setting, &min) {
            return Err(outside(min));
        }
        if is_below(&max, setting) {
            return Err(outside(max));
        }
        if let (Kind::PowerOfTwo { .. }, Setting::Size(bytes)) = (&self.kind, setting)
            && !bytes.is_power_of_two()
        {
            let below = Setting::Size(bytes.next_power_of_two() / 2).render(notation);
            let above = Setting::Size(bytes.next_power_of_two()).render(notation);
            return Err(Fault {
                message: format!("`{}` must be a power of two, not {}", self.name(), setting.render(notation)),
                hint: Some(format!("the nearest allowed values are {below} and {above}")),
            });
        }
        Ok(())
    }
}

/// Settings of one option compare; of different types neither is below the other.
pub(super) fn is_below(a: &Setting, b: &Setting) -> bool {
    match (a, b) {
        (Setting::Integer(a), Setting::Integer(b)) => a < b,
        (Setting::Size(a), Setting::Size(b)) => a < b,
        (Setting::Duration(a), Setting::Duration(b)) => a < b,
        _ => false,
    }
}
