//! Whatever a slip of the finger does to a definition: no crash, a place in the file, no secret shown, and what is still right is a plan that its own canonical form gives again.

use keylane_server::config::parse_saga;

use crate::config_mutations::{Dice, slip};
use crate::saga_definitions::travel;

fn dice(seed: u64) -> Dice {
    Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

#[test]
fn no_slip_of_the_finger_crashes_the_reader_of_definitions() {
    const SLIPS: u64 = 4_000;
    let right = travel();
    let mut refused = 0;
    for seed in 1..=SLIPS {
        let mut dice = dice(seed);
        let mut text = slip(&right, &mut dice);
        // Every third text has several.
        for _ in 0..(seed % 3) * 2 {
            text = slip(&format!("{text}\n"), &mut dice);
        }
        match parse_saga(&text, "saga.yaml") {
            Ok(plan) => {
                let form = plan.definition().to_json().to_string();
                let again = parse_saga(&form, "saga.json");
                let hash = again.map(|it| it.hash()).map_err(|it| it.to_string());
                assert_eq!(hash, Ok(plan.hash()), "seed {seed}:\n{text}\nis\n{form}");
            }
            Err(error) => {
                refused += 1;
                assert!(
                    !error.problems().is_empty(),
                    "seed {seed}: refused without a reason\n{text}"
                );
            }
        }
    }
    assert!(
        refused > SLIPS / 3,
        "only {refused} of {SLIPS} were noticed"
    );
}

#[test]
fn no_slip_of_the_finger_shows_the_password_of_an_address() {
    const SLIPS: u64 = 4_000;
    let secret = travel().replace("http://hotels", "http://me:hunter2@hotels");
    for seed in 1..=SLIPS {
        let text = slip(&secret, &mut dice(seed));
        let Err(error) = parse_saga(&text, "saga.yaml") else {
            continue;
        };
        // Without its marks it is no address any more, and nobody can know.
        if text.contains("://me:hunter2@") {
            let shown = error.to_string();
            assert!(
                !shown.contains("hunter2"),
                "seed {seed}:\n{shown}\nof\n{text}"
            );
        }
    }
}

#[test]
fn bytes_without_a_meaning_are_refused_or_read_but_never_crash() {
    for seed in 1..=2_000 {
        let mut dice = dice(seed);
        let length = 1 + dice.below(200);
        let text: String = (0..length)
            .map(|_| {
                char::from_u32(u32::try_from(dice.below(0x2_FFFF)).unwrap_or(0)).unwrap_or('-')
            })
            .collect();
        assert!(
            parse_saga(&text, "saga.yaml").is_err(),
            "seed {seed}: {text:?}"
        );
    }
}
