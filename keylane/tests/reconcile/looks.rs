//! What a look at suspects, which takes as long as the road is behind, does to what is compared after it.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use keylane_core::model::{Row, TableName};
use keylane_core::reconcile::{
    Figures, Key, Method, Passage, PassageError, Range, Scanned, Side, SideError, SideTable,
    TablePlan, Touched,
};

use super::bed::{Bed, Notes};
use super::pairs::file;

/// How many looks there were, and of each range that the origin told, how many there were then.
#[derive(Default)]
struct Watch {
    looks: usize,
    told: HashMap<String, usize>,
    /// Ranges of which the two sides were told with a look in between.
    torn: usize,
    ranges: usize,
}

type Watched = Arc<Mutex<Watch>>;

/// A side whose ranges are noted.
struct Noted {
    inner: Box<dyn Side>,
    is_origin: bool,
    watch: Watched,
}

impl Noted {
    fn note(&self, range: &Range) {
        let mut watch = self.watch.lock().expect("a watch");
        let (from, looks) = (format!("{:?}", range.after), watch.looks);
        if self.is_origin {
            watch.told.insert(from, looks);
            return;
        }
        watch.ranges += 1;
        watch.torn += usize::from(watch.told.get(&from) != Some(&looks));
    }
}

#[async_trait]
impl Side for Noted {
    async fn table(&mut self, name: &TableName) -> Result<Option<SideTable>, SideError> {
        self.inner.table(name).await
    }

    async fn count(&mut self, name: &TableName) -> Result<u64, SideError> {
        self.inner.count(name).await
    }

    async fn estimate(&mut self, name: &TableName) -> Result<Option<u64>, SideError> {
        self.inner.estimate(name).await
    }

    async fn scan(
        &mut self,
        plan: &TablePlan,
        range: &Range,
        most: (usize, usize),
    ) -> Result<Scanned, SideError> {
        self.note(range);
        self.inner.scan(plan, range, most).await
    }

    async fn rows(&mut self, plan: &TablePlan, keys: &[Key]) -> Result<Vec<Row>, SideError> {
        self.inner.rows(plan, keys).await
    }
}

/// A road that has all of its changes ahead, or none: they arrive with the first mark.
struct Road {
    watch: Watched,
    replica: PathBuf,
    arrives: &'static str,
}

#[async_trait]
impl Passage for Road {
    async fn begin(&mut self) -> Result<(), PassageError> {
        Ok(())
    }

    async fn level(&mut self) -> Result<(), PassageError> {
        Ok(())
    }

    async fn pass(&mut self) -> Result<(), PassageError> {
        self.watch.lock().expect("a watch").looks += 1;
        let replica = rusqlite::Connection::open(&self.replica).expect("opened");
        replica.execute_batch(self.arrives).expect("it arrives");
        Ok(())
    }

    async fn touched(
        &mut self,
        _: &TablePlan,
        _: &HashSet<Bytes>,
    ) -> Result<Touched, PassageError> {
        Ok(Touched::Keys(HashSet::new()))
    }

    async fn told(
        &mut self,
        _: &TablePlan,
        _: &HashSet<Bytes>,
    ) -> Result<HashMap<Bytes, Option<Row>>, PassageError> {
        Ok(HashMap::new())
    }

    fn position(&self) -> String {
        String::new()
    }
}

/// Compares 20,000 rows that are `void` at the replica, where this arrives with the first mark.
async fn compared(arrives: &'static str) -> (Figures, Watch) {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = |value: &str| {
        format!(
            "CREATE TABLE t (id integer PRIMARY KEY, v text);
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000) INSERT INTO t SELECT n, '{value}' FROM n"
        )
    };
    let origin = file(folder.path(), "origin.db", &rows("paid"));
    let replica = file(folder.path(), "replica.db", &rows("void"));
    let mut bed = Bed::sqlite(&origin, &replica, "t").await;
    let watch = Watched::default();
    let noted = |inner, is_origin| -> Box<dyn Side> {
        Box::new(Noted {
            inner,
            is_origin,
            watch: watch.clone(),
        })
    };
    bed.between.origin = noted(bed.between.origin, true);
    bed.between.replica = noted(bed.between.replica, false);
    bed.between.passage = Some(Box::new(Road {
        watch: watch.clone(),
        replica,
        arrives,
    }));
    let compared = bed.compare_by(Method::Rows, &mut Notes::default()).await;
    let figures = compared.expect("compared");
    let watch = std::mem::take(&mut *watch.lock().expect("a watch"));
    (figures, watch)
}

#[tokio::test]
async fn no_range_is_compared_whose_sides_were_read_with_a_look_between() {
    let (figures, watch) = compared("").await;
    assert_eq!(figures.different, 20_000);
    assert!(watch.looks >= 3 && watch.ranges > watch.looks);
    assert_eq!(watch.torn, 0, "of {} ranges", watch.ranges);
}

#[tokio::test]
async fn whatever_is_on_its_way_is_waited_for_once() {
    let (figures, watch) = compared("UPDATE t SET v = 'paid'").await;
    assert_eq!((figures.different, figures.settling), (0, 20_000));
    assert_eq!(watch.looks, 1);
}
