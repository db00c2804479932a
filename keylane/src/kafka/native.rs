//! What librdkafka can do and rdkafka has no words for: a topic's identity, and a partition's end as last heard. Beside `alter`, the only unsafe code of this crate.
#![expect(unsafe_code, reason = "calls into librdkafka's C interface")]

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::{Duration, Instant};

use rdkafka::ClientContext as _;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;

use super::watch::Watch;

/// A topic as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    /// Its identity (KIP-516), base64; `None` from brokers before 2.8, which have none.
    pub(super) id: Option<String>,
    /// How many partitions.
    pub(super) partitions: u32,
    /// What this user may do with it; `None` if the cluster does not tell.
    pub(super) rights: Option<Rights>,
}

/// What a user may do with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) read: bool,
    pub(super) write: bool,
}

/// Frees a C object when the scope ends.
pub(super) struct Owned<T>(pub(super) *mut T, pub(super) unsafe extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the pointer came from the constructor that `self.1` belongs to, is not null, and is freed only here.
            unsafe { (self.1)(self.0) }
        }
    }
}

/// How often a wait looks at what the client has to say of its connections.
const LOOK_MS: i32 = 50;
/// A refusal counts when nothing better was heard for this long: another broker may still answer.
const REFUSED_AFTER: Duration = Duration::from_secs(2);

/// Events that a client without a reader of its own is to tell: those that [`hear`] takes in.
pub(super) const ENABLED_EVENTS: i32 = sys::RD_KAFKA_EVENT_ERROR;

/// Takes in what the client has to say of its connections. An admin client keeps it in a queue that nobody else reads.
pub(super) fn hear(client: &Client<Watch>) {
    // SAFETY: `native_ptr` lives as long as the borrow of `Client`; the queue is freed by `Owned`.
    let queue = unsafe {
        Owned(
            sys::rd_kafka_queue_get_main(client.native_ptr()),
            sys::rd_kafka_queue_destroy,
        )
    };
    loop {
        // SAFETY: the queue is alive; the event is freed by `Owned`.
        let event = unsafe {
            Owned(
                sys::rd_kafka_queue_poll(queue.0, 0),
                sys::rd_kafka_event_destroy,
            )
        };
        if event.0.is_null() {
            return;
        }
        // SAFETY: the event is alive and not null; its texts live as long as it, and are checked before they are read.
        unsafe { take_in(client.context(), event.0) }
    }
}

/// # Safety
/// `event` must be a live event.
unsafe fn take_in(watch: &Watch, event: *mut sys::rd_kafka_event_t) {
    // SAFETY: by this function's own condition; `text` checks its pointer, and the three places outlive the call that fills them.
    unsafe {
        match sys::rd_kafka_event_type(event) {
            sys::RD_KAFKA_EVENT_ERROR => {
                let code = Code::from(sys::rd_kafka_event_error(event));
                let reason = text(sys::rd_kafka_event_error_string(event));
                watch.error(KafkaError::Global(code), reason.trim());
            }
            sys::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
                if sys::rd_kafka_event_log(event, &mut facility, &mut line, &mut level) == 0 {
                    let level = RDKafkaLogLevel::Info;
                    watch.log(level, text(facility).trim(), text(line).trim());
                }
            }
            _ => {}
        }
    }
}

/// # Safety
/// `start` must be null or a C string that outlives the result.
unsafe fn text<'t>(start: *const c_char) -> Cow<'t, str> {
    if start.is_null() {
        return Cow::Borrowed("");
    }
    // SAFETY: by this function's own condition.
    unsafe { CStr::from_ptr(start) }.to_string_lossy()
}

/// Asks the cluster for a topic; never creates it. `None` if it is not there. Blocks up to `timeout` and a little; much shorter if the client is not let in.
pub(super) fn describe_topic(
    client: &Client<Watch>,
    name: &str,
    timeout: Duration,
) -> Result<Option<Described>, Code> {
    let name = CString::new(name).map_err(|_| Code::InvalidTopic)?;
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX / 2);
    let (watch, asked) = (client.context(), client);
    let client = client.native_ptr();
    let mut names = [name.as_ptr()];
    // SAFETY: `client` lives as long as the borrow of `Client`; `names` and what it points to outlive the call, which copies them.
    let (topics, options, queue) = unsafe {
        (
            Owned(
                sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
                sys::rd_kafka_TopicCollection_destroy,
            ),
            Owned(
                sys::rd_kafka_AdminOptions_new(
                    client,
                    sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
                ),
                sys::rd_kafka_AdminOptions_destroy,
            ),
            Owned(sys::rd_kafka_queue_new(client), sys::rd_kafka_queue_destroy),
        )
    };
    // SAFETY: all four objects are alive; a null error buffer of size 0 is allowed.
    unsafe {
        sys::rd_kafka_AdminOptions_set_request_timeout(options.0, timeout_ms, ptr::null_mut(), 0);
        let refused = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options.0, 1);
        drop(Owned(refused, sys::rd_kafka_error_destroy));
        sys::rd_kafka_DescribeTopics(client, topics.0, options.0, queue.0);
    }
    let began = Instant::now();
    let event = loop {
        // SAFETY: the queue is alive; the event is freed by `Owned`.
        let event = unsafe {
            Owned(
                sys::rd_kafka_queue_poll(queue.0, LOOK_MS),
                sys::rd_kafka_event_destroy,
            )
        };
        hear(asked);
        if !event.0.is_null() {
            break event;
        }
        let waited = began.elapsed();
        match watch.refusal() {
            Some(refusal) if waited >= REFUSED_AFTER.min(timeout) => return Err(refusal),
            _ if waited > timeout + Duration::from_secs(1) => return Err(Code::OperationTimedOut),
            _ => {}
        }
    };
    // SAFETY: the event is alive and not null.
    let code = unsafe { sys::rd_kafka_event_error(event.0) };
    if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(watch.refusal().unwrap_or(code.into()));
    }
    watch.answered();
    // SAFETY: the event is alive to the end of this function, and the description lives as long as it.
    unsafe { read_description(event.0) }
}

/// # Safety
/// `event` must be a live DescribeTopics result without error.
unsafe fn read_description(event: *mut sys::rd_kafka_event_t) -> Result<Option<Described>, Code> {
    // SAFETY: by this function's own condition; counts are written by librdkafka, pointers are checked before they are read.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count == 0 {
            return Ok(None);
        }
        let topic = *topics;
        let code = sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(topic));
        match Code::from(code) {
            Code::NoError => {}
            Code::UnknownTopicOrPartition | Code::UnknownTopic => return Ok(None),
            other => return Err(other),
        }
        let mut partitions = 0;
        sys::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let known = !id.is_null()
            && (sys::rd_kafka_Uuid_most_significant_bits(id) != 0
                || sys::rd_kafka_Uuid_least_significant_bits(id) != 0);
        let id = known.then(|| CStr::from_ptr(sys::rd_kafka_Uuid_base64str(id)));
        Ok(Some(Described {
            id: id.map(|id| id.to_string_lossy().into_owned()),
            partitions: u32::try_from(partitions).unwrap_or(u32::MAX),
            rights: read_rights(topic),
        }))
    }
}

/// # Safety
/// `topic` must be a live description.
unsafe fn read_rights(topic: *const sys::rd_kafka_TopicDescription_t) -> Option<Rights> {
    use sys::rd_kafka_AclOperation_t as Operation;
    let mut count = 0;
    // SAFETY: by this function's own condition; the pointer is checked, and `count` operations stand behind it as long as the description lives.
    let operations = unsafe {
        let first = sys::rd_kafka_TopicDescription_authorized_operations(topic, &mut count);
        if first.is_null() || count == 0 {
            return None;
        }
        std::slice::from_raw_parts(first, count)
    };
    Some(Rights {
        read: operations.contains(&Operation::RD_KAFKA_ACL_OPERATION_READ),
        write: operations.contains(&Operation::RD_KAFKA_ACL_OPERATION_WRITE),
    })
}

/// A partition's end as the last fetch response told it, without asking; `None` before the first.
pub(super) fn last_known_end(client: &Client<Watch>, topic: &CStr, partition: i32) -> Option<u64> {
    let (mut low, mut high) = (0, 0);
    // SAFETY: the client lives as long as its borrow, the name is a C string, and both counts outlive the call.
    let code = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            partition,
            &mut low,
            &mut high,
        )
    };
    let known = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    known.then(|| u64::try_from(high).ok()).flatten()
}
