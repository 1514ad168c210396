//! The description of the API as one page for people: no script, nothing loaded from anywhere.

use std::fmt::Write as _;

use serde_json::Value;

use super::openapi::{Description, about, reference_of};
use crate::for_each_call;

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #0b62a8; }
@media (prefers-color-scheme: dark) { :root { --accent: #7bbcff; } }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; }
.all { display: grid; grid-template-columns: 15rem minmax(0, 1fr); max-width: 75rem; margin: 0 auto; }
nav { padding: 1.5rem 1rem; position: sticky; top: 0; align-self: start; max-height: 100vh; overflow: auto; }
nav a { display: block; padding: .35rem .5rem; border-radius: .3rem; overflow-wrap: anywhere; }
a { color: var(--accent); }
nav a:hover, nav a:focus { background: var(--soft); }
main { padding: 1.5rem; }
h1 { margin-top: 0; }
h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1.5rem; overflow-wrap: anywhere; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { background: var(--soft); padding: .8rem; border-radius: .4rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem .4rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th:first-child, td:first-child { width: 14rem; }
.tables { overflow-x: auto; }
@media (max-width: 50rem) {
  .all { grid-template-columns: minmax(0, 1fr); }
  nav { position: static; max-height: none; border-bottom: 1px solid var(--line); }
  th:first-child, td:first-child { width: 9rem; }
}";

/// The page.
pub(super) fn html(document: &Description) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Passline API</title>\
         <style>{STYLE}</style></head><body><div class=\"all\">"
    );
    let calls: Vec<(String, &Value)> = paths_in_order()
        .into_iter()
        .map(|path| (path.clone(), &document["paths"][&path]))
        .collect();
    page.push_str("<nav aria-label=\"Calls\">");
    for (path, _) in &calls {
        let name = name_of(path);
        link(&mut page, name, name);
    }
    link(&mut page, "things", "What they are made of");
    page.push_str("<a href=\"/api/v1/openapi.json\">OpenAPI 3.1</a></nav><main><h1>Passline API</h1>");
    for paragraph in text(&document["info"]["description"]).split("\n\n") {
        let _ = write!(page, "<p>{}</p>", marked(paragraph));
    }
    for (path, item) in &calls {
        call(&mut page, document, path, &item["post"]);
    }
    things(&mut page, document);
    page.push_str("</main></div></body></html>\n");
    page
}

/// The calls as they follow each other.
fn paths_in_order() -> Vec<String> {
    let mut paths = Vec::new();
    macro_rules! path {
        ($call:ty) => {
            paths.push(super::path_of::<$call>());
        };
    }
    for_each_call!(path);
    paths
}

fn link(page: &mut String, anchor: &str, label: &str) {
    let _ = write!(page, "<a href=\"#{}\">{}</a>", escaped(anchor), escaped(label));
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn call(page: &mut String, document: &Description, path: &str, operation: &Value) {
    let name = name_of(path);
    let _ = write!(page, "<section><h2 id=\"{0}\">{0}</h2>", escaped(name));
    let _ = write!(
        page,
        "<p><b>{}.</b> {}</p>",
        escaped(text(&operation["summary"])),
        escaped(text(&operation["description"]))
    );
    let request = reference_of(&operation["requestBody"]["content"]["application/json"]["schema"]);
    let answers = &operation["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"];
    let in_session = operation["security"].as_array().is_some_and(|all| !all.is_empty());
    let session = if in_session { "Authorization: Bearer …\n" } else { "" };
    let _ = write!(
        page,
        "<pre>POST {}\n{session}Content-Type: application/json</pre>",
        escaped(path)
    );
    members(page, "Request", document, request.unwrap_or_default());
    members(
        page,
        "Response",
        document,
        reference_of(&answers[0]).unwrap_or_default(),
    );
    page.push_str("<h3>Faults</h3><div class=\"tables\"><table><tr><th>Status</th><th>Problems</th></tr>");
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        if status != "200" {
            let lines = marked(text(&answer["description"])).replace('\n', "<br>");
            let _ = write!(page, "<tr><td>{}</td><td>{lines}</td></tr>", escaped(status));
        }
    }
    page.push_str("</table></div></section>");
}

/// What several calls share.
fn things(page: &mut String, document: &Description) {
    page.push_str("<section><h2 id=\"things\">What they are made of</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        if name.ends_with("Request") || name.ends_with("Response") {
            continue;
        }
        let _ = write!(
            page,
            "<h3 id=\"thing-{0}\">{0}</h3><p>{1}</p>",
            escaped(name),
            marked(text(&schema["description"]))
        );
        if schema["properties"].is_object() {
            members(page, "", document, name);
        } else if let Some(choices) = schema["oneOf"].as_array().or(schema["enum"].as_array()) {
            page.push_str("<div class=\"tables\"><table><tr><th>Value</th><th>Meaning</th></tr>");
            for choice in choices {
                let value = choice["enum"][0]
                    .as_str()
                    .or(choice.as_str())
                    .or(choice["const"].as_str());
                let meaning = text(&choice["description"]);
                let _ = write!(
                    page,
                    "<tr><td><code>{}</code></td><td>{}</td></tr>",
                    escaped(value.unwrap_or_default()),
                    marked(meaning)
                );
            }
            page.push_str("</table></div>");
        } else if let Some(pattern) = schema["pattern"].as_str() {
            let _ = write!(page, "<p>Text that matches <code>{}</code>.</p>", escaped(pattern));
        }
    }
    page.push_str("</section>");
}

fn members(page: &mut String, heading: &str, document: &Description, name: &str) {
    if !heading.is_empty() {
        let _ = write!(page, "<h3>{}</h3>", escaped(heading));
    }
    let schema = document.schema(name);
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let names = document.members(name);
    if names.is_empty() {
        page.push_str("<p>An empty object: <code>{}</code></p>");
        return;
    }
    page.push_str("<div class=\"tables\"><table><tr><th>Member</th><th>What it is</th></tr>");
    for name in names {
        let property = &schema["properties"][name];
        let need = if required.contains(&name) { "" } else { ", optional" };
        let _ = write!(
            page,
            "<tr><td><code>{}</code><br>{}{need}</td><td>{}</td></tr>",
            escaped(name),
            kind_of(property),
            marked(about(property))
        );
    }
    page.push_str("</table></div>");
}

/// The type in a word, with a link where there is more to say.
fn kind_of(property: &Value) -> String {
    if let Some(name) = reference_of(property) {
        return format!("<a href=\"#thing-{0}\">{0}</a>", escaped(name));
    }
    for key in ["oneOf", "allOf", "anyOf"] {
        if let Some(found) = property[key]
            .as_array()
            .and_then(|all| all.iter().find(|one| reference_of(one).is_some()))
        {
            return kind_of(found);
        }
    }
    let types: Vec<&str> = match &property["type"] {
        Value::Array(all) => all
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| *name != "null")
            .collect(),
        one => one.as_str().into_iter().collect(),
    };
    match types.first() {
        Some(&"array") => format!("list of {}", kind_of(&property["items"])),
        Some(name) => escaped(name),
        None => String::new(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Text with `code` in it.
fn marked(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        match index % 2 {
            0 => out.push_str(&escaped(part)),
            _ => drop(write!(out, "<code>{}</code>", escaped(part))),
        }
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_leads_somewhere_and_nothing_is_loaded() {
        let page = html(&Description::of_code());
        for (index, _) in page.match_indices("href=\"#") {
            let anchor = page[index + 7..].split('"').next().unwrap();
            assert!(page.contains(&format!("id=\"{anchor}\"")), "{anchor}");
        }
        for name in ["Login", "UserIVRList", "UserPasswordSync", "JobGet"] {
            assert!(page.contains(&format!("<h2 id=\"{name}\">")), "{name}");
        }
        assert!(!page.contains("<script") && !page.contains("src="));
        assert!(!page.contains("[object") && !page.contains("null"));
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(
            marked("a < b & `c > \"d\"`"),
            "a &lt; b &amp; <code>c &gt; &quot;d&quot;</code>"
        );
    }
}
