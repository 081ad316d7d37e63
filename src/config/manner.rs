//! How much is said, how, and for whom.

use super::layers::{Layers, number};
use crate::error::Result;

/// For whom results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// People.
    #[default]
    Human,
    /// Programs: one JSON object per line.
    Json,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal, where nothing speaks against it.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How much is said, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// `--output`.
    pub format: Format,
    /// `--color`.
    pub colour: Colour,
    /// How often `-v` was given.
    pub verbosity: u8,
    /// `--quiet`.
    pub quiet: bool,
}

impl Manner {
    /// Reads what concerns output alone, so that errors about the rest are shown in the right manner.
    ///
    /// # Errors
    /// `ErrorKind::Config` naming where the value came from.
    pub fn of(layers: &Layers) -> Result<Self> {
        Ok(Self {
            format: layers
                .one("output", |text| Ok(if text == "json" { Format::Json } else { Format::Human }))?
                .unwrap_or_default(),
            colour: layers.one("color", |text| Ok(colour(text)))?.unwrap_or_default(),
            verbosity: layers.one("verbose", |text| number(text, 0))?.unwrap_or(0),
            quiet: layers.flag("quiet")?,
        })
    }
}

fn colour(text: &str) -> Colour {
    match text {
        "always" => Colour::Always,
        "never" => Colour::Never,
        _ => Colour::Auto,
    }
}
