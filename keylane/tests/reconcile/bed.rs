//! Two databases and what a comparison of them says.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use keylane::postgres::reconcile::PostgresSide;
use keylane::sqlite::reconcile::SqliteSide;
use keylane::workers::reconcile::{Between, CompareError, Comparing, Observer, compare_table};
use keylane_core::model::TableName;
use keylane_core::reconcile::{
    Difference, Engine, Figures, Finding, Key, Method, Side, TablePlan, plan,
};
use keylane_parts::PostgresHandle;

/// Small reads, so that few rows are many ranges.
pub fn comparing() -> Comparing {
    Comparing {
        read_bytes_max: 32 << 10,
        look_pause: Duration::from_millis(20),
        ..Comparing::default()
    }
}

/// Two databases of one server, made anew; `None` in quick mode.
pub fn two_databases(name: &str) -> Option<(Pg, Pg)> {
    if keylane_parts::quick() {
        return None;
    }
    let server = PostgresHandle::shared_replica().expect("a PostgreSQL");
    let made = |role: &str| {
        let database = format!("reconcile_{name}_{role}");
        server.fresh_database(&database).expect("a database");
        Pg { server, database }
    };
    Some((made("origin"), made("replica")))
}

/// A database.
pub struct Pg {
    server: &'static PostgresHandle,
    database: String,
}

impl Pg {
    pub fn url(&self) -> String {
        self.server.url(&self.database)
    }

    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).expect(sql)
    }

    /// What the server answers, or why it refuses.
    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        let answer = self.server.psql(&self.database, sql);
        answer.map_err(|error| error.to_string())
    }
}

/// What was found and how far it was told to reach.
#[derive(Default)]
pub struct Notes {
    pub findings: Vec<Finding>,
    pub counted: usize,
    pub figures: Figures,
    pub after: Option<Key>,
    /// So many calls of `reached` are taken.
    pub takes: Option<usize>,
}

#[async_trait]
impl Observer for Notes {
    async fn found(&mut self, findings: Vec<Finding>) -> Result<(), String> {
        self.findings.extend(findings);
        Ok(())
    }

    async fn reached(&mut self, figures: &Figures, after: Option<&Key>) -> Result<(), String> {
        if let Some(takes) = &mut self.takes {
            *takes = takes.checked_sub(1).ok_or("no more is kept")?;
        }
        self.counted = self.findings.len();
        (self.figures, self.after) = (figures.clone(), after.cloned());
        Ok(())
    }

    fn progress(&mut self, _: &Figures) {}
}

/// A comparison of one table.
pub struct Bed {
    pub plan: TablePlan,
    pub between: Between,
}

impl Bed {
    pub async fn postgres(origin: &Pg, replica: &Pg, table: &str, filter: Option<&str>) -> Bed {
        let filter = || filter.map(str::to_owned);
        let origin = Box::new(PostgresSide::origin(origin.url(), filter()));
        let replica = Box::new(PostgresSide::replica(replica.url(), filter()));
        let name = || TableName::new("public", table);
        let engines = (Engine::Postgres, Engine::Postgres);
        Bed::new(engines, (origin, name()), (replica, name())).await
    }

    pub async fn by_urls(origin: &str, replica: &str, table: &str) -> Bed {
        let origin = Box::new(PostgresSide::origin(origin, None));
        let replica = Box::new(PostgresSide::replica(replica, None));
        let name = || TableName::new("public", table);
        let engines = (Engine::Postgres, Engine::Postgres);
        Bed::new(engines, (origin, name()), (replica, name())).await
    }

    pub async fn to_sqlite(origin: &Pg, replica: &Path, table: &str) -> Bed {
        let origin = Box::new(PostgresSide::origin(origin.url(), None));
        let replica = Box::new(SqliteSide::replica(replica, None));
        let names = (
            TableName::new("public", table),
            TableName::new("main", table),
        );
        let engines = (Engine::Postgres, Engine::Sqlite);
        Bed::new(engines, (origin, names.0), (replica, names.1)).await
    }

    pub async fn from_sqlite(origin: &Path, replica: &Pg, table: &str) -> Bed {
        let origin = Box::new(SqliteSide::origin(origin, None));
        let replica = Box::new(PostgresSide::replica(replica.url(), None));
        let names = (
            TableName::new("main", table),
            TableName::new("public", table),
        );
        let engines = (Engine::Sqlite, Engine::Postgres);
        Bed::new(engines, (origin, names.0), (replica, names.1)).await
    }

    pub async fn sqlite(origin: &Path, replica: &Path, table: &str) -> Bed {
        let origin = Box::new(SqliteSide::origin(origin, None));
        let replica = Box::new(SqliteSide::replica(replica, None));
        let name = || TableName::new("main", table);
        let engines = (Engine::Sqlite, Engine::Sqlite);
        Bed::new(engines, (origin, name()), (replica, name())).await
    }

    async fn new(
        engines: (Engine, Engine),
        (mut origin, of_origin): (Box<dyn Side>, TableName),
        (mut replica, of_replica): (Box<dyn Side>, TableName),
    ) -> Bed {
        let one = origin.table(&of_origin).await.expect("asked");
        let other = replica.table(&of_replica).await.expect("asked");
        let plan = plan(engines, &one.expect("there"), &other.expect("there"));
        Bed {
            plan: plan.expect("a plan"),
            between: Between {
                origin,
                replica,
                passage: None,
            },
        }
    }

    /// Compares by rows; where both sides have checksums, by these first, with the same findings.
    pub async fn compare(&mut self, notes: &mut Notes) -> Result<Figures, CompareError> {
        let (origin, replica) = (&self.between.origin, &self.between.replica);
        let has_checksums = origin.has_checksum(&self.plan) && replica.has_checksum(&self.plan);
        let whole = notes.after.is_none() && notes.takes.is_none();
        let mut by_checksums = Notes::default();
        if whole && has_checksums {
            self.compare_by(Method::Checksums, &mut by_checksums)
                .await?;
        }
        let figures = self.compare_by(Method::Rows, notes).await?;
        if whole && has_checksums {
            let told = |notes: &Notes| -> Vec<(String, String)> {
                let findings = notes.findings.iter();
                let told = findings.map(|it| (self.key(it), self.kind(it)));
                let mut told: Vec<_> = told.collect();
                told.sort();
                told
            };
            assert_eq!(told(&by_checksums), told(notes), "by checksums, by rows");
            let rows = |it: &Figures| (it.rows_origin, it.rows_replica);
            assert_eq!(rows(&by_checksums.figures), rows(&figures));
            assert_eq!(figures.summed, 0, "read, not added up");
        }
        Ok(figures)
    }

    pub async fn compare_by(
        &mut self,
        method: Method,
        notes: &mut Notes,
    ) -> Result<Figures, CompareError> {
        let known = (notes.figures.clone(), notes.after.clone());
        let comparing = Comparing {
            method,
            ..comparing()
        };
        compare_table(&comparing, &self.plan, &mut self.between, known, notes).await
    }

    /// Compares, and expects these differences: key, kind, columns.
    pub async fn check(&mut self, expect: &[(&str, &str)]) -> Figures {
        let mut notes = Notes::default();
        let figures = self.compare(&mut notes).await.expect("compared");
        let mut found: Vec<(String, String)> = notes
            .findings
            .iter()
            .map(|finding| (self.key(finding), self.kind(finding)))
            .collect();
        found.sort();
        let mut wanted: Vec<(String, String)> = expect
            .iter()
            .map(|(key, kind)| ((*key).to_owned(), (*kind).to_owned()))
            .collect();
        wanted.sort();
        assert_eq!(found, wanted);
        assert_eq!(figures, notes.figures);
        assert_eq!(figures.proved(), expect.len() as u64);
        figures
    }

    fn key(&self, finding: &Finding) -> String {
        let values = finding.key.iter();
        let texts: Vec<String> = values
            .map(|value| {
                value
                    .as_sql_text()
                    .map_or("NULL".into(), |it| it.into_owned())
            })
            .collect();
        texts.join("|")
    }

    fn kind(&self, finding: &Finding) -> String {
        match &finding.difference {
            Difference::Missing => "missing".to_owned(),
            Difference::Extra => "extra".to_owned(),
            Difference::Different(columns) => {
                let named = columns.iter().map(|place| &*self.plan.columns[*place].name);
                named.collect::<Vec<_>>().join(",")
            }
        }
    }
}
