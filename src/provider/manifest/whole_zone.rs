//! Providers that can only replace a whole zone: allowed by the user once for each zone, and never without a copy of what was there.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
    provider::settings::Settings,
};

/// What the user allowed, and where copies go.
#[derive(Debug, Default)]
pub(super) struct WholeZone {
    allowed: Vec<Name>,
    /// Whether every zone may be replaced: where examples are played, no zone is real.
    every_zone: bool,
    folder: Option<PathBuf>,
}

impl WholeZone {
    /// Takes the settings `allow_zone_rewrite` (zones, separated by commas) and `zone_copies` (a folder).
    ///
    /// # Errors
    /// `ErrorKind::Config` for what is no name.
    pub(super) fn of(settings: &Settings) -> Result<Self> {
        let zones = settings.find("allow_zone_rewrite", &[])?.map(|found| found.value.expose().to_owned()).unwrap_or_default();
        let zones = zones.split(',').map(str::trim).filter(|zone| !zone.is_empty()).map(Name::parse).collect::<Result<_>>()?;
        let folder = settings.find("zone_copies", &[])?.map(|found| PathBuf::from(found.value.expose()));
        Ok(Self { allowed: zones, every_zone: false, folder })
    }

    /// For examples, which write to no service: every zone, with the copies in `folder`.
    pub(super) fn of_examples(folder: &Path) -> Self {
        Self { allowed: Vec::new(), every_zone: true, folder: Some(folder.to_owned()) }
    }

    /// Makes sure that `zone` may be replaced, and keeps `before` (the service's reply, whole): a file of mode 0600, on the disk when this returns.
    ///
    /// # Errors
    /// `ErrorKind::Usage` where the user has not allowed it; `ErrorKind::Config` where no copy can be kept.
    pub(super) fn prepare(&self, provider: &str, zone: &Name, before: &Value, now: Timestamp) -> Result<()> {
        let none =
            || Error::config(t!("%{provider}: there is no folder to keep a copy of the zone `%{zone}` in", provider, zone));
        let folder = self.folder.as_ref().ok_or_else(none)?.join(provider);
        let file = |ending: &str| folder.join(format!("{}{ending}", zone.as_str().replace(['/', '\\'], "_")));
        let marker = file(".allowed");
        if !self.every_zone && !self.allowed.contains(zone) && !marker.exists() {
            return Err(Error::usage(t!("%{provider} can only replace the zone `%{zone}` as a whole, with every record in it, and you have not allowed that", provider, zone))
            .with_hint(t!("`--allow-zone-rewrite %{zone}`, once; before each write a copy of the zone is kept in %{folder}", zone, folder = folder.display())));
        }
        let failed = |error: std::io::Error| {
            Error::config(t!(
                "no copy of the zone `%{zone}` can be kept in %{folder}, so nothing is written: %{error}",
                zone,
                folder = folder.display(),
                error
            ))
        };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let copy = file(&format!("-{}.json", now.strftime("%Y%m%dT%H%M%S%.fZ")));
        // A temporary file has mode 0600 from the start.
        let mut kept = tempfile::NamedTempFile::new_in(&folder).map_err(failed)?;
        serde_json::to_writer_pretty(&mut kept, before).map_err(|error| failed(error.into()))?;
        kept.flush().and_then(|()| kept.as_file().sync_all()).map_err(failed)?;
        kept.persist(&copy).map_err(|error| failed(error.error))?;
        tracing::info!(provider, zone = zone.as_str(), copy = %copy.display(), "a copy of the zone is kept");
        if !marker.exists() {
            std::fs::write(&marker, "").map_err(failed)?;
        }
        Ok(())
    }
}
