//! The language in which the program speaks to people: English, or Chinese from the catalogue in `locales/`.
//!
//! A message is written in English where it is made, whole, and is the key of its translation:
//!
//! ```text
//! t!("order %{id} is unknown in %{region}", id, region = place.name())
//! ```
//!
//! English needs no catalogue. What is without a translation is said in English; a test sees to it that nothing is. Words for programs
//! (kinds of errors, names of events, states) are never translated.

use std::{
    borrow::Cow,
    fmt::Display,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::environment::Environment;

/// What `rust-i18n` makes of `locales/` at build time: one packed string, unpacked at the first look.
#[allow(unused, unreachable_pub, clippy::pedantic, clippy::all, reason = "a macro of `rust-i18n` writes what is in here")]
mod catalogue {
    rust_i18n::i18n!("locales");
}

/// Where `--lang` and its kin say nothing, the first of these that is set decides (POSIX, 8.2 Internationalization Variables).
const LOCALES: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

static CHINESE: AtomicBool = AtomicBool::new(false);

/// A language of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Chinese, in simplified characters.
    Chinese,
}

impl Language {
    /// As `--lang` has it, and the API of CAS: `en`, `zh`.
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// The language of this code; `None` for any other.
    pub fn of_code(code: &str) -> Option<Self> {
        [Self::English, Self::Chinese].into_iter().find(|language| language.code() == code)
    }

    /// The language of the environment's locale: Chinese for `zh` with whatever follows (`zh_CN.UTF-8`, `zh-Hans`), English for all others.
    pub fn of_locale(environment: &Environment) -> Self {
        let locale = LOCALES.iter().find_map(|name| environment.get(name)).unwrap_or_default();
        let language = locale.split(['_', '-', '.', '@']).next().unwrap_or_default();
        if language.eq_ignore_ascii_case("zh") { Self::Chinese } else { Self::English }
    }

    /// The language that the process speaks.
    pub fn current() -> Self {
        if CHINESE.load(Ordering::Relaxed) { Self::Chinese } else { Self::English }
    }

    /// Lets the process speak this language from now on.
    pub fn speak(self) {
        CHINESE.store(self == Self::Chinese, Ordering::Relaxed);
    }

    /// The translation of an English text into this language; the text itself where there is none.
    pub fn say(self, text: &str) -> &str {
        self.translation(text).unwrap_or(text)
    }

    /// The translation of an English text into this language; `None` where there is none, and in English.
    pub fn translation(self, text: &str) -> Option<&'static str> {
        if self == Self::English {
            return None;
        }
        match catalogue::_rust_i18n_try_translate(self.code(), text)? {
            Cow::Borrowed(translation) => Some(translation),
            Cow::Owned(_) => None,
        }
    }
}

/// The text in the language of the process; itself where it is no message.
pub fn say(text: &str) -> &str {
    Language::current().say(text)
}

/// The template in the language of the process, with each `%{name}` replaced by its value.
pub fn fill(template: &str, names: &[&str], values: &[&dyn Display]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    rust_i18n::replace_patterns(say(template), names, &values)
}

/// A message for people, in the language of the process: `&'static str` without values, `String` with.
///
/// As that of `rust-i18n`, except that `name` alone stands for `name = name`, and that a place of use is one call, not a page of code:
/// there are many hundreds.
macro_rules! t {
    ($text:literal $(,)?) => {
        $crate::language::say($text)
    };
    ($text:literal, $($values:tt)+) => {
        $crate::language::t!(@each $text, [] [] $($values)+)
    };
    (@each $text:literal, [$($name:expr),*] [$($value:expr),*] $next:ident = $is:expr $(, $($rest:tt)*)?) => {
        $crate::language::t!(@each $text, [$($name,)* stringify!($next)] [$($value,)* &$is] $($($rest)*)?)
    };
    (@each $text:literal, [$($name:expr),*] [$($value:expr),*] $next:ident $(, $($rest:tt)*)?) => {
        $crate::language::t!(@each $text, [$($name,)* stringify!($next)] [$($value,)* &$next] $($($rest)*)?)
    };
    (@each $text:literal, [$($name:expr),*] [$($value:expr),*]) => {
        $crate::language::fill($text, &[$($name),*], &[$($value),*])
    };
}

/// Marks a text of a table as a message, for the catalogue; whoever shows it calls [`say`].
macro_rules! message {
    ($text:literal) => {
        $text
    };
}

pub(crate) use {message, t};

#[cfg(test)]
mod tests {
    use super::*;

    fn of_locale<const N: usize>(variables: [(&str, &str); N]) -> Language {
        Language::of_locale(&Environment::of(variables))
    }

    #[test]
    fn the_first_variable_that_is_set_decides() {
        assert_eq!(of_locale([]), Language::English);
        assert_eq!(of_locale([("LANG", "zh_CN.UTF-8")]), Language::Chinese);
        assert_eq!(of_locale([("LANG", "zh_CN.UTF-8"), ("LC_MESSAGES", "en_GB.UTF-8")]), Language::English);
        assert_eq!(of_locale([("LANG", "en_US"), ("LC_MESSAGES", "de"), ("LC_ALL", "zh_CN")]), Language::Chinese);
        assert_eq!(of_locale([("LANG", "zh_CN"), ("LC_ALL", "")]), Language::Chinese, "empty is unset");
    }

    #[test]
    fn locales_are_told_by_their_language() {
        for locale in ["zh", "zh_CN", "zh_CN.UTF-8", "zh-Hans", "zh_SG.gb2312", "zh@x", "ZH_cn"] {
            assert_eq!(of_locale([("LANG", locale)]), Language::Chinese, "{locale}");
        }
        for locale in ["C", "C.UTF-8", "POSIX", "en_US.UTF-8", "zhx", "za_CN"] {
            assert_eq!(of_locale([("LANG", locale)]), Language::English, "{locale}");
        }
    }

    #[test]
    fn values_are_put_in_once() {
        let (name, other) = ("%{other}", 7);
        assert_eq!(t!("%{name} of %{other}: 5 %", name, other = other + 1), "%{other} of 8: 5 %");
        assert_eq!(t!("nothing to fill"), "nothing to fill");
    }
}
