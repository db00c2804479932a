//! librdkafka's error codes as what they ask for.

use keylane_core::publish::{LogError, LogErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What a code asks for.
pub(super) fn kind_of(code: Code) -> LogErrorKind {
    match code {
        Code::AllBrokersDown
        | Code::BrokerTransportFailure
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::RequestTimedOut
        | Code::Resolve
        | Code::NetworkException
        | Code::BrokerNotAvailable
        | Code::KafkaStorageError
        | Code::ThrottlingQuotaExceeded
        // The cluster names a broker no more that a question was on its way to.
        | Code::DestroyBroker
        | Code::BrokerDestroy
        | Code::UnknownBroker
        | Code::NodeUpdate
        | Code::Outdated
        | Code::WaitCache
        | Code::Retry
        // Another leads, or is about to, or does not know yet all that was written before it led.
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::ReplicaNotAvailable
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::OffsetNotAvailable
        | Code::PreferredLeaderNotAvailable
        | Code::EligibleLeadersNotAvailable
        | Code::ListenerNotFound
        | Code::NotController
        // Brokers are away that would have to have a copy.
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::ISRInsufficient
        // The group's broker is another one, or is just taking over.
        | Code::CoordinatorNotAvailable
        | Code::CoordinatorLoadInProgress
        | Code::NotCoordinator
        | Code::WaitingForCoordinator
        | Code::UnstableOffsetCommit => LogErrorKind::Unreachable,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_once_brokers_agree_or_come_back_is_waited_for_and_what_a_person_must_mend_is_not()
     {
        for code in [
            Code::NotLeaderForPartition,
            Code::OffsetNotAvailable,
            Code::DestroyBroker,
            Code::NotEnoughReplicas,
            Code::NotEnoughReplicasAfterAppend,
            Code::NotCoordinator,
            Code::CoordinatorLoadInProgress,
        ] {
            assert!(kind_of(code).passes(), "{code:?}");
        }
        for code in [
            Code::SaslAuthenticationFailed,
            Code::TopicAuthorizationFailed,
            Code::UnknownTopicOrPartition,
            Code::MessageSizeTooLarge,
            Code::InvalidConfig,
        ] {
            assert!(!kind_of(code).passes(), "{code:?}");
        }
    }
}
