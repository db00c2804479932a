//! Alters single settings of a topic and leaves the others as they are (KIP-339), which rdkafka has no words for: its own call replaces all of a topic's settings.
#![expect(unsafe_code, reason = "calls into librdkafka's C interface")]

use std::ffi::CString;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keylane_core::publish::LogError;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::types::RDKafkaRespErr;

use super::failure::failed_with;
use super::native::{Owned, hear};
use super::settings::KafkaSettings;
use super::topics::{blocking, cause, open_admin};
use super::watch::Watch;

/// How often a wait looks at what the client has to say of its connections.
const LOOK_MS: i32 = 50;

/// Sets these settings of a topic.
///
/// # Errors
/// If the cluster cannot be reached, or refuses one: then none of them is set.
pub async fn alter_topic(
    settings: &KafkaSettings,
    topic: &str,
    alter: &[(String, String)],
) -> Result<(), LogError> {
    settings.check()?;
    let (admin, timeout) = (Arc::new(open_admin(settings)?), settings.answer_timeout);
    let (topic, alter) = (topic.to_owned(), alter.to_vec());
    blocking(move || {
        let client = admin.inner();
        incremental(client, &topic, &alter, timeout)
            .map_err(|code| failed_with(&format!("altering topic {topic}"), code, &cause(client)))
    })
    .await?
}

fn incremental(
    client: &Client<Watch>,
    topic: &str,
    alter: &[(String, String)],
    timeout: Duration,
) -> Result<(), Code> {
    let text = |text: &str| CString::new(text).map_err(|_| Code::InvalidConfig);
    let name = text(topic)?;
    let alter: Vec<(CString, CString)> = alter
        .iter()
        .map(|(name, value)| Ok((text(name)?, text(value)?)))
        .collect::<Result<_, Code>>()?;
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX / 2);
    let native = client.native_ptr();
    // SAFETY: `native` lives as long as the borrow of `Client`; all names and values are C strings that outlive the calls, which copy them; what is made
    // here is freed by `Owned`.
    unsafe {
        let resource = Owned(
            sys::rd_kafka_ConfigResource_new(
                sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
                name.as_ptr(),
            ),
            sys::rd_kafka_ConfigResource_destroy,
        );
        for (name, value) in &alter {
            let refused = sys::rd_kafka_ConfigResource_add_incremental_config(
                resource.0,
                name.as_ptr(),
                sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET,
                value.as_ptr(),
            );
            let refused = Owned(refused, sys::rd_kafka_error_destroy);
            if !refused.0.is_null() {
                return Err(sys::rd_kafka_error_code(refused.0).into());
            }
        }
        let options = Owned(
            sys::rd_kafka_AdminOptions_new(
                native,
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS,
            ),
            sys::rd_kafka_AdminOptions_destroy,
        );
        sys::rd_kafka_AdminOptions_set_request_timeout(options.0, timeout_ms, ptr::null_mut(), 0);
        let queue = Owned(sys::rd_kafka_queue_new(native), sys::rd_kafka_queue_destroy);
        let mut resources = [resource.0];
        sys::rd_kafka_IncrementalAlterConfigs(
            native,
            resources.as_mut_ptr(),
            resources.len(),
            options.0,
            queue.0,
        );
        let event = awaited(client, queue.0, timeout)?;
        told(event.0)
    }
}

/// # Safety
/// `queue` must be alive.
unsafe fn awaited(
    client: &Client<Watch>,
    queue: *mut sys::rd_kafka_queue_t,
    timeout: Duration,
) -> Result<Owned<sys::rd_kafka_event_t>, Code> {
    let began = Instant::now();
    loop {
        // SAFETY: by this function's own condition; the event is freed by `Owned`.
        let event = unsafe {
            Owned(
                sys::rd_kafka_queue_poll(queue, LOOK_MS),
                sys::rd_kafka_event_destroy,
            )
        };
        hear(client);
        if !event.0.is_null() {
            return Ok(event);
        }
        if began.elapsed() > timeout + Duration::from_secs(1) {
            return Err(Code::OperationTimedOut);
        }
    }
}

/// # Safety
/// `event` must be a live result of IncrementalAlterConfigs.
unsafe fn told(event: *mut sys::rd_kafka_event_t) -> Result<(), Code> {
    // SAFETY: by this function's own condition; the pointers are checked before they are read, and live as long as the event.
    unsafe {
        let code = sys::rd_kafka_event_error(event);
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(code.into());
        }
        let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(event);
        let mut count = 0;
        let resources = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &mut count);
        if resources.is_null() || count == 0 {
            return Ok(());
        }
        match Code::from(sys::rd_kafka_ConfigResource_error(*resources)) {
            Code::NoError => Ok(()),
            code => Err(code),
        }
    }
}
