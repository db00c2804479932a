//! Whatever a slip of the finger does to a configuration: no crash, a place in the file, and no secret shown.

use std::path::Path;

use keylane_server::config::Config;

/// Every secret holds `hunter2`; everything else is as in life.
const TEXT: &str = r#"version: 1
state_dir: .keylane
http:
  listen: 127.0.0.1:7070
  auth_token: hunter2hunter2hunter2   # hunter2 in a comment
log:
  kafka:
    bootstrap: a:9092,b:9092
    properties:
      security.protocol: SASL_PLAINTEXT
      sasl.mechanism: PLAIN
      sasl.password: "hunter2"
      sasl.username: |
        hunter2
        hunter2
notify:
  channels:
    ops: { slack: { url: https://hooks.slack.com/services/T0/B0/hunter2 } }
    audit:
      webhook:
        url: https://audit/hunter2
        secret: hunter2hunter2hunter2
  digest: "09:00"
  rules: { lag: { above: 5m, for: 10s } }
pipelines:
  shop:
    notify: { channels: [ops] }
    origin:
      postgres:
        url: postgres://keylane:hunter2@db:5432/shop?sslmode=require
        heartbeat: 10s
    replica: { postgres: { url: 'postgres://keylane@db/replica', password: hunter2 } }
    tables: [public.orders, "billing.*"]
    topics: { partitions: 8, order_keys: { public.orders: [id] } }
    apply:
      threads: 4
      on_error: { retry: 8, then: park }
"#;

/// A small generator, so that a failure can be repeated from its seed.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % bound
    }
}

/// One slip: a character lost, changed, doubled, put in, or a line lost, doubled, or indented.
pub(crate) fn slip(text: &str, dice: &mut Dice) -> String {
    const TYPED: [char; 22] = [
        ':', ' ', '\t', '\n', '"', '\'', '{', '}', '[', ']', ',', '#', '&', '*', '!', '|', '-',
        '$', '\\', 'x', 'é', '\u{1}',
    ];
    let mut chars: Vec<char> = text.chars().collect();
    let at = dice.below(chars.len());
    let typed = TYPED[dice.below(TYPED.len())];
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let line = dice.below(lines.len());
    match dice.below(8) {
        0 => {
            chars.remove(at);
        }
        1 => chars[at] = typed,
        2 => chars.insert(at, chars[at]),
        3 => chars.insert(at, typed),
        4 => {
            lines.remove(line);
            return lines.join("\n");
        }
        5 => {
            lines.insert(line, lines[line].clone());
            return lines.join("\n");
        }
        6 => {
            lines[line].insert(0, if dice.below(2) == 0 { ' ' } else { '\t' });
            return lines.join("\n");
        }
        _ => chars.truncate(at),
    }
    chars.into_iter().collect()
}

#[test]
fn no_slip_of_the_finger_crashes_or_shows_a_secret() {
    const SLIPS: u64 = 6_000;
    let parse = |text: &str| Config::parse(text, Path::new("keylane.yaml"), &|_| None);
    parse(TEXT).expect("the text is right before it is wrong");
    let mut refused = 0;
    for seed in 1..=SLIPS {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let text = slip(TEXT, &mut dice);
        // What still loads has its secrets where it looks for them; a password without its colon is a user's name.
        let Err(error) = parse(&text) else {
            continue;
        };
        refused += 1;
        let shown = format!("{error}\n{error:?}");
        assert!(
            !error.problems().is_empty(),
            "seed {seed}: refused without a reason\n{text}"
        );
        // A slip may cut the word, so half of it counts too.
        for secret in ["hunter2", "unter2", "hunter"] {
            assert!(
                !shown.contains(secret),
                "seed {seed} shows {secret}:\n{shown}\nof\n{text}"
            );
        }
    }
    assert!(
        refused > SLIPS / 2,
        "only {refused} of {SLIPS} slips were noticed"
    );
}
