//! A comparison of two tables of a million rows, against checksums in the databases and against copying both tables to nowhere.
//!
//! Keylane, the databases' own MD5 of both sides at once, and `COPY` of both sides in key order to nowhere are measured in turn on the same tables, with 0, 10 and 10,000 rows that differ.

use crate::Peer;
use crate::Sizes;
use crate::report::{Report, Result, float, median, per};
use keylane_parts::{
    Postgres, PostgresOptions, PostgresVersion, cpu_with_ended_children, wait_until,
};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const DATABASE: &str = "postgres";
const ROWS: u64 = 1_000_000;
const ROUNDS: u64 = 3;
const IDLE_WITHIN: Duration = Duration::from_secs(60);
const DIFFERENCES: [u64; 3] = [0, 10, 10_000];

/// Nine columns of the usual kinds, about 150 bytes a row.
const TABLE: &str = "
    create table orders(id bigint primary key, customer int not null, total numeric(12,2) not null, status varchar(20) not null, note text not null,
        created timestamptz not null, due timestamp, paid boolean not null, weight double precision)";
const COLUMNS: &str = "customer, total, status, note, created, due, paid, weight";

/// What one way of comparing came to.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    seconds: f64,
    /// Of both servers.
    cpu_s: f64,
    resident_mb: f64,
}

pub(crate) fn run(keylane: &Path, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let rows = sizes.rows.unwrap_or(ROWS);
    let rounds = sizes.rounds.unwrap_or(ROUNDS);
    report.condition("rows", rows);
    report.condition("rounds", rounds);
    let sides = Sides::start(rows, report)?;
    for differences in DIFFERENCES {
        sides.plant(rows, differences.min(rows / 10))?;
        let (mut ours, mut md5, mut copies) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            md5.push(sides.measure(|| sides.both(&md5_of()))?);
            copies.push(sides.measure(|| sides.both(&copy_of()))?);
            ours.push(sides.keylane(keylane, differences.min(rows / 10))?);
        }
        let name = |what: &str| format!("with_{differences}_{what}");
        let middle = |all: &[Done], of: fn(&Done) -> f64| median(all.iter().map(of).collect());
        let wall: fn(&Done) -> f64 = |it| it.seconds;
        let cpu: fn(&Done) -> f64 = |it| it.cpu_s;
        report.figure(&name("seconds"), middle(&ours, wall));
        report.figure(&name("md5_seconds"), middle(&md5, wall));
        report.figure(&name("copy_seconds"), middle(&copies, wall));
        let of_md5 = |of| per(middle(&ours, of), middle(&md5, of));
        report.figure(&name("of_md5_wall_ratio"), of_md5(wall));
        report.figure(&name("of_md5_database_cpu_ratio"), of_md5(cpu));
        let of_copy = per(middle(&ours, wall), middle(&copies, wall));
        report.figure(&name("of_copy_wall_ratio"), of_copy);
        report.figure(&name("rows_per_s"), per(float(rows), middle(&ours, wall)));
        report.figure(
            &name("resident_peak_mb"),
            middle(&ours, |it| it.resident_mb),
        );
        if sizes.peer == Some(Peer::Reladiff) {
            let theirs = sides.measure(|| sides.reladiff())?;
            report.figure(&name("reladiff_seconds"), theirs.seconds);
            report.figure(
                &name("of_reladiff_ratio"),
                per(theirs.seconds, middle(&ours, wall)),
            );
        }
    }
    Ok(())
}

/// As other tools have it: a count and a sum of parts of each row's MD5.
fn md5_of() -> String {
    format!(
        "select count(*), sum(('x' || substr(md5(concat_ws('|', id, {COLUMNS})), 18))::bit(60)::bigint) from orders"
    )
}

fn copy_of() -> String {
    format!("copy (select id, {COLUMNS} from orders order by id) to stdout (format binary)")
}

fn fill(side: &Postgres, rows: u64) -> Result<()> {
    let sql = format!(
        "insert into orders select n, n % 10007, n / 7.0, 'status ' || n % 5, repeat(md5(n::text), 2), '2020-01-01Z'::timestamptz + n * interval '1 s',
         '2020-01-01'::timestamp + n * interval '1 min', n % 2 = 0, n / 3.0 from generate_series(1, {rows}) n"
    );
    for sql in [&*sql, "vacuum (analyze, freeze) orders", "checkpoint"] {
        side.psql(DATABASE, sql)?;
    }
    Ok(())
}

/// Two servers with the same table.
struct Sides {
    origin: Postgres,
    replica: Postgres,
}

impl Sides {
    fn start(rows: u64, report: &mut Report) -> Result<Self> {
        let server = || {
            let options = PostgresOptions::new(PostgresVersion::V15);
            Postgres::start(
                options
                    .set("autovacuum", "off")
                    .set("shared_buffers", "256MB")
                    .set("max_wal_size", "4GB"),
            )
        };
        let sides = Sides {
            origin: server()?,
            replica: server()?,
        };
        report.condition(
            "postgres",
            sides.origin.psql(DATABASE, "show server_version")?,
        );
        for side in [&sides.origin, &sides.replica] {
            side.psql(DATABASE, TABLE)?;
            fill(side, rows)?;
        }
        Ok(sides)
    }

    /// So many rows differ, scattered: eight of ten changed, one gone, one more.
    fn plant(&self, rows: u64, differences: u64) -> Result<()> {
        if differences == 0 {
            return Ok(());
        }
        self.replica.psql(DATABASE, "truncate orders")?;
        fill(&self.replica, rows)?;
        let step = format!("(select max(id) / {differences} from orders)");
        let (gone, more) = (differences / 10, differences / 10);
        let changed = differences - gone - more;
        for sql in [
            format!(
                "update orders set note = 'changed' where id in (select n * {step} + 1 from generate_series(0, {changed} - 1) n)"
            ),
            format!(
                "delete from orders where id in (select n * {step} + 2 from generate_series(0, {gone} - 1) n)"
            ),
            format!(
                "insert into orders select -n, 1, 1, 's', 'x', now(), null, true, 1 from generate_series(1, {more}) n"
            ),
            "vacuum (analyze) orders".to_owned(),
            "checkpoint".to_owned(),
        ] {
            self.replica.psql(DATABASE, &sql)?;
        }
        Ok(())
    }

    /// Runs a statement on both sides at once, its answer to nowhere.
    fn both(&self, sql: &str) -> Result<()> {
        let mut running = Vec::new();
        for side in [&self.origin, &self.replica] {
            let mut client = side.client("psql", DATABASE);
            client
                .args(["-X", "-q", "-A", "-t", "-c", sql])
                .stdout(Stdio::null());
            running.push(client.spawn()?);
        }
        for mut one in running {
            if !one.wait()?.success() {
                return Err(format!("psql: {sql}").into());
            }
        }
        Ok(())
    }

    fn cpu_s(&self) -> f64 {
        let pids = [self.origin.pid(), self.replica.pid()];
        let of = |pid: Option<u32>| pid.and_then(cpu_with_ended_children).unwrap_or_default();
        float(pids.into_iter().map(of).sum()) / 1e3
    }

    fn measure(&self, way: impl FnOnce() -> Result<()>) -> Result<Done> {
        let (cpu_s, begun) = (self.cpu_s(), Instant::now());
        way()?;
        let seconds = begun.elapsed().as_secs_f64();
        self.await_idle()?;
        Ok(Done {
            seconds,
            cpu_s: self.cpu_s() - cpu_s,
            resident_mb: 0.0,
        })
    }

    /// A server's process may still end, and be counted by nobody, when its client is gone.
    fn await_idle(&self) -> Result<()> {
        let others = "select count(*) from pg_stat_activity where backend_type in ('client backend', 'parallel worker') and pid <> pg_backend_pid()";
        for side in [&self.origin, &self.replica] {
            wait_until("the server to be idle", IDLE_WITHIN, || {
                Ok(side.psql(DATABASE, others)? == "0")
            })?;
        }
        Ok(())
    }

    /// The command as its user runs it; what it found is checked.
    fn keylane(&self, keylane: &Path, differences: u64) -> Result<Done> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(keylane);
        command.current_dir(folder.path()).args([
            "reconcile",
            "--origin",
            &self.origin.url(DATABASE),
            "--replica",
            &self.replica.url(DATABASE),
            "--table",
            "orders",
            "--look-pause",
            "1ms",
            "--format",
            "json",
        ]);
        let mut peak = 0;
        let mut found = Value::Null;
        let mut done = self.measure(|| {
            let mut child = command
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?;
            let pid = child.id();
            while child.try_wait()?.is_none() {
                let usage = keylane_parts::usage_of(pid).unwrap_or_default();
                peak = peak.max(usage.resident_bytes_peak);
                std::thread::sleep(Duration::from_millis(5));
            }
            let output = child.wait_with_output()?;
            found = serde_json::from_slice(&output.stdout)?;
            Ok(())
        })?;
        let table = found["tables"].get(0).cloned().unwrap_or_default();
        let counts = ["missing", "extra", "different"].map(|name| table[name].as_u64());
        let sum: Option<u64> = counts.into_iter().sum();
        if sum != Some(differences) {
            return Err(format!("{differences} rows differ, and it found {table}").into());
        }
        done.resident_mb = float(peak) / 1e6;
        Ok(done)
    }

    fn reladiff(&self) -> Result<()> {
        let packages = keylane_parts::reladiff()?;
        let url = |side: &Postgres| side.url(DATABASE).replace("postgres://", "postgresql://");
        let columns = COLUMNS.split(", ").flat_map(|column| ["-c", column]);
        let status = Command::new("python3")
            .env("PYTHONPATH", packages)
            .args(["-m", "reladiff"])
            .args([&url(&self.origin), "orders", &url(&self.replica), "orders"])
            .args(["-k", "id"])
            .args(columns)
            .stdout(Stdio::null())
            .status()?;
        match status.success() {
            true => Ok(()),
            false => Err("reladiff failed".into()),
        }
    }
}
