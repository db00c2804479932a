//! What the client has fetched of a partition, taken many records at a time: rdkafka hands out one, and looks at the clock four times for each, which costs a tenth of what a consumer does without work.
#![expect(unsafe_code, reason = "calls into librdkafka's C interface")]

use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::sync::Arc;
use std::{ptr, slice};

use keylane_core::model::TopicPartition;
use keylane_core::publish::RawRecord;
use rdkafka::bindings as sys;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;

use super::native::Owned;
use super::record::{Copied, copy_of};
use super::watch::Watch;

/// Records taken at a time. All of them are held at once, so no more than the client's own queue holds.
const AT_ONCE: usize = 64;

/// A partition's own queue.
pub(super) struct FetchedQueue {
    queue: Owned<sys::rd_kafka_queue_t>,
    /// Keeps it apart from the others', its callback, and the client, which must outlive `queue`: fields are dropped in their order.
    _split: PartitionQueue<Watch>,
}

// SAFETY: librdkafka's queues may be used from any thread, by several at a time; the pointer is this struct's own.
unsafe impl Send for FetchedQueue {}

impl FetchedQueue {
    /// Splits a partition's records off, before the first can come. `wake` is called, on one of the client's threads, when there are some again. `None` if the name is not valid.
    pub(super) fn split(
        consumer: &Arc<BaseConsumer<Watch>>,
        partition: &TopicPartition,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Option<Self> {
        let number = i32::try_from(partition.partition).ok()?;
        let name = CString::new(&*partition.topic).ok()?;
        let mut split = consumer.split_partition_queue(&partition.topic, number)?;
        split.set_nonempty_callback(wake);
        // SAFETY: the client is alive, and kept so by `split`; the name is a C string, and is copied.
        let queue = unsafe {
            let client = consumer.client().native_ptr();
            sys::rd_kafka_queue_get_partition(client, name.as_ptr(), number)
        };
        (!queue.is_null()).then(|| FetchedQueue {
            queue: Owned(queue, sys::rd_kafka_queue_destroy),
            _split: split,
        })
    }

    /// Takes up to `most` of what is there, in order, without waiting. Returns how many came; 0: there is nothing more.
    pub(super) fn take(
        &self,
        most: usize,
        with_headers: bool,
        mut each: impl FnMut(Result<RawRecord, KafkaError>),
    ) -> usize {
        let mut messages = [ptr::null_mut(); AT_ONCE];
        let most = most.clamp(1, AT_ONCE);
        // SAFETY: the queue is alive, and `messages` has room for `most`.
        let came = unsafe {
            sys::rd_kafka_consume_batch_queue(self.queue.0, 0, messages.as_mut_ptr(), most)
        };
        let came = usize::try_from(came).unwrap_or(0);
        for message in messages.into_iter().take(came) {
            let message = Owned(message, sys::rd_kafka_message_destroy);
            // SAFETY: it came from librdkafka just now, and is alive until `message` is dropped.
            let Some(raw) = (unsafe { message.0.as_ref() }) else {
                continue;
            };
            each(match raw.err {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(record_of(raw, with_headers)),
                error => Err(KafkaError::MessageConsumption(error.into())),
            });
        }
        came
    }
}

fn record_of(message: &sys::rd_kafka_message_t, with_headers: bool) -> RawRecord {
    let mut headers = ptr::null_mut();
    // SAFETY: the message is alive, as are what it points to and its headers, as long as its borrow; the place for these outlives the call that fills it, and whose time it is nobody has to be told.
    let (timestamp_ms, key, value) = unsafe {
        if sys::rd_kafka_message_headers(message, &mut headers)
            != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            headers = ptr::null_mut();
        }
        (
            sys::rd_kafka_message_timestamp(message, ptr::null_mut()),
            part(message.key.cast(), message.key_len),
            part(message.payload.cast(), message.len),
        )
    };
    let copied = Copied {
        offset: message.offset,
        timestamp_ms: timestamp_ms.max(0),
        key,
        value,
        headers: Headers {
            headers,
            next: 0,
            message: PhantomData,
        },
    };
    copy_of(copied, with_headers)
}

/// A message's headers, in their order.
struct Headers<'m> {
    headers: *mut sys::rd_kafka_headers_t,
    next: usize,
    message: PhantomData<&'m ()>,
}

impl<'m> Iterator for Headers<'m> {
    type Item = (&'m str, Option<&'m [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        // A name that is no text is none of ours, nor anybody's who keeps to the protocol.
        loop {
            if self.headers.is_null() {
                return None;
            }
            let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the headers are alive as long as their message; name and value live as long as they.
            let (name, value) = unsafe {
                let code = sys::rd_kafka_header_get_all(
                    self.headers,
                    self.next,
                    &mut name,
                    &mut value,
                    &mut len,
                );
                if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                    return None;
                }
                (CStr::from_ptr(name), part(value.cast(), len))
            };
            self.next += 1;
            if let Ok(name) = name.to_str() {
                return Some((name, value));
            }
        }
    }
}

/// # Safety
/// `start` must be null, or `len` bytes that outlive the result stand there.
unsafe fn part<'m>(start: *const u8, len: usize) -> Option<&'m [u8]> {
    // SAFETY: by this function's own condition.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, len) })
}
