//! Every key of a node's file, as the types in [`file`](super::file) say: for people in
//! Markdown, and for editors and programs as a JSON schema.

use serde_json::Value;

use super::file::schema;
use super::source::waits_for_restart;

/// The sections of a file in the order of the reference: the way to their schema, and their
/// heading.
const SECTIONS: [(&[&str], &str, &str); 7] = [
    (&[], "", "Before the first section"),
    (&["edge"], "edge", "`[edge]`"),
    (
        &["edge", "members"],
        "edge.members",
        "Each of `members` in `[edge]`",
    ),
    (&["home"], "home", "`[home]`"),
    (&["tls"], "tls", "`[tls]`"),
    (&["tls", "certs"], "tls.certs", "Each of `certs` in `[tls]`"),
    (&["dns"], "dns", "`[dns]`"),
];

/// The schema as JSON (draft 2020-12), with a newline at its end.
#[must_use]
pub fn json_schema() -> String {
    format!("{:#}\n", schema().to_value())
}

/// The reference: a table for each section.
#[must_use]
pub fn markdown() -> String {
    let root = schema().to_value();
    let mut text = String::new();
    for (path, name, heading) in SECTIONS {
        let Some(section) = section(&root, path) else {
            continue;
        };
        if !text.is_empty() {
            text.push('\n');
        }
        write_section(&mut text, section, name, heading);
    }
    text
}

/// The schema of a section, or of the tables in a list.
fn section<'a>(root: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(root, |at, key| {
        let found = at.get("properties")?.get(key)?;
        Some(found.get("items").unwrap_or(found))
    })
}

fn write_section(text: &mut String, section: &Value, name: &str, heading: &str) {
    let head = "| key | holds | default | restart | meaning |\n|---|---|---|---|---|\n";
    text.push_str(&format!("**{heading}**\n\n{head}"));
    let needed = section.get("required").and_then(Value::as_array);
    let keys = section.get("properties").and_then(Value::as_object);
    let keys = keys.into_iter().flatten();
    // Sections have a table of their own.
    for (key, about) in keys.filter(|(_, about)| about.get("properties").is_none()) {
        let is_needed = needed.is_some_and(|keys| keys.iter().any(|one| one == key));
        let default = match about.get("default") {
            _ if is_needed => "needed".to_owned(),
            Some(default) => format!("`{default}`"),
            None => String::new(),
        };
        let restart = if waits_for_restart(name, key) {
            "yes"
        } else {
            ""
        };
        let (holds, meaning) = (holds(about), meaning(about));
        text.push_str(&format!(
            "| `{key}` | {holds} | {default} | {restart} | {meaning} |\n"
        ));
    }
}

/// What a key holds, in words.
fn holds(about: &Value) -> String {
    if let Some(choices) = choices(about) {
        let choices: Vec<String> = choices.map(|(word, _)| format!("`\"{word}\"`")).collect();
        return choices.join(", ");
    }
    match about.get("type").and_then(Value::as_str) {
        Some("boolean") => "true, false".to_owned(),
        Some("string") => "text".to_owned(),
        Some("integer") => {
            let bound = |key| about.get(key).map(Value::to_string).unwrap_or_default();
            format!("{} to {}", bound("minimum"), bound("maximum"))
        }
        Some("array") => match about.get("items") {
            Some(items) if items.get("properties").is_some() => "list of tables".to_owned(),
            Some(_) | None => "list of texts".to_owned(),
        },
        Some(_) | None => String::new(),
    }
}

/// The words that a key may be, each with its meaning.
fn choices(about: &Value) -> Option<impl Iterator<Item = (&str, &str)>> {
    let either = about.get("oneOf")?.as_array()?;
    Some(either.iter().filter_map(|one| {
        let word = one.get("const")?.as_str()?;
        let meaning = one.get("description").and_then(Value::as_str);
        Some((word, meaning.unwrap_or_default()))
    }))
}

/// What a key means: its sentence, and those of its words.
fn meaning(about: &Value) -> String {
    let said = about.get("description").and_then(Value::as_str);
    let mut text = said.unwrap_or_default().replace('\n', " ");
    for (word, meaning) in choices(about).into_iter().flatten() {
        let meaning = meaning.trim_end_matches('.').replace('\n', " ");
        text.push_str(&format!(" \"{word}\": {}.", uncapitalised(&meaning)));
    }
    text
}

fn uncapitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

#[cfg(test)]
pub(crate) mod tests;
