//! The log itself: what the port asks for, handed to the threads that do it.

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{
    AppendTicket, Bounds, GroupMember, GroupSettings, Log, LogConsumer, LogError, LogErrorKind,
    NewRecord, RawRecord, TopicInfo, TopicSpec,
};
use tokio::sync::{Semaphore, watch};

use super::commit::Committer;
use super::consumer::EmbeddedConsumer;
use super::file::LogFile;
use super::keep::Keeper;
use super::member::SoleMember;
use super::read::{Reader, Wish};
use super::tickets::{Pending, Unseen};
use super::writer::Writer;
use crate::own_thread::{OwnThread, ThreadGone};

/// Where the log is and what it may use.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The file. Its folder must exist.
    pub path: PathBuf,
    /// The most the file may hold, in bytes. Appends wait while it holds that much.
    pub bytes_max: u64,
    /// The most that appends may hold in memory before they are committed, in bytes.
    pub in_flight_bytes_max: usize,
    /// About how much one transaction may write, in bytes.
    pub batch_bytes_max: usize,
    /// How long a record is kept that may be dropped; less once the file is three quarters full.
    pub retention: Duration,
    /// How long appends wait while the log or the device is full; then they fail with [`LogErrorKind::DiskFull`].
    pub full_wait_max: Duration,
    /// Whether records are told with their headers.
    pub with_headers: bool,
}

impl EmbeddedOptions {
    /// At most 8 GiB in the file, 16 MiB in flight, 4 MiB in one transaction, 30 s of waiting for room.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        EmbeddedOptions {
            path: path.into(),
            bytes_max: 8 << 30,
            in_flight_bytes_max: 16 << 20,
            batch_bytes_max: 4 << 20,
            retention: Duration::ZERO,
            full_wait_max: Duration::from_secs(30),
            with_headers: false,
        }
    }
}

/// A durable log in one SQLite file, shared by the processes of one machine.
///
/// After an append failed, `append` refuses with the same error until each failed append's ticket was resolved or dropped: nothing may land behind a
/// record that did not.
pub struct EmbeddedLog {
    open: Arc<Open>,
    in_flight: Arc<Semaphore>,
    in_flight_permits: u32,
}

/// The file and the threads that work on it.
pub(super) struct Open {
    file: LogFile,
    bytes_max: u64,
    with_headers: bool,
    reader: OwnThread<Reader>,
    pub(super) keeper: OwnThread<Keeper>,
    queue: mpsc::Sender<Pending>,
    unseen: Arc<Unseen>,
    commits: watch::Receiver<u64>,
}

impl EmbeddedLog {
    /// Opens the log; creates it where there is no file.
    ///
    /// # Errors
    /// If the file is not a log, is damaged, or cannot be opened or created.
    pub async fn open(options: EmbeddedOptions) -> Result<Self, LogError> {
        let file = LogFile {
            path: options.path.clone(),
        };
        let for_keeper = file.clone();
        let keeping = options.clone();
        let keeper =
            OwnThread::start("log-keep", move || Keeper::open(for_keeper, &keeping)).await?;
        let for_reader = file.clone();
        let with_headers = options.with_headers;
        let reader =
            OwnThread::start("log-read", move || Reader::open(for_reader, with_headers)).await?;
        let unseen = Arc::new(Unseen::default());
        let (commits, seen_commits) = watch::channel(0);
        let (queue, queued) = mpsc::channel();
        let (for_writer, bytes_max) = (file.clone(), options.bytes_max);
        // Opened off the runtime, then moved to the writer's thread.
        let opened = tokio::task::spawn_blocking(move || Committer::open(for_writer, bytes_max));
        let writer = Writer {
            committer: opened.await.map_err(|_| ThreadGone)??,
            queue: queued,
            unseen: Arc::clone(&unseen),
            commits,
            batch_bytes_max: options.batch_bytes_max,
            full_wait_max: options.full_wait_max,
        };
        std::thread::Builder::new()
            .name("log-write".to_owned())
            .spawn(move || writer.run())
            .map_err(|_| ThreadGone)?;
        let open = Arc::new(Open {
            file,
            bytes_max,
            with_headers,
            reader,
            keeper,
            queue,
            unseen,
            commits: seen_commits,
        });
        Ok(Self::of(open, options.in_flight_bytes_max))
    }

    /// The same log for a writer with a bound of its own on what it has in flight.
    pub fn writer(&self, in_flight_bytes_max: usize) -> Self {
        Self::of(Arc::clone(&self.open), in_flight_bytes_max)
    }

    fn of(open: Arc<Open>, in_flight_bytes_max: usize) -> Self {
        let in_flight_permits = u32::try_from(in_flight_bytes_max.max(1))
            .unwrap_or(u32::MAX)
            .min(Semaphore::MAX_PERMITS as u32);
        EmbeddedLog {
            open,
            in_flight: Arc::new(Semaphore::new(in_flight_permits as usize)),
            in_flight_permits,
        }
    }

    fn check_size(&self, size_bytes: usize) -> Result<(), LogError> {
        if size_bytes as u64 <= self.open.bytes_max / 2 {
            return Ok(());
        }
        Err(LogError::new(
            LogErrorKind::TooLarge,
            format!(
                "log file {}: one append of {size_bytes} bytes is more than half of the {} bytes the log may hold",
                self.open.file.path.display(),
                self.open.bytes_max
            ),
        ))
    }
}

#[async_trait]
impl Log for EmbeddedLog {
    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<Vec<TopicInfo>, LogError> {
        let specs = specs.to_vec();
        self.open
            .keeper
            .call(move |keeper| keeper.ensure_topics(&specs))
            .await?
    }

    async fn describe_topic(&self, name: &str) -> Result<Option<TopicInfo>, LogError> {
        let name = name.to_owned();
        self.open
            .keeper
            .call(move |keeper| keeper.describe(&name))
            .await?
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<AppendTicket, LogError> {
        let size_bytes = records.iter().map(NewRecord::size_bytes).sum();
        self.check_size(size_bytes)?;
        let permits = u32::try_from(size_bytes)
            .unwrap_or(u32::MAX)
            .min(self.in_flight_permits);
        // Fair: permits are given in the order of the calls. The semaphore is never closed.
        let in_flight = Arc::clone(&self.in_flight)
            .acquire_many_owned(permits)
            .await
            .map_err(|_| ThreadGone)?;
        let ticket = self
            .open
            .unseen
            .hand_over(records, size_bytes, in_flight, |pending| {
                self.open
                    .queue
                    .send(pending)
                    .map_err(|_| LogError::from(ThreadGone))
            })?;
        Ok(Box::pin(ticket))
    }

    async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds, LogError> {
        let partition = partition.clone();
        self.open
            .reader
            .call(move |reader| reader.bounds(&partition))
            .await?
    }

    async fn read(
        &self,
        partition: &TopicPartition,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<RawRecord>, LogError> {
        let wish = Wish {
            partition: partition.clone(),
            from,
            bytes_max: bytes_max.max(1),
        };
        let found = self
            .open
            .reader
            .call(move |reader| reader.look(&[wish], bytes_max))
            .await??;
        Ok(found
            .records
            .into_iter()
            .next()
            .map(|(_, records)| records)
            .unwrap_or_default())
    }

    async fn consumer(
        &self,
        group: &str,
        buffer_bytes: usize,
    ) -> Result<Box<dyn LogConsumer>, LogError> {
        let file = self.open.file.clone();
        let with_headers = self.open.with_headers;
        let open = move || Reader::open(file, with_headers);
        let reader = OwnThread::start(&format!("log-{group}"), open).await?;
        Ok(Box::new(EmbeddedConsumer {
            reader,
            commits: self.open.commits.clone(),
            buffer_bytes,
            assigned: std::collections::BTreeMap::new(),
        }))
    }

    async fn join(
        &self,
        group: &GroupSettings,
        topics: &[Arc<str>],
    ) -> Result<Box<dyn GroupMember>, LogError> {
        Ok(Box::new(SoleMember::new(self.open.clone(), group, topics)))
    }

    async fn trim(&self, partition: &TopicPartition, before: Offset) -> Result<(), LogError> {
        let mut more = true;
        while more {
            let partition = partition.clone();
            more = self
                .open
                .keeper
                .call(move |keeper| keeper.trim_some(&partition, before))
                .await??;
        }
        let mut more = true;
        while more {
            more = self.open.keeper.call(Keeper::compact_some).await??;
        }
        let mut more = true;
        while more {
            more = self.open.keeper.call(Keeper::shrink_some).await??;
        }
        Ok(())
    }
}
