//! `sslmode` on each connection that Keylane makes to PostgreSQL: the origin's, its replication's and the replica's; and for `check` and `init`.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use keylane_parts::{
    Authority, Certificate, Postgres, PostgresOptions, PostgresVersion, wait_until,
};

use crate::site::{PATIENCE, Site, terminate};

/// Servers for the tests of this file.
struct Bed {
    authority: Authority,
    stranger: Authority,
    /// Its certificate is for `localhost`.
    by_name: Postgres,
    /// Its certificate is for 127.0.0.1.
    by_address: Postgres,
    /// Offers no TLS.
    plain: Postgres,
    /// Of the role `certified`, which logs in by it.
    client: Certificate,
}

fn bed() -> Option<&'static Bed> {
    static BED: OnceLock<Bed> = OnceLock::new();
    if keylane_parts::quick() {
        eprintln!("left out: needs PostgreSQL");
        return None;
    }
    Some(BED.get_or_init(|| {
        let authority = Authority::new("the servers' authority").expect("openssl");
        let options = PostgresOptions::new(PostgresVersion::V15);
        let start = |options: PostgresOptions| Postgres::start(options).expect("PostgreSQL starts");
        let under = |hosts: &[&str]| {
            let certificate = authority.issue("server", hosts).expect("openssl");
            let options = options.clone().certificate(&certificate);
            start(options.access("hostssl all certified all cert"))
        };
        Bed {
            by_name: under(&["localhost"]),
            by_address: under(&["127.0.0.1"]),
            plain: start(options.clone()),
            client: authority.issue("certified", &[]).expect("openssl"),
            stranger: Authority::new("another authority").expect("openssl"),
            authority,
        }
    }))
}

/// Two fresh databases of one server, reached alike.
struct Case<'b> {
    server: &'b Postgres,
    number: u32,
    user: &'b str,
    host: &'b str,
    parameters: String,
}

impl<'b> Case<'b> {
    fn new(server: &'b Postgres, host: &'b str, parameters: &str) -> Case<'b> {
        static NUMBERS: AtomicU32 = AtomicU32::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        for side in ["origin", "replica"] {
            let name = format!("{side}{number}");
            server.create_database(&name).expect("a database");
        }
        let tables = "create table customers(id int primary key, name text); insert into customers values (1, 'a'), (2, 'b')";
        server
            .psql(&format!("origin{number}"), tables)
            .expect("a table");
        Case {
            server,
            number,
            user: "postgres",
            host,
            parameters: parameters.to_owned(),
        }
    }

    fn url(&self, side: &str) -> String {
        let (user, host, port) = (self.user, self.host, self.server.port());
        let (number, parameters) = (self.number, &self.parameters);
        format!("postgres://{user}@{host}:{port}/{side}{number}?{parameters}")
    }

    fn site(&self) -> Site {
        let site = Site::new();
        let number = self.number;
        let (origin, replica) = (self.url("origin"), self.url("replica"));
        let pipeline = format!(
            "    origin: {{ postgres: {{ url: '{origin}', slot: tls{number}, publication: tls{number} }} }}\n    replica: {{ postgres: {{ url: '{replica}' }} }}"
        );
        site.configure("", &pipeline);
        site
    }

    /// The road works, and each of its connections is encrypted or each is not.
    fn works(&self, encrypted: bool) {
        let site = self.site();
        assert_eq!(site.failed_checks(), [], "{}", self.parameters);
        let init = self.init(&site);
        assert_eq!(init.code, Some(0), "{}: {}", self.parameters, init.stderr);
        let road = site.start(&["run"], "run.log");
        let replica = format!("replica{}", self.number);
        let there = || self.server.psql(&replica, "select count(*) from customers");
        let arrived = wait_until("the rows to arrive", PATIENCE, || {
            Ok(there().is_ok_and(|count| count == "2"))
        });
        let log = || std::fs::read_to_string(site.path("run.log")).unwrap_or_default();
        assert!(arrived.is_ok(), "{}: {}", self.parameters, log());
        let number = self.number;
        let connections = self.server.psql(
            "postgres",
            &format!(
                "select distinct ssl::text || ' ' || case when application_name ~ 'stream' then 'stream' when application_name ~ 'capture' then 'capture' else 'apply' end
                 from pg_stat_activity join pg_stat_ssl using (pid)
                 where datname in ('origin{number}', 'replica{number}') and application_name like 'keylane%' order by 1"
            ),
        );
        let kinds = ["apply", "capture", "stream"];
        let expected: Vec<String> = kinds
            .iter()
            .map(|kind| format!("{encrypted} {kind}"))
            .collect();
        assert_eq!(
            connections.expect("psql"),
            expected.join("\n"),
            "{}",
            self.parameters
        );
        terminate(road, &site.path("run.log"));
    }

    /// Every command says so at once, in these words.
    fn refused(&self, word: &str) {
        let site = self.site();
        let failed = site.failed_checks();
        for id in ["origin.reachable", "replica.reachable"] {
            let found = failed.iter().find(|(failed, _)| failed == id);
            let told = found.is_some_and(|(_, found)| found.contains(word));
            assert!(told, "{}: {failed:?}", self.parameters);
        }
        let init = self.init(&site);
        assert_eq!(init.code, Some(4), "{}", init.stderr);
        assert!(
            init.stderr.contains(word),
            "{}: {}",
            self.parameters,
            init.stderr
        );
        for (half, code) in [("capture", "KL-CAPTURE-106"), ("apply", "KL-APPLY-006")] {
            let run = site.run(&["run", "--only", half]);
            assert_eq!(run.code, Some(1), "{}", run.stderr);
            let told = run.stderr.contains(word) && run.stderr.contains(code);
            assert!(told, "{}: {}", self.parameters, run.stderr);
        }
    }

    fn init(&self, site: &Site) -> crate::site::Ended {
        let (from, to) = (self.url("origin"), self.url("replica"));
        site.run(&["init", "--config", "new.yaml", "--from", &from, "--to", &to])
    }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

fn under(mode: &str, authority: &Authority) -> String {
    format!(
        "sslmode={mode}&sslrootcert={}",
        show(&authority.certificate())
    )
}

#[test]
fn what_sslmode_asks_for_is_what_every_connection_does() {
    let Some(bed) = bed() else { return };
    let server = &bed.by_name;
    Case::new(server, "localhost", "sslmode=disable").works(false);
    Case::new(&bed.plain, "localhost", "sslmode=prefer").works(false);
    // Encrypted; the other end may be anyone.
    Case::new(server, "127.0.0.1", "sslmode=prefer").works(true);
    Case::new(server, "127.0.0.1", "sslmode=require").works(true);
    // Of a known authority, whatever it calls itself.
    Case::new(server, "127.0.0.1", &under("require", &bed.authority)).works(true);
    Case::new(server, "127.0.0.1", &under("verify-ca", &bed.authority)).works(true);
    Case::new(server, "localhost", &under("verify-ca", &bed.authority)).works(true);
    // And the one that was meant.
    Case::new(server, "localhost", &under("verify-full", &bed.authority)).works(true);
    Case::new(
        &bed.by_address,
        "127.0.0.1",
        &under("verify-full", &bed.authority),
    )
    .works(true);
}

#[test]
fn a_server_that_is_not_trusted_is_refused_at_once() {
    let Some(bed) = bed() else { return };
    let server = &bed.by_name;
    for mode in ["require", "verify-ca", "verify-full"] {
        Case::new(server, "localhost", &under(mode, &bed.stranger))
            .refused("not of an authority that is trusted");
    }
    for mode in ["verify-ca", "verify-full"] {
        let parameters = format!("sslmode={mode}");
        Case::new(server, "localhost", &parameters).refused("not of an authority that is trusted");
    }
    Case::new(server, "127.0.0.1", &under("verify-full", &bed.authority))
        .refused("not for this host name");
    Case::new(
        &bed.by_address,
        "localhost",
        &under("verify-full", &bed.authority),
    )
    .refused("not for this host name");
    for parameters in [
        "sslmode=require",
        &under("verify-ca", &bed.authority),
        &under("verify-full", &bed.authority),
    ] {
        Case::new(&bed.plain, "localhost", parameters).refused("server does not support TLS");
    }
}

#[test]
fn a_client_certificate_is_shown_to_a_server_that_asks_for_one() {
    let Some(bed) = bed() else { return };
    let create = "do $$ begin create role certified login superuser replication; exception when duplicate_object then null; end $$";
    bed.by_name.psql("postgres", create).expect("a role");
    let own = format!(
        "&sslcert={}&sslkey={}",
        show(&bed.client.certificate),
        show(&bed.client.key)
    );
    for mode in ["require", "verify-ca", "verify-full"] {
        let parameters = under(mode, &bed.authority) + &own;
        let case = Case::new(&bed.by_name, "localhost", &parameters);
        Case {
            user: "certified",
            ..case
        }
        .works(true);
    }
    let without = Case::new(
        &bed.by_name,
        "localhost",
        &under("verify-full", &bed.authority),
    );
    Case {
        user: "certified",
        ..without
    }
    .refused("certificate");
}

#[test]
fn paths_of_certificates_start_at_the_configuration() {
    let Some(bed) = bed() else { return };
    let case = Case::new(
        &bed.by_name,
        "localhost",
        "sslmode=verify-full&sslrootcert=trusted.pem",
    );
    let site = case.site();
    std::fs::copy(bed.authority.certificate(), site.path("trusted.pem")).expect("a copy");
    let mut elsewhere = site.command(&["check", "--config"]);
    elsewhere.arg(site.path("keylane.yaml")).current_dir("/");
    let ended = site.run_prepared(elsewhere);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    // To `init` they start where it is called.
    let (from, to) = (case.url("origin"), case.url("replica"));
    let init = site.run(&[
        "init",
        "--config",
        "sub/keylane.yaml",
        "--from",
        &from,
        "--to",
        &to,
    ]);
    assert_eq!(init.code, Some(0), "{}", init.stderr);
    let check = site.run(&["check", "--config", "sub/keylane.yaml"]);
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
    std::fs::remove_file(site.path("trusted.pem")).expect("it is removed");
    let run = site.run(&["run", "--only", "capture"]);
    assert!(
        run.stderr.contains("sslrootcert") && run.stderr.contains("KL-CAPTURE-113"),
        "{}",
        run.stderr
    );
}
