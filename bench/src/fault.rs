//! kill -9 three times under a steady load. An append-only audit at the replica, which knows no engine, counts what every change did.

use crate::Sizes;
use crate::bed::{Bed, DATABASE, PATIENCE, PEER_DATABASE, PIPELINE};
use crate::peer::{self, Connectors, Tuning};
use crate::report::{Report, Result, float};
use crate::running::{Half, Road, RoadOptions};
use crate::topic::{Topics, envelope};
use keylane_parts::wait_until;
use rdkafka::message::Message;
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;

const COUNTERS: u64 = 200;
/// When the kills come, as shares of the run.
const KILLS: [f64; 3] = [0.2, 0.45, 0.7];
const TABLE: &str = "create table counters(id int primary key, version int not null)";
const AUDIT: &str = "
    create table audit(seq bigserial primary key, at timestamptz not null default clock_timestamp(), tbl text not null, op text not null,
        id bigint not null, version int not null);
    create function audited() returns trigger language plpgsql as $$ begin
      if tg_op = 'DELETE' then insert into audit(tbl, op, id, version) values (tg_table_name, tg_op, old.id, old.version);
      else insert into audit(tbl, op, id, version) values (tg_table_name, tg_op, new.id, new.version); end if;
      return null; end $$;
    create trigger audited after insert or update or delete on counters for each row execute function audited();
    create trigger audited after insert or update or delete on orders for each row execute function audited();
    create table begun_with(id int, version int);
    -- Effects of the load alone: what brought the road up may be told again too.
    create view counted as select * from audit a where not (tbl = 'orders' and id = 0)
        and not (tbl = 'counters' and exists (select from begun_with b where b.id = a.id and b.version = a.version));";
/// From here on effects are counted.
const COUNT_FROM_HERE: &str =
    "truncate audit; truncate begun_with; insert into begun_with select id, version from counters";
const TRANSACTION: &str =
    "with counted as (update counters set version = version + 1 where id = $1 returning id)
    insert into orders select $2, id, 'new', 12.5, 'counted', 1 from counted";

pub(crate) fn run(keylane: &Path, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let rate = sizes.rate.unwrap_or(200);
    let seconds = sizes.seconds.unwrap_or(75);
    report.condition("changes_per_s", rate);
    report.condition("seconds", seconds);
    report.condition("kills", KILLS.len());
    let bed = Bed::start(report)?;
    bed.everywhere(TABLE)?;
    bed.everywhere(&format!(
        "insert into counters select i, 0 from generate_series(1, {COUNTERS}) i"
    ))?;
    bed.replica.psql(DATABASE, AUDIT)?;
    bed.replica.psql(PEER_DATABASE, AUDIT)?;
    let mut load = Load {
        rate,
        seconds,
        next_id: 1,
    };
    through_keylane(keylane, sizes, &bed, &mut load, report)?;
    if sizes.peer.is_some() {
        through_debezium(&bed, &mut load, report)?;
    }
    Ok(())
}

fn through_keylane(
    keylane: &Path,
    sizes: &Sizes,
    bed: &Bed,
    load: &mut Load,
    report: &mut Report,
) -> Result<()> {
    // Folding would hide effects from the audit.
    let options = RoadOptions {
        fold: false,
        ..RoadOptions::of(sizes)
    };
    let road = Road::new(keylane, bed, options)?;
    let mut both = road.start(Half::Both)?;
    both.await_streaming()?;
    await_caught_up(bed, DATABASE)?;
    bed.replica.psql(DATABASE, COUNT_FROM_HERE)?;
    let mut running = Some(both);
    let sent = load.run(bed, || {
        if let Some(killed) = running.take() {
            killed.kill9()?;
        }
        running = Some(road.start(Half::Both)?);
        Ok(())
    })?;
    await_caught_up(bed, DATABASE)?;
    let topics = Topics::of(&bed.kafka.bootstrap(), PIPELINE)?;
    tell(bed, DATABASE, &topics, sent, "keylane", report)?;
    running.map_or(Ok(()), |both| both.stop())
}

fn through_debezium(bed: &Bed, load: &mut Load, report: &mut Report) -> Result<()> {
    let tables = ["public.orders", "public.counters"];
    let options = peer::options(bed, &tables, Connectors::Both, Tuning::Shipped, report)?;
    let first = load.next_id;
    // What Keylane's run left is there when Debezium begins.
    let copied = bed.origin.psql(
        DATABASE,
        "select string_agg(format('(%s,%s)', id, version), ',') from counters",
    )?;
    bed.replica.psql(
        PEER_DATABASE,
        &format!("truncate counters; insert into counters values {copied}"),
    )?;
    let primer = "insert into orders values (0, 0, '', 0, '', 0); update counters set version = version where id = 1";
    let (mut debezium, topics) = peer::start_primed(bed, options, primer, 2)?;
    wait_until("Debezium's first row", PATIENCE, || {
        Ok(bed
            .replica
            .psql(PEER_DATABASE, "select count(*) from orders")?
            == "1")
    })?;
    bed.replica.psql(PEER_DATABASE, COUNT_FROM_HERE)?;
    let before = bed
        .origin
        .psql(DATABASE, "select sum(version) from counters")?;
    let sent = load.run(bed, || {
        debezium.kill9()?;
        Ok(debezium.restart()?)
    })?;
    let wanted = format!("{}", sent / 2);
    wait_until("Debezium to catch up", PATIENCE, || {
        let sql = format!("select count(*) from orders where id >= {first}");
        let all = bed.replica.psql(PEER_DATABASE, &sql)? == wanted;
        let sums = "select sum(version) from counters";
        Ok(all && bed.replica.psql(PEER_DATABASE, sums)? == bed.origin.psql(DATABASE, sums)?)
    })?;
    eprintln!("  counters stood at {before} when Debezium began");
    tell(bed, PEER_DATABASE, &topics, sent, "debezium", report)?;
    Ok(debezium.stop()?)
}

fn await_caught_up(bed: &Bed, database: &str) -> Result<()> {
    let sum = "select (select sum(version) from counters), (select count(*) from orders)";
    let goal = bed.origin.psql(DATABASE, sum)?;
    Ok(wait_until("the replica to catch up", PATIENCE, || {
        Ok(bed.replica.psql(database, sum)? == goal)
    })?)
}

/// What the audit saw.
fn tell(
    bed: &Bed,
    database: &str,
    topics: &Topics,
    sent: u64,
    who: &str,
    report: &mut Report,
) -> Result<()> {
    let number =
        |sql: &str| -> Result<f64> { Ok(bed.replica.psql(database, sql)?.trim().parse()?) };
    let effects = number("select count(*) from counted")?;
    let distinct =
        number("select count(*) from (select distinct tbl, id, version from counted) a")?;
    let back = number(
        "select count(*) from (select version, lag(version) over (partition by tbl, id order by seq) as before from counted) a where version < before",
    )?;
    let gap = number(
        "select coalesce(max(extract(epoch from at - before)), 0) from (select at, lag(at) over (order by seq) as before from counted) a",
    )?;
    report.figure(&format!("{who}_changes"), float(sent));
    report.figure(&format!("{who}_effects"), effects);
    report.figure(&format!("{who}_doubled_effects"), effects - distinct);
    report.figure(&format!("{who}_steps_back"), back);
    report.figure(&format!("{who}_lost"), float(sent) - distinct);
    report.figure(&format!("{who}_longest_pause_s"), gap);
    let duplicates = duplicates(topics)?;
    report.figure(&format!("{who}_duplicates_in_topics"), float(duplicates));
    Ok(())
}

/// Records that tell a change of which another record tells too.
fn duplicates(topics: &Topics) -> Result<u64> {
    let mut seen = HashSet::new();
    let mut twice = 0;
    topics.read(|message| {
        let told = envelope(message).and_then(|envelope| {
            let after = envelope.get("after")?;
            let op = envelope.get("op")?.as_str()?.to_owned();
            let row = (after.get("id")?.as_i64()?, after.get("version")?.as_i64()?);
            (op != "r").then(|| (message.topic().to_owned(), op, row))
        });
        if let Some(told) = told
            && !seen.insert(told)
        {
            twice += 1;
        }
    })?;
    Ok(twice)
}

/// Two changes in each transaction: a counter goes up by one, an order is inserted.
struct Load {
    rate: u64,
    seconds: u64,
    next_id: i64,
}

impl Load {
    /// Runs the load in a thread of its own while `kill` is called three times. Says how many changes were committed.
    fn run(&mut self, bed: &Bed, mut kill: impl FnMut() -> Result<()>) -> Result<u64> {
        let (url, transactions) = (bed.origin.url(DATABASE), self.rate * self.seconds / 2);
        let (first, rate) = (self.next_id, self.rate);
        self.next_id += i64::try_from(transactions)?;
        let begun = Instant::now();
        let sending = std::thread::spawn(move || send(&url, first, transactions, rate));
        for share in KILLS {
            let at = Duration::from_secs_f64(float(self.seconds) * share);
            std::thread::sleep(at.saturating_sub(begun.elapsed()));
            eprintln!("  kill -9 after {:.0} s", begun.elapsed().as_secs_f64());
            kill()?;
        }
        match sending.join() {
            Ok(sent) => sent,
            Err(_) => Err("the load's thread did not end well".into()),
        }
    }
}

fn send(url: &str, first: i64, transactions: u64, rate: u64) -> Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        let driving = tokio::spawn(connection);
        let statement = client.prepare(TRANSACTION).await?;
        let begin = tokio::time::Instant::now();
        for number in 0..transactions {
            tokio::time::sleep_until(begin + Duration::from_micros(number * 2_000_000 / rate))
                .await;
            let counter = i32::try_from(1 + number * 7_919 % COUNTERS)?;
            let id = first + i64::try_from(number)?;
            client.execute(&statement, &[&counter, &id]).await?;
        }
        drop(client);
        driving.await??;
        Ok(transactions * 2)
    })
}
