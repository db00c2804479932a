//! The stable codes of mistakes in files that people write. A code is never reused for another meaning; each has a page
//! `docs/errors/<code>.md`.

use std::fmt;

use keylane_core::saga::ChoreographyRule;

use super::saga::SagaCode;

/// What kind of mistake a [`Problem`](super::Problem) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The file is missing or may not be read.
    FileUnreadable,
    /// The file is empty, too large, or not text.
    FileRefused,
    /// The text is not YAML.
    Syntax,
    /// One key stands twice in one block.
    DuplicateKey,
    /// Nested too deeply, or too many values (aliases counted where they are used).
    TooComplex,
    /// No setting has this name.
    UnknownKey,
    /// A setting without a default is absent.
    MissingKey,
    /// A list where a block belongs, a block where a value belongs, and the like.
    WrongKind,
    /// The value cannot be understood as what the setting takes.
    BadValue,
    /// The value is understood, but outside its limits.
    OutOfRange,
    /// An environment variable named in the file is not set, or the reference is malformed.
    Variable,
    /// A file named by `file:PATH` cannot be used.
    SecretFile,
    /// A database URL that cannot be used.
    Url,
    /// Exactly one of several blocks must be there.
    OneOf,
    /// A Kafka property that Keylane sets itself.
    OwnedProperty,
    /// A name with characters its system does not accept.
    BadName,
    /// HTTP on an address others can reach, without a token.
    Exposed,
    /// Two settings that exclude each other.
    Conflict,
    /// An order key for a table that the pipeline does not carry.
    OrderKeyTable,
    /// A file written for another version of the format.
    Version,
    /// Something that this build of Keylane leaves out.
    NotBuilt,
    /// A mistake that only the definition of a saga can have.
    Saga(SagaCode),
    /// A mistake that only a choreography can have: a breach of one of its rules.
    Choreography(ChoreographyRule),
}

impl Code {
    /// All codes of the configuration, in numeric order.
    pub const ALL: [Code; 21] = [
        Code::FileUnreadable,
        Code::FileRefused,
        Code::Syntax,
        Code::DuplicateKey,
        Code::TooComplex,
        Code::UnknownKey,
        Code::MissingKey,
        Code::WrongKind,
        Code::BadValue,
        Code::OutOfRange,
        Code::Variable,
        Code::SecretFile,
        Code::Url,
        Code::OneOf,
        Code::OwnedProperty,
        Code::BadName,
        Code::Exposed,
        Code::Conflict,
        Code::OrderKeyTable,
        Code::Version,
        Code::NotBuilt,
    ];

    /// The code as printed, and the stem of its page.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::FileUnreadable => "KL-CONFIG-001",
            Code::FileRefused => "KL-CONFIG-002",
            Code::Syntax => "KL-CONFIG-003",
            Code::DuplicateKey => "KL-CONFIG-004",
            Code::TooComplex => "KL-CONFIG-005",
            Code::UnknownKey => "KL-CONFIG-006",
            Code::MissingKey => "KL-CONFIG-007",
            Code::WrongKind => "KL-CONFIG-008",
            Code::BadValue => "KL-CONFIG-009",
            Code::OutOfRange => "KL-CONFIG-010",
            Code::Variable => "KL-CONFIG-011",
            Code::SecretFile => "KL-CONFIG-012",
            Code::Url => "KL-CONFIG-013",
            Code::OneOf => "KL-CONFIG-014",
            Code::OwnedProperty => "KL-CONFIG-015",
            Code::BadName => "KL-CONFIG-016",
            Code::Exposed => "KL-CONFIG-017",
            Code::Conflict => "KL-CONFIG-018",
            Code::OrderKeyTable => "KL-CONFIG-019",
            Code::Version => "KL-CONFIG-020",
            Code::NotBuilt => "KL-CONFIG-021",
            Code::Saga(code) => code.as_str(),
            Code::Choreography(rule) => match rule {
                ChoreographyRule::Name => "KL-SAGA-301",
                ChoreographyRule::StepCount => "KL-SAGA-302",
                ChoreographyRule::NamedTwice => "KL-SAGA-303",
                ChoreographyRule::NothingSetsGoing => "KL-SAGA-304",
                ChoreographyRule::Cycle => "KL-SAGA-305",
                ChoreographyRule::NobodyTells => "KL-SAGA-306",
                ChoreographyRule::BeginsNothing => "KL-SAGA-307",
            },
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
