//! What a field takes of the types that there are.

use file_types::{FileType, TYPES, Taken};
use store::{MediaType, ResourceType};

use crate::config::{ExtraType, Limits};
use crate::http::{Problem, ProblemKind};

/// What a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepts {
    /// The pictures that everything takes.
    Images,
    /// Those and other pictures, films and sounds; drawings and documents if a setting says so.
    Media,
}

impl Accepts {
    /// The names of its types, for people.
    pub(super) fn in_words(self, limits: &Limits) -> String {
        let taken = TYPES.iter().filter(|known| self.takes(known, limits));
        let names: Vec<&str> = taken.map(|known| known.name).collect();
        match names.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            _ => names.concat(),
        }
    }

    /// As [`Accepts::in_words`], without settings.
    pub(super) fn by_default(self) -> String {
        let names = TYPES.iter().filter(|known| self.takes_as(known.taken)).map(|known| known.name);
        names.collect::<Vec<_>>().join(", ")
    }

    fn takes_as(self, taken: Taken) -> bool {
        match taken {
            Taken::Everywhere => true,
            Taken::Media => self == Self::Media,
            Taken::MediaIfAllowed | Taken::Nowhere(_) => false,
        }
    }

    fn takes(self, known: &FileType, limits: &Limits) -> bool {
        let is_allowed = |extra: &ExtraType| extra.extension() == known.extension;
        let is_extra = known.taken == Taken::MediaIfAllowed && self == Self::Media;
        self.takes_as(known.taken) || (is_extra && limits.media_extra_types.iter().flatten().any(is_allowed))
    }

    /// The type of a file that begins with `first`, or 415.
    pub(super) fn check(
        self,
        field: &'static str,
        first: &[u8],
        limits: &Limits,
    ) -> Result<&'static FileType, Problem> {
        let message = match file_types::detect(first) {
            Some(known) if self.takes(known, limits) => return Ok(known),
            Some(FileType { taken: Taken::Nowhere(reason), .. }) => (*reason).to_owned(),
            found => {
                let but = found.map(|known| format!(", and is {}", known.name)).unwrap_or_default();
                format!("must be {}{but}", self.in_words(limits))
            }
        };
        Err(Problem::field(ProblemKind::UnsupportedType, field, message))
    }
}

/// As it is stored.
pub(super) fn media_type(known: &FileType) -> MediaType {
    let resource_type = match known.kind {
        file_types::Kind::Image => ResourceType::Image,
        file_types::Kind::Video => ResourceType::Video,
    };
    MediaType { content_type: known.content_type.to_owned(), resource_type }
}
