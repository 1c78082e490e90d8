//! `lanward history`: the ledger's rows for people, as CSV or as JSON.

use super::{answer, say, Exit};
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::json::{self, json};
use crate::system::ubus::CallError;
use serde_json::{Map, Value};

/// How the rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Csv,
    Json,
}

type Answer = Result<Value, CallError>;

/// Answers are bounded; what does not fit is asked for again, day by day.
const MOST_PAGES: usize = 400;

/// The columns of each kind of row.
const COLUMNS: [(&str, &[&str]); 5] = [
    ("day", &["date", "attempts", "outlier", "why"]),
    ("hour", &["time", "attempts"]),
    (
        "month",
        &[
            "month",
            "attempts",
            "days",
            "per_day",
            "per_day_without_outliers",
            "year_on_year",
        ],
    ),
    ("port", &["date", "protocol", "port", "attempts"]),
    ("source", &["date", "address", "attempts", "ports"]),
];

/// Asks for all rows that `arguments` mean, and writes them.
pub(super) fn history(ask: impl Fn(&str, Value) -> Answer, mut arguments: Map<String, Value>, form: Form) -> Exit {
    let by = arguments.get("by").and_then(Value::as_str).unwrap_or("day").to_string();
    let limit = arguments.get("limit").and_then(Value::as_u64);
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut rows: Vec<Value> = Vec::new();
    for _ in 0..MOST_PAGES {
        let page = match ask("history", Value::Object(arguments.clone())) {
            Ok(page) if page.get("error").is_none() => page,
            failed => return answer(failed, false, |_| String::new()),
        };
        let mut found = page.get("rows").and_then(Value::as_array).cloned().unwrap_or_default();
        let goes_on = page.get("more").and_then(Value::as_bool) == Some(true) && rows.len() + found.len() < limit;
        let first = found.first().and_then(day_of).map(ToString::to_string);
        match first {
            // The first day may not be whole: it comes again, and before it what is older.
            Some(first) if goes_on && found.iter().any(|row| day_of(row) != Some(&first)) => {
                found.retain(|row| day_of(row) != Some(&first));
                arguments.insert("to".into(), first.into());
                rows.splice(0..0, found);
            }
            _ => {
                rows.splice(0..0, found);
                break;
            }
        }
    }
    rows.drain(..rows.len().saturating_sub(limit));
    let columns = COLUMNS
        .iter()
        .find(|(word, _)| *word == by)
        .map_or(&[][..], |(_, columns)| columns);
    say(&match form {
        Form::Json => json::lines(&json!({ "rows": rows })),
        Form::Csv => csv(columns, &rows),
        Form::Text => text(columns, &rows),
    })
}

/// `YYYY-MM-DD` of a row; a month's row has none.
fn day_of(row: &Value) -> Option<&str> {
    let time = row.get("date").or_else(|| row.get("time"))?.as_str()?;
    time.get(..10)
}

fn cell(row: &Value, column: &str) -> String {
    match &row[column] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(ports) => ports.iter().map(port).gathered().join(" "),
        value => json::line(value),
    }
}

fn port(port: &Value) -> String {
    let protocol = port["protocol"].as_str().unwrap_or_default();
    format!(
        "{protocol}/{}={}",
        json::line(&port["port"]),
        json::line(&port["attempts"])
    )
}

/// RFC 4180, with plain line ends.
fn csv(columns: &[&str], rows: &[Value]) -> String {
    let quoted = |text: String| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    };
    let mut lines = format!("{}\n", columns.join(","));
    for row in rows {
        let cells: Vec<String> = columns.iter().map(|column| quoted(cell(row, column))).gathered();
        lines.push_str(&cells.join(","));
        lines.push('\n');
    }
    lines
}

fn text(columns: &[&str], rows: &[Value]) -> String {
    let mut table: Vec<Vec<String>> = vec![columns.iter().map(|column| column.replace('_', " ")).gathered()];
    table.gather(
        rows.iter()
            .map(|row| columns.iter().map(|column| cell(row, column)).gathered()),
    );
    let width = |index: usize| {
        table
            .iter()
            .filter_map(|row| row.get(index))
            .map(String::len)
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).gathered();
    let mut lines = String::new();
    for row in &table {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .gathered();
        lines.push_str(cells.join("  ").trim_end());
        lines.push('\n');
    }
    lines
}

/// Asks for nothing back: every day is forgotten.
pub(super) fn erase(result: Answer) -> Exit {
    answer(result, false, |value| match value["ok"] {
        Value::Bool(true) => "every day was erased\n".into(),
        _ => String::new(),
    })
}
