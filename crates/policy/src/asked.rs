//! What one source says of one hop.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sealpost_types::{Clause, Demand, Level, NameMatch, NameRule, OnExpiry, ReferenceName, TlsVersion};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::demand::verified;

/// What one source says of one hop. What it leaves out, the next source says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Asked {
    /// `level`.
    pub level: Option<Level>,
    /// `names`, sorted.
    pub names: Option<Vec<ReferenceName>>,
    /// `match`.
    pub matching: Option<NameMatch>,
    /// `min_version`.
    pub min_version: Option<TlsVersion>,
    /// `lifetime`.
    pub lifetime: Option<Duration>,
    /// `on_expiry`.
    pub on_expiry: Option<OnExpiry>,
}

/// An [`Asked`] that many entries share, with the demands that it makes by itself.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) asked: Arc<Asked>,
    /// What `verify` demands with this setting's own names: at floor 1.2, at floor 1.3.
    verified: Option<[Arc<Demand>; 2]>,
}

impl Asked {
    /// Whether it says nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Setting {
    pub(crate) fn new(asked: Asked) -> Self {
        let verified = (asked.level == Some(Level::Verify)).then(|| {
            let rule = NameRule::new(asked.matching.unwrap_or_default(), asked.names.clone().unwrap_or_default());
            [TlsVersion::Tls1_2, TlsVersion::Tls1_3].map(|floor| Arc::new(verified(std::iter::once(Clause::Identity(rule.clone())), floor)))
        });
        Self { asked: Arc::new(asked), verified }
    }

    /// What its `verify` demands where no other source says anything of names.
    pub(crate) fn verified(&self, floor: TlsVersion) -> Option<Arc<Demand>> {
        let [low, high] = self.verified.as_ref()?;
        Some(Arc::clone(if floor >= TlsVersion::Tls1_3 { high } else { low }))
    }
}

/// In the words of the file: `verify, names mx.example, match "mx", min_version "1.3"`.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut part = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            let result = write!(f, "{separator}{text}");
            separator = ", ";
            result
        };
        if let Some(level) = self.level {
            part(f, format_args!("{level}"))?;
        }
        if let Some(names) = &self.names {
            part(f, format_args!("names"))?;
            for name in names {
                write!(f, " {name}")?;
            }
            if names.is_empty() {
                f.write_str(" (none)")?;
            }
        }
        if let Some(matching) = self.matching {
            part(f, format_args!("match \"{}\"", match_word(matching)))?;
        }
        if let Some(version) = self.min_version {
            part(f, format_args!("min_version \"{}\"", version_word(version)))?;
        }
        if let Some(lifetime) = self.lifetime {
            part(f, format_args!("lifetime \"{}\"", Span(lifetime)))?;
        }
        if let Some(fate) = self.on_expiry {
            part(f, format_args!("on_expiry \"{}\"", expiry_word(fate)))?;
        }
        if self.is_empty() { f.write_str("nothing") } else { Ok(()) }
    }
}

/// The keys and words of the file, without those left out.
impl Serialize for Asked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(level) = self.level {
            map.serialize_entry("level", level.as_str())?;
        }
        if let Some(names) = &self.names {
            map.serialize_entry("names", &names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        }
        if let Some(matching) = self.matching {
            map.serialize_entry("match", match_word(matching))?;
        }
        if let Some(version) = self.min_version {
            map.serialize_entry("min_version", version_word(version))?;
        }
        if let Some(lifetime) = self.lifetime {
            map.serialize_entry("lifetime", &Span(lifetime).to_string())?;
        }
        if let Some(fate) = self.on_expiry {
            map.serialize_entry("on_expiry", expiry_word(fate))?;
        }
        map.end()
    }
}

/// A span of time as the file writes it: `7d`, `36h`.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        for (unit, letter) in [(86400, 'd'), (3600, 'h'), (60, 'm')] {
            if seconds >= unit && seconds.is_multiple_of(unit) {
                return write!(f, "{}{letter}", seconds / unit);
            }
        }
        write!(f, "{seconds}s")
    }
}

pub(crate) fn match_word(matching: NameMatch) -> &'static str {
    match matching {
        NameMatch::Mx => "mx",
        _ => "domain",
    }
}

pub(crate) fn version_word(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::Tls1_3 => "1.3",
        _ => "1.2",
    }
}

pub(crate) fn expiry_word(fate: OnExpiry) -> &'static str {
    match fate {
        OnExpiry::Delete => "delete",
        _ => "bounce",
    }
}
