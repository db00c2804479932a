//! One run: traffic, and one who compares and mends.

use keylane_core::model::{Row, TableName, Value};
use keylane_core::reconcile::{
    Engine, Judged, Look, Mend, SideColumn, SideTable, TablePlan, difference, judge, mend, plan,
};

use super::road::{Road, Rows, set};
use super::variants::{Mending, Rules};
use crate::Chance;
use crate::verdict::{Checker, Failure, Findings};

struct World {
    chance: Chance,
    rules: Rules,
    plan: TablePlan,
    road: Road,
    keys: i64,
    commits_left: usize,
    findings: Findings,
}

/// Runs one seed.
pub(super) fn run(seed: u64, variant: &'static str, size: usize) -> Result<Findings, Failure> {
    let mut chance = Chance::new(seed, 1);
    let keys = chance.between(1, 4) as i64;
    let partitions = chance.between(1, 3);
    let mut world = World {
        rules: Rules::of(variant),
        plan: planned(),
        road: Road::new(keys, partitions),
        keys,
        commits_left: size,
        findings: Findings::default(),
        chance,
    };
    while world.commits_left > 0 {
        let key = world.any_key();
        if world.rules.mends_any || world.prove(key, true)? {
            world.mend(key);
        }
        world.traffic();
    }
    world.end()
}

fn planned() -> TablePlan {
    let column = |name: &str| SideColumn {
        name: name.into(),
        type_name: "bigint".into(),
        collation: None,
        generated: false,
    };
    let side = SideTable {
        name: TableName::new("public", "t"),
        columns: vec![column("k"), column("v")],
        key: vec!["k".into()],
    };
    plan((Engine::Postgres, Engine::Postgres), &side, &side).expect("a table with a key")
}

fn row(rows: &Rows, key: i64) -> Option<Row> {
    let number = |number: i64| Value::number(number.to_string());
    rows.get(&key)
        .map(|value| vec![number(key), number(*value)])
}

impl World {
    fn any_key(&mut self) -> i64 {
        self.chance.below(usize::try_from(self.keys).unwrap_or(1)) as i64
    }

    /// What happens meanwhile, if anything does.
    fn traffic(&mut self) {
        for _ in 0..self.chance.below(6) {
            let number = self.chance.below(self.road.partitions.len());
            match self.chance.below(10) {
                0..3 if self.commits_left > 0 => {
                    self.commits_left -= 1;
                    let lost = self.rules.goes_wrong && self.chance.percent(5);
                    self.findings.faults += u64::from(lost);
                    self.road.commit(self.keys, lost, &mut self.chance);
                }
                3..5 => {
                    self.road.capture();
                }
                5 => {
                    self.road.show();
                }
                6..9 => {
                    self.road.apply(number);
                }
                _ if self.rules.goes_wrong && self.chance.percent(20) => {
                    self.findings.faults += 1;
                    let key = self.any_key();
                    let value = self.chance.percent(70).then(|| self.chance.below(3) as i64);
                    self.road.rogue(key, value);
                }
                _ => {}
            }
        }
    }

    /// Looks at a row until it is judged; whether it is proved to differ. `busy`: while there is traffic.
    fn prove(&mut self, key: i64, busy: bool) -> Result<bool, Failure> {
        for tries in 1.. {
            let mut from = self.road.ends();
            self.meanwhile(busy);
            self.level();
            self.meanwhile(busy);
            let origin = row(&self.road.origin, key);
            if self.rules.begun_behind_the_read {
                self.meanwhile(busy);
                from = self.road.ends();
            }
            self.meanwhile(busy);
            let mark = self.road.mark();
            self.meanwhile(busy);
            while !self.rules.mark_not_awaited && !self.road.has_applied(mark) {
                self.meanwhile(busy);
                self.road.capture();
                let number = self.chance.below(self.road.partitions.len());
                self.road.apply(number);
            }
            let mut to = self.road.ends();
            if self.rules.ended_before_the_read {
                self.meanwhile(busy);
            }
            let (replica, right) = (row(&self.road.replica, key), row(&self.road.right, key));
            if !self.rules.ended_before_the_read {
                self.meanwhile(busy);
                to = self.road.ends();
            }
            let ends = (&*from, &*to);
            let touched = self.road.touched(key, ends, false) && !self.rules.touched_ignored;
            // A row that was wrong when the mark passed may have come right since by a change that nobody can see.
            let by_luck = self.road.touched(key, ends, true);
            let found = difference(&self.plan, origin.as_ref(), replica.as_ref());
            match judge(&Look { found, touched }, tries) {
                Judged::Again => {}
                Judged::Equal | Judged::Hot => return Ok(false),
                Judged::Proved(_) if replica == right && !by_luck => {
                    return Err(Failure::new(
                        Checker::Convergence,
                        format!("row {key} is told to differ and is right: {origin:?} {replica:?}"),
                    ));
                }
                Judged::Proved(_) => return Ok(true),
            }
        }
        Ok(false)
    }

    fn level(&mut self) {
        if !self.rules.not_level {
            self.road.mark();
        }
    }

    fn meanwhile(&mut self, busy: bool) {
        if busy {
            self.traffic();
        }
    }

    fn mend(&mut self, key: i64) {
        let mending = self.rules.mending;
        let mut origin = row(&self.road.origin, key);
        self.traffic();
        let seen = row(&self.road.replica, key);
        self.traffic();
        if matches!(mending, Mending::Fenced | Mending::OriginFirst) {
            self.road.fenced = true;
        }
        self.traffic();
        if mending == Mending::Fenced {
            self.level();
            self.traffic();
            origin = row(&self.road.origin, key);
        }
        self.traffic();
        let replica = match mending {
            Mending::Fenced | Mending::OriginFirst => row(&self.road.replica, key),
            Mending::Unfenced | Mending::CompareAndSet => seen.clone(),
        };
        let is_as_seen = row(&self.road.replica, key) == seen;
        let write = mend(&self.plan, origin.as_ref(), replica.as_ref());
        let may = mending != Mending::CompareAndSet || is_as_seen;
        if let Some(write) = write.filter(|_| may) {
            let value = match &write {
                Mend::Delete(_) => None,
                Mend::Insert(row) | Mend::Update { row, .. } => row.get(1).and_then(number),
            };
            set(&mut self.road.replica, key, value);
        }
        self.road.fenced = false;
    }

    /// No more traffic: what is wrong is found, all of it, and mended, and nothing is wrong then.
    fn end(mut self) -> Result<Findings, Failure> {
        self.road.drain();
        let goes_wrong = std::mem::take(&mut self.rules.goes_wrong);
        for key in 0..self.keys {
            let wrong = row(&self.road.origin, key) != row(&self.road.replica, key);
            if !goes_wrong {
                if wrong {
                    return Err(Failure::new(
                        Checker::Convergence,
                        format!("row {key} was made wrong by mending"),
                    ));
                }
                continue;
            }
            let proved = self.prove(key, false)?;
            if proved != wrong {
                let detail = format!("row {key} is wrong: {wrong}, proved: {proved}");
                return Err(Failure::new(Checker::NoLoss, detail));
            }
            if proved {
                self.mend(key);
            }
        }
        match self.road.origin == self.road.replica {
            true => Ok(self.findings),
            false => Err(Failure::new(
                Checker::Convergence,
                "rows are wrong at the end",
            )),
        }
    }
}

fn number(value: &Value) -> Option<i64> {
    value.as_sql_text()?.parse().ok()
}
