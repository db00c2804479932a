//! Every message is read back as it was, and its JSON keeps its form.

use keylane_core::notify::samples;

use super::message::MessageForm;

#[test]
fn every_message_is_read_back_as_it_was() {
    let samples = samples("shop", true);
    assert!(samples.len() > 15, "{}", samples.len());
    for message in samples {
        let text = serde_json::to_string(&MessageForm::from(&message)).expect("it is written");
        let form: MessageForm = serde_json::from_str(&text).expect("it is read");
        assert_eq!(form.read(), Ok(message), "{text}");
    }
}

#[test]
fn what_a_later_version_adds_is_read_over_and_an_unknown_word_is_named() {
    let known = r#"{"news":"test","severity":"notice","at":"2026-11-27T09:00:00.000001Z","new":1}"#;
    let form: MessageForm = serde_json::from_str(known).expect("it is read");
    let message = form.read().expect("it is known");
    assert_eq!(message.at_us, 1_795_770_000_000_001);
    let unknown = known.replace("\"test\"", "\"song\"");
    let form: MessageForm = serde_json::from_str(&unknown).expect("it is read");
    assert_eq!(form.read(), Err("news song".to_owned()));
}
