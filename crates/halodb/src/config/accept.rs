//! From what a user wrote to a [`Setting`], or to a fault with the best suggestion we can make.

use super::kind::{Fault, Kind};
use super::options::{Config, ConfigOption};
use super::setting::{Notation, Setting, quote};
use super::suggest;
use super::units;

/// A value as it was written, before it is known to fit.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "config"), expect(dead_code, reason = "the environment has texts only"))]
pub(super) enum Raw<'a> {
    /// Text in quotes, or any text of the environment.
    Text(&'a str),
    /// A whole number: as written, and its value if it is between 0 and 2^64 - 1.
    Number(&'a str, Option<u64>),
    /// Something no option takes, in words.
    Other(&'static str),
}

impl ConfigOption {
    pub(super) fn accept(&self, raw: Raw<'_>, notation: Notation) -> Result<Setting, Fault> {
        let setting = match (&self.kind, raw) {
            (_, Raw::Other(what)) => Err(self.must_be(what, self.example(notation))),
            (Kind::Integer { .. }, raw) => self.accept_integer(raw, notation),
            (Kind::Path { .. }, Raw::Text(text)) => Ok(Setting::Path(text.into())),
            (Kind::Path { .. }, Raw::Number(number, _)) => {
                Err(self.must_be(&format!("the bare number {number}"), format!("write {}", quote(number))))
            }
            (Kind::Choice { names, .. }, raw) => self.accept_name(names, raw, notation),
            (Kind::Size { .. } | Kind::PowerOfTwo { .. }, raw) => self.accept_unit(
                raw,
                notation,
                |text| units::parse_size(text).map(Setting::Size),
                |text| units::guess_size(text).map(Setting::Size),
            ),
            (Kind::Duration { .. }, raw) => self.accept_unit(
                raw,
                notation,
                |text| units::parse_duration(text).map(Setting::Duration),
                |text| units::guess_duration(text).map(Setting::Duration),
            ),
        }?;
        self.check(&setting, notation)?;
        Ok(setting)
    }

    fn must_be(&self, not: &str, hint: String) -> Fault {
        Fault { message: format!("`{}` must be {}, not {not}", self.name(), self.noun()), hint: Some(hint) }
    }

    /// A hint when nothing better is known.
    fn example(&self, notation: Notation) -> String {
        match self.kind {
            Kind::Choice { .. } => format!("one of {}", self.allowed_in(notation)),
            _ => format!("for example {}", self.get(&Config::default()).render(notation)),
        }
    }

    fn accept_integer(&self, raw: Raw<'_>, notation: Notation) -> Result<Setting, Fault> {
        let (written, number) = match raw {
            Raw::Text(text) if notation == Notation::Toml => {
                let hint = match text.trim().parse::<u32>() {
                    Ok(number) => format!("write {number}, without quotes"),
                    Err(_) => self.example(notation),
                };
                return Err(self.must_be(&format!("the text {}", quote(text)), hint));
            }
            Raw::Text(text) if !text.bytes().all(|byte| byte.is_ascii_digit()) || text.is_empty() => {
                return Err(self.must_be(&quote(text), self.example(notation)));
            }
            Raw::Text(text) => (text, text.parse().ok()),
            Raw::Number(written, number) => (written, number),
            Raw::Other(what) => return Err(self.must_be(what, self.example(notation))),
        };
        number.and_then(|number| u32::try_from(number).ok()).map(Setting::Integer).ok_or_else(|| Fault {
            message: format!("`{}` must be {}, not {written}", self.name(), self.allowed_in(notation)),
            hint: None,
        })
    }

    fn accept_name(&self, names: &[&'static str], raw: Raw<'_>, notation: Notation) -> Result<Setting, Fault> {
        let written = match raw {
            Raw::Text(text) => {
                if let Some(name) = names.iter().find(|name| **name == text) {
                    return Ok(Setting::Choice(name));
                }
                quote(text)
            }
            Raw::Number(number, _) => number.to_owned(),
            Raw::Other(what) => what.to_owned(),
        };
        let closest = match raw {
            Raw::Text(text) => suggest::closest(text, names.iter().copied()),
            _ => None,
        };
        Err(Fault {
            message: format!("`{}` must be {}, not {written}", self.name(), self.allowed_in(notation)),
            hint: closest.map(|name| format!("did you mean {}?", Setting::Choice(name).render(notation))),
        })
    }

    /// Sizes and durations.
    fn accept_unit(
        &self,
        raw: Raw<'_>,
        notation: Notation,
        parse: impl Fn(&str) -> Option<Setting>,
        guess: impl Fn(&str) -> Option<Setting>,
    ) -> Result<Setting, Fault> {
        let text = match raw {
            Raw::Text(text) => text,
            Raw::Number(number, _) => number,
            Raw::Other(what) => return Err(self.must_be(what, self.example(notation))),
        };
        if let (Raw::Text(_), Some(setting)) = (raw, parse(text)) {
            return Ok(setting);
        }
        let fits = |setting: &Setting| self.check(setting, notation).is_ok();
        let meant = guess(text).filter(fits).or_else(|| {
            // A number without a unit: bytes if that is a possible value, else the unit of the default.
            let default = self.get(&Config::default()).render(Notation::Bare);
            let unit = default.trim_start_matches(|c: char| c.is_ascii_digit());
            let units = if matches!(self.kind, Kind::Duration { .. }) { [unit, unit] } else { ["B", unit] };
            units.iter().find_map(|unit| guess(&format!("{}{unit}", text.trim())).filter(fits))
        });
        let hint = match meant {
            Some(setting) => format!("write {}", setting.render(notation)),
            None => self.example(notation),
        };
        let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let not = match raw {
            Raw::Text(_) if bare => format!("{}, which has no unit", quote(text)),
            Raw::Text(_) => quote(text),
            _ => format!("the bare number {text}"),
        };
        Err(self.must_be(&not, hint))
    }
}
