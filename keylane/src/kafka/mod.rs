//! Kafka: the log that machines share, by librdkafka.
