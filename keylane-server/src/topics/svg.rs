//! A plan as a picture: one box for each topic, as wide as its rate is large beside the others', its tables in it.

use std::fmt::Write as _;

use keylane::workers::capture::topic_name;
use keylane_core::topics::{Plan, amount};

const WIDTH: u32 = 900;
const MARGIN: u32 = 20;
const LINE: u32 = 20;
const GAP: u32 = 14;
const BAR: u32 = 8;

/// The picture, a whole SVG document.
pub fn svg(plan: &Plan, prefix: &str) -> String {
    let most = plan.topics.iter().filter_map(|it| it.load.changes_per_s);
    let most = most.fold(0.0, f64::max);
    let mut boxes = String::new();
    let mut top = MARGIN;
    for topic in &plan.topics {
        let lines = u32::try_from(topic.tables.len()).unwrap_or(u32::MAX / LINE);
        let height = LINE * (lines + 1) + BAR + 12;
        let inner = WIDTH - 2 * MARGIN;
        let rate = topic.load.changes_per_s;
        let share = rate.filter(|_| most > 0.0).map_or(0.0, |rate| rate / most);
        let bar = (f64::from(inner - 20) * share) as u32;
        let rate = rate.map_or_else(
            || "no rate known".to_owned(),
            |rate| format!("{}/s", amount(rate)),
        );
        let _ = write!(
            boxes,
            "<rect x=\"{MARGIN}\" y=\"{top}\" width=\"{inner}\" height=\"{height}\" rx=\"6\" class=\"topic\"/>\n\
             <rect x=\"{}\" y=\"{}\" width=\"{bar}\" height=\"4\" class=\"rate\"/>\n",
            MARGIN + 10,
            top + height - BAR,
        );
        let title = format!(
            "{} · {} partitions · {rate}",
            topic_name(prefix, &topic.name),
            topic.partitions
        );
        words(&mut boxes, MARGIN + 10, top + LINE, "title", &title);
        let mut line = top + LINE;
        for table in &topic.tables {
            line += LINE;
            let follows = if table.name == topic.name { "" } else { "↳ " };
            let shown = format!(
                "{follows}{} by ({})",
                table.name,
                table.order_key.join(", ")
            );
            words(&mut boxes, MARGIN + 24, line, "table", &shown);
        }
        top += height + GAP;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\">\n\
         <title>Topics of {}: {} partitions</title>\n\
         <style>.topic{{fill:#f4f6fb;stroke:#4a5b8c}}.rate{{fill:#4a5b8c}}text{{font:13px sans-serif;fill:#1c2333}}.title{{font-weight:bold}}</style>\n{boxes}</svg>\n",
        top - GAP + MARGIN,
        escaped(prefix),
        plan.partitions()
    )
}

fn words(into: &mut String, x: u32, y: u32, class: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(
        into,
        "<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{text}</text>"
    );
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // XML has no words for these.
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}
