//! What the tables of jobs and of events have in common.

/// Makes one type of several kinds of data. On the wire it is `{"kind": "media.ready.v1", "data": {…}}`.
macro_rules! kinds {
    ($(#[$meta:meta])* $all:ident: $($(#[$doc:meta])* $data:ident = $kind:literal,)*) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "kind", content = "data")]
        pub enum $all {
            $($(#[$doc])* #[serde(rename = $kind)] $data($data),)*
        }

        impl $all {
            /// Every kind that this version knows, as it stands on the wire.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// The permanent name of its kind.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$data(_) => $kind,)*
                }
            }

            /// The data as JSON, as it stands under `data` on the wire and in documents.
            pub fn data(&self) -> Value {
                let data = match self {
                    $(Self::$data(data) => serde_json::to_value(data),)*
                };
                // Structs of strings always serialise.
                data.unwrap_or(Value::Null)
            }

            /// From a kind and its data.
            ///
            /// # Errors
            ///
            /// [`DecodeError::UnknownKind`] for a kind this version does not know, [`DecodeError::Payload`] when the data does
            /// not fit the kind. Unknown fields are ignored: a newer version may have added them.
            pub fn from_parts(kind: &str, data: Value) -> Result<Self, DecodeError> {
                let read = match kind {
                    $($kind => serde_json::from_value(data).map(Self::$data),)*
                    _ => return Err(DecodeError::unknown_kind(kind)),
                };
                read.map_err(|cause| DecodeError::payload(kind, &cause))
            }
        }

        $(
            impl From<$data> for $all {
                fn from(data: $data) -> Self {
                    Self::$data(data)
                }
            }
        )*
    };
}

pub(crate) use kinds;
