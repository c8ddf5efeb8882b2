//! The page that `steadfast trace` reads.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::{Node, as_json};
use crate::control::recording::Reader;
use crate::limits;
use crate::recorder::Filter;

/// A part of what the recorders hold.
pub(super) async fn trace(
    State(admin): State<Arc<Node>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let Some((filter, from)) = question(&query) else {
        let text = "ask as in /trace?texts=joe@example.com or /trace?refusals, with &from=0,0\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    let reader = Reader::new(Arc::clone(&admin.shards), &from);
    let view = reader.view(&admin.name, &filter).await;
    match serde_json::to_string(&view) {
        Ok(text) => as_json(text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// What is asked for, and from where on.
fn question(query: &HashMap<String, String>) -> Option<(Filter, Vec<u64>)> {
    let texts = query.get("texts").map_or("", String::as_str);
    let texts: Vec<Box<[u8]>> = texts
        .lines()
        .filter(|text| !text.is_empty())
        .map(|text| text.as_bytes().into())
        .collect();
    let filter = match (query.contains_key("refusals"), texts.len()) {
        (true, 0) => Filter::Refusals,
        (false, 1..=limits::RECORDER_TEXTS_MAX) => Filter::Texts(texts.into()),
        (_, _) => return None,
    };
    let from = query.get("from").map_or("", String::as_str);
    let from = from.split(',').filter(|number| !number.is_empty());
    let from: Result<Vec<u64>, _> = from.map(str::parse).collect();
    Some((filter, from.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[(&str, &str)]) -> Option<(Filter, Vec<u64>)> {
        let words = words
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        question(&words.collect())
    }

    #[test]
    fn a_question_is_read_or_refused() {
        assert!(
            matches!(asked(&[("refusals", "")]), Some((Filter::Refusals, from)) if from.is_empty())
        );
        let several = asked(&[("texts", "a@b\n\nc"), ("from", "3,18446744073709551615")]);
        let Some((Filter::Texts(texts), from)) = several else {
            panic!("{several:?}")
        };
        assert_eq!((texts.len(), from), (2, vec![3, u64::MAX]));
        for wrong in [
            &[][..],
            &[("texts", "\n")],
            &[("texts", "a"), ("refusals", "")],
            &[("texts", "a"), ("from", "x")],
            &[("texts", "1\n2\n3\n4\n5\n6\n7\n8\n9")],
        ] {
            assert!(asked(wrong).is_none(), "{wrong:?}");
        }
    }
}
