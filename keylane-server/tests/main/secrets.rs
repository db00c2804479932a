//! No secret and no row value is printed, at the most verbose level either: while rows are parked, connections are lost, and passwords are wrong.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command};

use keylane_parts::{
    Authority, Kafka, KafkaListener, KafkaOptions, Postgres, PostgresOptions, PostgresVersion,
    free_port, wait_until,
};

use crate::site::{PATIENCE, Site};

/// What must never be printed; each stands only where its name says.
const POSTGRES_PASSWORD: &str = "pgsecret-4711";
const KAFKA_PASSWORD: &str = "kafkasecret-4711";
const TOKEN: &str = "tokensecret-4711-4711";
const WRONG_PASSWORD: &str = "wrongsecret-4711";
const VALUE: &str = "rowmarker";
const HIDDEN: [&str; 5] = [
    "pgsecret",
    "kafkasecret",
    "tokensecret",
    "wrongsecret",
    VALUE,
];
/// A key's value: `parked` names it, logs do not.
const KEY: &str = "keymarker";

/// Tables of a text each, with what the replica has against it.
const TABLES: [(&str, &str); 6] = [
    ("too_long", "note varchar(5)"),
    ("checked", "note text check (note not like 'rowmarker%')"),
    ("once", "note text unique"),
    ("number", "note integer"),
    ("lacking", "note text, more text not null"),
    ("guarded", "note text"),
];

fn is_clean(what: &str, text: &str, with_key: bool) {
    for hidden in HIDDEN {
        let place = text.find(hidden);
        let line = place
            .and_then(|place| text.get(place.saturating_sub(300)..text.len().min(place + 100)));
        assert!(
            place.is_none(),
            "{what} shows {hidden}: …{}…",
            line.unwrap_or(text)
        );
    }
    assert!(
        with_key || !text.contains(KEY),
        "{what} shows a key:\n{text}"
    );
}

struct Bed {
    server: Postgres,
    kafka: Kafka,
    _authority: Authority,
}

impl Bed {
    fn start() -> Bed {
        let authority = Authority::new("the brokers' authority").expect("openssl");
        let broker = authority.issue("broker", &["localhost"]).expect("openssl");
        let kafka = KafkaOptions::default().secured(&broker, &[("keylane", KAFKA_PASSWORD)]);
        let server = PostgresOptions::new(PostgresVersion::V15).password(POSTGRES_PASSWORD);
        let bed = Bed {
            server: Postgres::start(server).expect("PostgreSQL starts"),
            kafka: Kafka::start_with(kafka).expect("Kafka starts"),
            _authority: authority,
        };
        for database in ["shop", "reports"] {
            bed.server.create_database(database).expect("a database");
        }
        bed.ask("shop", "create table keyed(k text primary key, note text)");
        bed.ask(
            "reports",
            "create table keyed(k text primary key, note varchar(5))",
        );
        for (table, columns) in TABLES {
            bed.ask(
                "shop",
                &format!("create table {table}(id int primary key, note text)"),
            );
            bed.ask(
                "reports",
                &format!("create table {table}(id int primary key, {columns})"),
            );
        }
        bed.ask(
            "reports",
            "insert into once values (98, 'rowmarker-once'), (99, 'rowmarker-twice')",
        );
        bed.ask(
            "reports",
            "create function guard() returns trigger language plpgsql as $$ begin raise exception 'not this: %', new.note; end $$;
             create trigger guard before insert on guarded for each row execute function guard()",
        );
        bed
    }

    fn ask(&self, database: &str, sql: &str) -> String {
        self.server.psql(database, sql).expect(sql)
    }

    /// Secrets in each of the three ways: written out, from the environment, from a file.
    fn configure(&self, site: &Site, http: &str, origin: &str, replica: &str, kafka: &str) {
        let port = self.server.port();
        std::fs::write(site.path("replica-password"), format!("{replica}\n")).expect("a file");
        let log = format!(
            "log: {{ kafka: {{ bootstrap: '{}', properties: {{ security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, sasl.username: keylane, sasl.password: {kafka} }} }} }}",
            self.kafka.secured(KafkaListener::ClearLogin)
        );
        let pipeline = format!(
            "    origin: {{ postgres: {{ url: 'postgres://postgres:{origin}@127.0.0.1:{port}/shop' }} }}
    replica: {{ postgres: {{ url: 'postgres://postgres@127.0.0.1:{port}/reports', password: 'file:replica-password' }} }}
    apply: {{ on_error: {{ retry: 1 }} }}"
        );
        site.configure(&log, &pipeline);
        let path = site.path("keylane.yaml");
        let text = std::fs::read_to_string(&path).expect("it was written");
        std::fs::write(path, text.replace("listen: off", http)).expect("it is written");
    }
}

fn with_environment(mut command: Command) -> Command {
    command
        .env("THE_TOKEN", TOKEN)
        .env("THE_PASSWORD", POSTGRES_PASSWORD);
    command
}

fn get(port: u16, path: &str, token: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is answered");
    answer
}

/// What a command prints, with everything it can say.
fn told(site: &Site, arguments: &[&str]) -> String {
    let ended = site.run_prepared(with_environment(site.command(arguments)));
    format!("{}{}", ended.stdout, ended.stderr)
}

fn log_of(site: &Site) -> String {
    std::fs::read_to_string(site.path("run.log")).unwrap_or_default()
}

fn start(site: &Site) -> Child {
    let log = std::fs::File::create(site.path("run.log")).expect("a log file");
    let mut command = with_environment(site.command(&["run", "-vv"]));
    command
        .stdout(log.try_clone().expect("a log file"))
        .stderr(log);
    let road = command.spawn().expect("keylane starts");
    keylane_parts::end_with_this_process(&road).expect("it is watched");
    road
}

/// A row of each table is parked, and the connections are cut.
fn trouble(bed: &Bed, site: &Site) {
    for (table, _) in TABLES {
        bed.ask("shop", &format!("insert into {table} values (1, 'rowmarker-once'); update {table} set note = 'rowmarker-twice' where id = 1"));
    }
    bed.ask(
        "shop",
        &format!("insert into keyed values ('{KEY}', '{VALUE}')"),
    );
    let count = "select count(distinct (table_name, key)) from keylane.parked";
    let parked = wait_until("every table's row to be parked", PATIENCE, || {
        Ok(bed
            .server
            .psql("reports", count)
            .is_ok_and(|count| count == "7"))
    });
    assert!(parked.is_ok(), "{}", log_of(site));
    bed.ask(
        "postgres",
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'keylane%'",
    );
    told(site, &["parked", "redrive", "--all", "-vv"]);
    let settled = wait_until("the road to settle", PATIENCE, || {
        let settle = ["settle", "-vv", "--timeout", "10s"];
        let ended = site.run_prepared(with_environment(site.command(&settle)));
        is_clean("settle", &(ended.stdout + &ended.stderr), false);
        Ok(ended.code == Some(0))
    });
    assert!(settled.is_ok(), "{}", log_of(site));
}

/// Everything that can be asked while the road runs.
fn ask_around(site: &Site, port: u16) {
    for path in ["/healthz", "/readyz", "/metrics", "/v1/status"] {
        is_clean(path, &get(port, path, TOKEN), false);
        is_clean(path, &get(port, path, WRONG_PASSWORD), false);
    }
    let parked = get(port, "/v1/parked", TOKEN);
    assert!(parked.contains(KEY), "{parked}");
    is_clean("/v1/parked", &parked, true);
    for arguments in [
        &["parked", "list", "-vv"][..],
        &["parked", "list", "--format", "json"],
    ] {
        let list = told(site, arguments);
        assert!(list.contains(KEY), "{list}");
        is_clean("parked", &list, true);
    }
    let status = told(site, &["status", "-vv", "--format", "json"]);
    is_clean("status", &status, false);
}

#[test]
fn a_road_with_parked_rows_and_lost_connections_prints_no_value_and_no_secret() {
    if keylane_parts::quick() {
        return;
    }
    let bed = Bed::start();
    let site = Site::new();
    let lease = free_port().expect("a port");
    let http = format!(
        "listen: '127.0.0.1:{}', auth_token: '${{THE_TOKEN}}'",
        lease.port()
    );
    let replica = POSTGRES_PASSWORD;
    bed.configure(&site, &http, "${THE_PASSWORD}", replica, KAFKA_PASSWORD);
    is_clean("check", &told(&site, &["check", "-vv"]), false);
    let mut road = start(&site);
    trouble(&bed, &site);
    ask_around(&site, lease.port());
    // A default holds a value, too; the shape's change ends the capture.
    bed.ask("shop", "alter table too_long add column more text default 'rowmarker-default'; insert into too_long values (3, 'rowmarker')");
    let ended = wait_until("the road to end", PATIENCE, || {
        Ok(road.try_wait().is_ok_and(|ended| ended.is_some()))
    });
    let _ = road.kill();
    let code = road.wait().expect("it ends").code();
    let log = log_of(&site);
    assert!(ended.is_ok() && code == Some(1), "{code:?}: {log}");
    assert!(
        log.contains("KL-CAPTURE-110") && log.contains("DEBUG"),
        "{log}"
    );
    is_clean("run", &log, false);
}

#[test]
fn a_wrong_password_is_told_without_being_printed() {
    if keylane_parts::quick() {
        return;
    }
    let bed = Bed::start();
    let right = ("${THE_PASSWORD}", POSTGRES_PASSWORD, KAFKA_PASSWORD);
    for (origin, replica, kafka) in [
        (WRONG_PASSWORD, right.1, right.2),
        (right.0, WRONG_PASSWORD, right.2),
        (right.0, right.1, WRONG_PASSWORD),
    ] {
        let site = Site::new();
        bed.configure(&site, "listen: off", origin, replica, kafka);
        for arguments in [
            &["check", "-vv"][..],
            &["run", "-vv"],
            &["settle", "-vv", "--timeout", "1s"],
            &["status", "-vv"],
            &["parked", "list", "-vv"],
        ] {
            let text = told(&site, arguments);
            is_clean(&arguments.join(" "), &text, false);
        }
        let run = site.run_prepared(with_environment(site.command(&["run", "-vv"])));
        assert_eq!(run.code, Some(1), "{}", run.stderr);
    }
    let site = Site::new();
    let url = |password: &str| {
        format!(
            "postgres://postgres:{password}@127.0.0.1:{}/shop",
            bed.server.port()
        )
    };
    for password in [POSTGRES_PASSWORD, WRONG_PASSWORD] {
        let from = url(password);
        let init = [
            "init",
            "-vv",
            "--force",
            "--from",
            &from,
            "--to",
            &url(WRONG_PASSWORD),
        ];
        is_clean("init", &told(&site, &init), false);
    }
    let written = std::fs::read_to_string(site.path("keylane.yaml")).expect("init wrote it");
    is_clean("what init writes", &written, false);
}

#[test]
fn what_a_trigger_of_a_sqlite_replica_says_is_not_printed() {
    let site = Site::new();
    let pipeline = site.sqlite_pipeline();
    let at = |name: &str, sql: &str| {
        let database = rusqlite::Connection::open(site.path(name)).expect("a database");
        database.execute_batch(sql).expect(sql);
    };
    at(
        "origin.db",
        &format!("UPDATE customers SET name = '{VALUE}' WHERE id = 2"),
    );
    at(
        "replica.db",
        "CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT);
         CREATE TRIGGER guard BEFORE INSERT ON customers WHEN new.name LIKE 'row%' BEGIN SELECT RAISE(ABORT, 'not this: ' || new.name); END;",
    );
    site.configure(
        "",
        &format!("{pipeline}\n    apply: {{ on_error: {{ retry: 1 }} }}"),
    );
    let run = site.run(&["run", "-vv", "--until-caught-up"]);
    is_clean("run", &run.stderr, false);
    let list = told(&site, &["parked", "list", "-vv"]);
    assert!(list.contains("customers"), "{list}{}", run.stderr);
    is_clean("parked", &list, true);
}

#[test]
fn the_embedded_log_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new();
    let pipeline = site.sqlite_pipeline();
    site.configure("", pipeline);
    let road = site.start(&["run"], "run.log");
    wait_until(
        "the rows to arrive",
        PATIENCE,
        || Ok(site.replicated() == 2),
    )
    .expect("they do");
    for name in ["log.db", "log.db-wal", "log.db-shm"] {
        let file = std::fs::metadata(site.path(".keylane").join(name)).expect(name);
        assert_eq!(file.permissions().mode() & 0o077, 0, "{name}");
    }
    crate::site::terminate(road, &site.path("run.log"));
}
