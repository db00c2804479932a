//! What stands at the end of each command's help and manual page: how it is called, and what for. The tests read every line back.

pub(super) const KEYLANE: &str = "\
Exit codes:
  0  as asked, also after SIGTERM or SIGINT and a clean stop
  1  an error
  2  wrong usage or configuration
  3  findings: checks that failed, differences
  4  a database or the log is not reachable

Environment:
  KEYLANE_CONFIG      the configuration file, as --config
  KEYLANE_LOG         log levels, such as keylane=debug,info, instead of -v and --quiet
  KEYLANE_LOG_FORMAT  json: one object a line
  NO_COLOR            no colours

Examples:
  keylane demo
      See it work; nothing has to be installed.
  keylane init --from postgres://keylane@shop-db/shop --to postgres://keylane@reports-db/reports
      Write keylane.yaml.
  keylane run
      Run it.";

pub(super) const DEMO: &str = "\
Examples:
  keylane demo --seconds 60 --dir demo
      A minute of traffic; both databases stay in the folder for a look.
  keylane demo --seed 7 --format json
      Repeatable, and read by a script.";

pub(super) const INIT: &str = "\
Examples:
  keylane init --from sqlite:shop.db --to sqlite:replica.db
      Two files and the embedded log.
  keylane init --from postgres://keylane@shop-db/shop --to postgres://keylane@reports-db/reports --kafka kafka-1:9092,kafka-2:9092 --tables sales.*
      One schema, over Kafka.";

pub(super) const CHECK: &str = "\
Examples:
  keylane check
      Ask every database and the log.
  keylane check --offline
      Read the configuration only, for instance before it is committed.";

pub(super) const RUN: &str = "\
Examples:
  keylane run
      Every pipeline, both halves, until SIGTERM.
  keylane run --only capture --pipeline shop
      One half of one pipeline; run the other half elsewhere.
  keylane run --until-caught-up
      As a job: ends once the replica holds what the origin had at the start.";

pub(super) const STATUS: &str = "\
Examples:
  keylane status --watch
      Again every second.
  keylane status shop --format json
      One pipeline, for a script.";

pub(super) const SETTLE: &str = "\
Examples:
  keylane settle --timeout 5m
      Before reading the replica: it holds everything committed at the origin until now.";

pub(super) const PARKED: &str = "\
Examples:
  keylane parked list
      Which keys wait, and why.
  keylane parked redrive --table sales.orders
      Once the cause is mended.
  keylane parked discard 17 --yes
      Leave the replica's row as it is.";

pub(super) const THREADS: &str = "\
Examples:
  keylane threads shop 32
      From now on, and after restarts, until the configuration says another number than now.
  keylane threads shop auto
      As many as turn out to be of use.
  keylane threads shop
      How many there are, and why.";

pub(super) const RECONCILE: &str = "\
Exit codes:
  0  equal
  1  a table could not be compared
  3  differences, or rows that could not be proved either way
  4  a database is not reachable

Examples:
  keylane reconcile
      All tables of all pipelines, while they run.
  keylane reconcile shop --table orders --where \"amount>1000\"
      Some rows of one table.
  keylane reconcile --origin postgres://reader@shop-db/shop --replica sqlite:copy.db --table orders
      Any two databases, without a pipeline.
  keylane reconcile show --rows
      What the latest run found, column by column.";

pub(super) const TRACE: &str = "\
Examples:
  keylane trace orders 42
      The row with the key 42.
  keylane trace sales.items order=7,line=2 --pipeline shop --format json
      A key of two columns, for a script.";

pub(super) const NOTIFY: &str = "\
Examples:
  keylane notify test ops
      Whether the channel takes messages.
  keylane notify preview
      What they look like.
  keylane notify outbox
      What was not told yet, and why.
  keylane notify retry ops
      Send again what was refused, once its cause is mended.";

pub(super) const NOTIFY_TEST: &str = "\
Exit codes:
  0  taken
  1  refused, or not taken now
  4  nobody was reached, or nothing was answered

Examples:
  keylane notify test ops --format json
      For a script.";

pub(super) const NOTIFY_PREVIEW: &str = "\
Examples:
  keylane notify preview --format json
      What is posted, to Slack and to a webhook.";

pub(super) const CONSUME: &str = "\
Examples:
  keylane consume --bootstrap kafka-1:9092 --topic orders --group mailer --http https://mailer/orders --retries 8 --dead-letter orders.dead
      Each order is posted with an Idempotency-Key; one that is refused nine times goes to orders.dead.
  keylane consume --bootstrap kafka-1:9092 --topic orders --group printer --concurrency 4 --exec ./print-order
      Each order on the stdin of a command, four at once, those of one key one after another.
  keylane consume --log .keylane/log.db --topic orders --group printer --exec ./print-order
      The same out of the embedded log of `keylane run`, on its machine.";

pub(super) const TOPICS: &str = "\
Examples:
  keylane topics plan
      What goes where, and why, out of the configuration's origin.
  keylane topics lint --bootstrap kafka-1:9092
      What is wrong with the topics of a cluster.
  keylane topics apply --dry-run
      What would be done to make them as they should be.";

pub(super) const TOPICS_PLAN: &str = "\
Examples:
  keylane topics plan --origin postgres://keylane@shop-db/shop --sample 60s
      Watch a minute of the origin's work, then propose topics.
  keylane topics plan --output yaml
      The topics block of keylane.yaml.
  keylane topics plan --rates rates.yaml --what-if partitions=12,instances=4
      What would change.";

pub(super) const TOPICS_LINT: &str = "\
Examples:
  keylane topics lint
      The configuration, its origin and its cluster.
  keylane topics lint --bootstrap kafka-1:9092 --topics orders.*,payments --client-properties app.properties --given service_ms=10,instances=4
      Any Kafka, and a client of it, without a configuration.
  keylane topics lint --format sarif
      For a code host.";

pub(super) const TOPICS_APPLY: &str = "\
Examples:
  keylane topics apply --dry-run
      What would be created, altered and refused.
  keylane topics apply
      Do it.";

pub(super) const SAGA: &str = "\
Examples:
  keylane saga demo
      Both styles, on one laptop, with nothing installed.
  keylane saga check travel.yaml
      Whether it can be undone and always ends, and in which order its steps go.
  keylane saga serve
      Drive sagas, by the block 'saga' of keylane.yaml.
  keylane saga start travel --data @trip.json --key trip-4711 --wait
      Begin one and wait for its end.
  keylane saga list --state stuck
      Those that need help.";

pub(super) const SAGA_CHECK: &str = "\
Exit codes:
  0  every definition is right
  2  one is wrong, or cannot be read

Examples:
  keylane saga check travel.yaml order.yaml
      Several, for instance before they are committed.
  keylane saga check travel.yaml --format json
      For a script.";

pub(super) const SAGA_SERVE: &str = "\
Examples:
  keylane saga serve
      Drive sagas, and serve /v1/sagas, /healthz, /readyz and /metrics on http.listen.";

pub(super) const SAGA_DEMO: &str = "\
Exit codes:
  0  every saga ended, and the services' books add up
  1  nothing was proven
  3  something does not add up

Examples:
  keylane saga demo
      20 seconds of trips; nothing is installed and nothing is left.
  keylane saga demo --seconds 60 --seed 7 --dir trips
      Leave the services' files in trips; the same trips and kills each time.";

pub(super) const SAGA_START: &str = "\
Exit codes:
  0  it has begun; with --wait: it is completed
  1  another saga has the key; with --wait: it is compensated, stuck or has not ended in time
  2  wrong data, or no such definition
  4  the store is not reachable

Examples:
  keylane saga start travel --data @trip.json --key trip-4711
      Begin it; asked again, the same id is printed and no other saga begins.
  keylane saga start travel@2 --data '{\"price\": 300}' --wait --timeout 5m --format json
      Wait for its end, for a script.";

pub(super) const SAGA_LIST: &str = "\
Examples:
  keylane saga list --state stuck --format json
      Those that need help, for a script.
  keylane saga list --step charge --older 10m
      Those that have waited long at one step.";

pub(super) const SAGA_SHOW: &str = "\
Examples:
  keylane saga show 019ac3f0d2a1-8f2e-03f1c8b1a9d4e6f7
      Its steps, what is expected next, and all that happened.";

pub(super) const SAGA_ACT: &str = "\
Exit codes:
  0  done
  1  refused, of one at least; that it was asked for is noted
  4  the store is not reachable

Examples:
  keylane saga retry 019ac3f0d2a1-8f2e-03f1c8b1a9d4e6f7 --reason 'the bank is back'
      Send again now what is out.
  keylane saga skip 019ac3f0d2a1-8f2e-03f1c8b1a9d4e6f7 --step mail --reason 'the address is gone'
      Go on without a step.
  keylane saga cancel --all --definition travel --at charge --older 1h --reason 'incident 12' --dry-run
      Of which sagas it would be asked.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  keylane completions bash
      Print the script; most shells read it from a file.";
