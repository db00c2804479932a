//! What `keylane.yaml` accepts, what it says about mistakes, and that its pages agree with it.

use keylane_core::apply::Threads;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keylane_server::config::{
    Code, Config, ConfigError, ExhaustedAction, Log, Origin, PipelineName, Replica, Secret,
    TableName,
};

const MINIMAL: &str = "version: 1
pipelines:
  shop:
    origin: { postgres: { url: 'postgres://keylane@127.0.0.1:5432/shop' } }
    replica: { postgres: { url: 'postgres://keylane@127.0.0.1:5432/shop_replica' } }
";

/// Variables that the golden files may use; every value that is a secret holds `hunter2`.
pub(crate) fn variable(name: &str) -> Option<String> {
    let value = match name {
        "TEST_PASSWORD" => "hunter2@/:#%",
        "TEST_TOKEN" => "hunter2hunter2hunter2",
        "TEST_URL" => "mysql://app:hunter2@db/shop",
        "TEST_THREADS" => "8",
        "TEST_WORD" => "hunter2",
        "TEST_EMPTY" => "",
        _ => return None,
    };
    Some(value.to_owned())
}

fn load_text(text: &str) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("keylane.yaml");
    fs::write(&path, text).expect("the file is written");
    Config::load_with(&path, &variable)
}

pub(crate) fn pipeline<'c>(config: &'c Config, name: &str) -> &'c keylane_server::config::Pipeline {
    let name = PipelineName::new(name).expect("a legal name");
    config.pipelines.get(&name).expect("the pipeline is there")
}

fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the crate stands in the workspace").to_owned()
}

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config_mistakes")
}

fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Compares with the file, or rewrites it if `UPDATE_GOLDEN` is set.
pub(crate) fn check_golden(path: &Path, actual: &str) -> Result<(), String> {
    if updating() {
        fs::write(path, actual).expect("the golden file is written");
        return Ok(());
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == actual {
        return Ok(());
    }
    Err(format!(
        "{} differs (UPDATE_GOLDEN=1 rewrites)\n--- expected\n{expected}\n--- actual\n{actual}",
        path.display()
    ))
}

#[test]
fn every_golden_mistake_is_reported_as_recorded_and_shows_no_secret() {
    let mut faults = Vec::new();
    let mut codes = BTreeSet::new();
    let mut count = 0;
    let mut files: Vec<PathBuf> = fs::read_dir(golden_dir())
        .expect("the golden directory")
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    for path in files {
        count += 1;
        let Err(error) = Config::load_with(&path, &variable) else {
            faults.push(format!("{} loads", path.display()));
            continue;
        };
        codes.extend(error.problems().iter().map(|problem| problem.code));
        let dir = format!("{}/", golden_dir().display());
        let shown = error.to_string().replace(&dir, "");
        if shown.contains("hunter2") || format!("{error:?}").contains("hunter2") {
            faults.push(format!("{} prints a secret:\n{shown}", path.display()));
        }
        faults.extend(check_golden(&path.with_extension("out"), &shown).err());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(count >= 40, "only {count} mistakes are recorded");
    let missing: Vec<_> = Code::ALL
        .iter()
        .filter(|code| !codes.contains(code))
        .collect();
    // A missing file and an oversized one are not files of the directory.
    assert_eq!(
        missing,
        [&Code::FileUnreadable],
        "codes without a golden mistake"
    );
}

#[test]
fn a_missing_file_says_where_it_was_looked_for() {
    let error = Config::load(Path::new("no/such/keylane.yaml")).expect_err("there is no file");
    let shown = error.to_string();
    assert!(
        shown.starts_with(
            "no/such/keylane.yaml: error[KL-CONFIG-001]: cannot be read: No such file"
        ),
        "{shown}"
    );
    assert!(shown.contains("--config FILE"), "{shown}");
}

#[test]
fn a_file_above_the_limit_is_refused_without_being_parsed() {
    let text = format!("{MINIMAL}{}", "# padding\n".repeat(110_000));
    let error = load_text(&text).expect_err("1.1 MB is too large");
    assert_eq!(error.problems()[0].code, Code::FileRefused);
    assert!(error.to_string().contains("larger than 1MiB"), "{error}");
}

#[test]
fn a_page_of_nested_aliases_ends_at_the_budget() {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    let error = load_text(&text).expect_err("10^12 values");
    assert_eq!(error.problems()[0].code, Code::TooComplex);
}

#[test]
fn a_file_of_a_hundred_thousand_brackets_is_refused_at_once() {
    let error = load_text(&"[".repeat(100_000)).expect_err("too deep");
    assert_eq!(error.problems()[0].code, Code::TooComplex);
}

#[test]
fn thousands_of_mistakes_are_cut_to_a_bound() {
    let keys: String = (0..9_000).map(|n| format!("unknown_{n}: 1\n")).collect();
    let error = load_text(&format!("{MINIMAL}{keys}")).expect_err("unknown keys");
    assert!(error.problems().len() <= 200);
    assert!(error.to_string().lines().count() < 400);
}

#[test]
fn the_commented_default_equals_the_built_in_defaults() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("keylane.yaml");
    fs::write(&path, Config::commented_default()).expect("the file is written");
    let written = Config::load_with(&path, &variable).expect("the default loads");
    fs::write(&path, MINIMAL).expect("the file is written");
    let built_in = Config::load_with(&path, &variable).expect("the minimum loads");
    assert_eq!(written, built_in);
}

#[test]
fn the_commented_default_names_every_key() {
    let text = Config::commented_default();
    for (path, _) in Config::keys() {
        let name = path.rsplit('.').next().expect("a key has a name");
        let found = text.lines().any(|line| {
            line.trim_start_matches([' ', '#'])
                .starts_with(&format!("{name}:"))
        });
        assert!(found, "default.yaml does not name {path}");
    }
}

#[test]
fn the_reference_page_holds_the_tables_that_the_program_reads_by() {
    let path = repository().join("docs/reference/configuration.md");
    let page = fs::read_to_string(&path).expect("the reference page");
    let (begin, end) = (
        "<!-- tables: written by the tests, see UPDATE_GOLDEN -->\n",
        "<!-- end of tables -->",
    );
    let (before, rest) = page
        .split_once(begin)
        .expect("the page marks where the tables begin");
    let (_, after) = rest
        .split_once(end)
        .expect("the page marks where the tables end");
    let expected = format!(
        "{before}{begin}\n{}{end}{after}",
        Config::reference_markdown()
    );
    check_golden(&path, &expected).expect("the page agrees with the program");
    for (key, _) in Config::keys() {
        assert!(
            expected.contains(&format!("| `{key}` |")),
            "{key} is not documented"
        );
    }
}

#[test]
fn every_code_has_a_page() {
    for code in Code::ALL {
        let path = repository().join(format!("docs/errors/{code}.md"));
        let page = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            page.starts_with(&format!("# {code}")),
            "{} is missing or has another title",
            path.display()
        );
        for part in ["## What happened", "## What to do"] {
            assert!(page.contains(part), "{} has no '{part}'", path.display());
        }
    }
}

#[test]
fn all_mistakes_of_a_file_are_reported_together_in_its_order() {
    let text = "version: 1
http: { listen: nowhere }
pipelines:
  shop:
    origin: { sqlite: { path: a.db } }
    replica: { sqlite: { path: a.db } }
    apply:
      threads: 0
      trheads: 4
  other:
    replica: {}
";
    let error = load_text(text).expect_err("five mistakes");
    let found: Vec<(u32, Code)> = error.problems().iter().map(|p| (p.line, p.code)).collect();
    let expected = [
        (2, Code::BadValue),
        (8, Code::OutOfRange),
        (9, Code::UnknownKey),
        (10, Code::MissingKey),
        (11, Code::OneOf),
    ];
    assert_eq!(found, expected, "{error}");
}

#[test]
fn a_password_from_the_environment_needs_no_escaping() {
    let text = MINIMAL.replace(
        "keylane@127.0.0.1:5432/shop'",
        "keylane:${TEST_PASSWORD}@db/shop'",
    );
    let config = load_text(&text).expect("the file loads");
    let Some(Origin::Postgres(origin)) = &pipeline(&config, "shop").origin else {
        panic!("the origin is PostgreSQL");
    };
    assert_eq!(
        origin.url.expose(),
        "postgres://keylane:hunter2%40%2F%3A%23%25@db/shop"
    );
    assert_eq!(origin.url.to_string(), "postgres://keylane:***@db/shop");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_secret_may_stand_in_a_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("pw"), "hunter2@\n").expect("the secret is written");
    let path = dir.path().join("keylane.yaml");
    let text = MINIMAL.replace("/shop_replica'", "/shop_replica', password: 'file:pw'");
    fs::write(&path, text).expect("the file is written");
    let config = Config::load_with(&path, &variable).expect("the file loads");
    let Some(Replica::Postgres { url }) = &pipeline(&config, "shop").replica else {
        panic!("the replica is PostgreSQL");
    };
    assert_eq!(
        url.expose(),
        "postgres://keylane:hunter2%40@127.0.0.1:5432/shop_replica"
    );
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn kafka_properties_and_values_from_variables_are_read() {
    let text = format!(
        "{MINIMAL}    apply: {{ threads: '${{TEST_THREADS}}', lanes: '${{UNSET:-128}}', on_error: {{ then: stop }} }}
log:
  kafka:
    bootstrap: a:9092, b:9092
    properties:
      sasl.password: ${{TEST_PASSWORD}}
      client.rack: /cost/$$5
"
    );
    let config = load_text(&text).expect("the file loads");
    let Log::Kafka(kafka) = &config.log else {
        panic!("the log is Kafka");
    };
    assert_eq!(kafka.bootstrap, ["a:9092", "b:9092"]);
    let property = |name: &str| kafka.properties.get(name).map(Secret::expose);
    assert_eq!(property("sasl.password"), Some("hunter2@/:#%"));
    assert_eq!(property("client.rack"), Some("/cost/$5"));
    let apply = &pipeline(&config, "shop").apply;
    assert_eq!((apply.threads, apply.lanes), (Threads::Number(8), 128));
    assert_eq!(apply.on_error.then, ExhaustedAction::Stop);
    assert_eq!(apply.on_error.backoff, Duration::from_millis(100));
}

#[test]
fn aliases_share_a_block_between_pipelines() {
    let text = "version: 1
pipelines:
  a:
    origin: { sqlite: { path: a.db } }
    replica: { sqlite: { path: ra.db } }
    apply: &fast { threads: 16 }
  b:
    origin: { sqlite: { path: b.db } }
    replica: { sqlite: { path: rb.db } }
    apply: *fast
";
    let config = load_text(text).expect("the file loads");
    assert_eq!(pipeline(&config, "b").apply.threads, Threads::Number(16));
}

#[test]
fn topics_of_another_tool_need_no_origin() {
    let text = "version: 1
log: { kafka: { bootstrap: [a:9092] } }
pipelines:
  shop:
    replica: { sqlite: { path: r.db } }
    from_topics: { debezium: [dbserver.public.orders] }
";
    let config = load_text(text).expect("the file loads");
    let shop = pipeline(&config, "shop");
    assert_eq!(shop.origin, None);
    let topics = shop.from_topics.as_ref().map(|from| from.debezium.clone());
    assert_eq!(topics, Some(vec!["dbserver.public.orders".to_owned()]));
}

#[test]
fn tables_are_carried_by_pattern_less_the_excluded_ones() {
    let text = format!(
        "{MINIMAL}    tables: [public.orders, 'billing.*']
    exclude: [billing.audit]
    topics: {{ order_keys: {{ billing.items: [order_id, item_id] }} }}
"
    );
    let config = load_text(&text).expect("the file loads");
    let shop = pipeline(&config, "shop");
    assert!(shop.carries(Some("public"), "orders"));
    assert!(shop.carries(Some("billing"), "items"));
    assert!(!shop.carries(Some("billing"), "audit"));
    assert!(!shop.carries(Some("public"), "customers"));
    let table = TableName {
        schema: Some("billing".to_owned()),
        table: "items".to_owned(),
    };
    assert_eq!(
        shop.topics.order_keys.get(&table),
        Some(&vec!["order_id".to_owned(), "item_id".to_owned()])
    );
}

#[test]
fn an_order_key_without_a_schema_is_meant_in_any() {
    let text =
        format!("{MINIMAL}    topics: {{ order_keys: {{ items: [order_id], a.lines: [x] }} }}\n");
    let config = load_text(&text).expect("the file loads");
    let topics = &pipeline(&config, "shop").topics;
    let columns = |schema, table| topics.order_key_of(schema, table).map(<[String]>::len);
    assert_eq!(columns(None, "items"), Some(1));
    assert_eq!(columns(Some("public"), "items"), Some(1));
    assert_eq!(columns(Some("a"), "lines"), Some(1));
    assert_eq!(columns(Some("b"), "lines"), None);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_read_over() {
    let text = format!("\u{feff}{}", MINIMAL.replace('\n', "\r\n"));
    let config = load_text(&text).expect("the file loads");
    assert_eq!(config.pipelines.len(), 1);
    let wrong = text.replace("shop:", "shop: &x");
    load_text(&wrong).expect("an anchor is no mistake");
    let error = load_text(&format!("{text}    aply: {{}}\r\n")).expect_err("an unknown key");
    let problem = &error.problems()[0];
    assert_eq!((problem.line, problem.column), (6, 5), "{error}");
}
