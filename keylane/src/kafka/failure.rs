//! librdkafka's error codes as what they ask for.

use keylane_core::publish::{LogError, LogErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What a code asks for.
pub(super) fn kind_of(code: Code) -> LogErrorKind {
    match code {
        Code::AllBrokersDown
        | Code::BrokerTransportFailure
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::Resolve
        | Code::NetworkException
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::BrokerNotAvailable
        | Code::CoordinatorNotAvailable
        | Code::NotEnoughReplicas => LogErrorKind::Unreachable,
        Code::MessageTimedOut
        | Code::Fatal
        | Code::PurgeQueue
        | Code::PurgeInflight
        | Code::GaplessGuarantee
        | Code::OutOfOrderSequenceNumber
        | Code::InvalidProducerEpoch
        | Code::UnknownProducerId
        | Code::ProducerFenced => LogErrorKind::SessionOver,
        Code::Authentication
        | Code::SSL
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed => LogErrorKind::Denied,
        Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::UnknownPartition
        | Code::UnknownTopicId => LogErrorKind::TopicMismatch,
        Code::AutoOffsetReset | Code::OffsetOutOfRange => LogErrorKind::OutOfRange,
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => LogErrorKind::TooLarge,
        _ => LogErrorKind::Other,
    }
}

/// Whether a code tells of the consumer group alone. Nothing rests on it: partitions are taken and progress is kept elsewhere.
pub(super) fn is_about_the_group(code: Code) -> bool {
    matches!(
        code,
        Code::GroupAuthorizationFailed | Code::CoordinatorNotAvailable | Code::NotCoordinator
    )
}

/// An error while doing `what`; `cause` is what the client last complained of.
pub(super) fn failed(what: &str, error: &KafkaError, cause: &str) -> LogError {
    match error.rdkafka_error_code() {
        Some(code) => failed_with(what, code, cause),
        None => {
            // Its own words would quote the value, which may be a secret.
            let why = match error {
                KafkaError::ClientConfig(_, _, name, _) => format!("{name} cannot be used"),
                other => other.to_string(),
            };
            LogError::new(LogErrorKind::Other, format!("{what}: {why}{cause}"))
        }
    }
}

/// As [`failed`], from a bare code.
pub(super) fn failed_with(what: &str, code: Code, cause: &str) -> LogError {
    LogError::new(kind_of(code), format!("{what}: {code}{cause}"))
}
