//! A TOML document read key by key, so that every mistake knows its line.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};

use schemars::JsonSchema;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Mistake, file};

/// The file, for the sentences about it.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

/// A table of the document: the root, a section, or an inline one.
pub(super) struct Section<'a> {
    reader: Reader<'a>,
    table: &'a DeTable<'a>,
    /// Where the table begins.
    start: usize,
    /// What it is called in sentences: nothing for the root.
    name: String,
}

impl<'a> Reader<'a> {
    /// Reads the document as TOML.
    pub(super) fn document(self) -> Result<Spanned<DeTable<'a>>, Mistake> {
        DeTable::parse(self.text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let text = format!("is not TOML: {}", error.message().replace('\n', ", "));
            Mistake(format!(
                "{}, line {}: the file {text}",
                self.file,
                self.line(start)
            ))
        })
    }

    pub(super) fn root(self, document: &'a Spanned<DeTable<'a>>) -> Section<'a> {
        Section {
            reader: self,
            table: document.get_ref(),
            start: 0,
            name: String::new(),
        }
    }

    fn line(self, at: usize) -> usize {
        self.text.as_bytes()[..at.min(self.text.len())]
            .iter()
            .filter(|&&b| b == b'\n')
            .count()
            + 1
    }
}

impl<'a> Section<'a> {
    /// Refuses every key but those of the type that describes the section, the first one in the
    /// file first.
    pub(super) fn only<T: JsonSchema>(&self) -> Result<(), Mistake> {
        let known = file::keys_of::<T>();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let unknown = self
            .table
            .keys()
            .filter(|key| !known.contains(&&**key.get_ref()));
        let Some(key) = unknown.min_by_key(|key| key.span().start) else {
            return Ok(());
        };
        let name = key.get_ref();
        let text = match nearest(name, &known) {
            Some(near) => format!("is unknown; did you mean `{near}`?"),
            None => format!("is unknown; the keys here are {}", known.join(", ")),
        };
        Err(self.at(key.span(), name, &text))
    }

    /// The text of a key that must be there.
    pub(super) fn string(&self, key: &str, want: &str) -> Result<String, Mistake> {
        self.text(key, want)?.ok_or_else(|| self.missing(key, want))
    }

    /// The text of a key that may be there.
    pub(super) fn text(&self, key: &str, want: &str) -> Result<Option<String>, Mistake> {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        let text = value
            .get_ref()
            .as_str()
            .map(str::trim)
            .filter(|text| !text.is_empty());
        text.map(|text| Some(text.to_owned()))
            .ok_or_else(|| self.wrong(key, value, want))
    }

    /// A key's text, understood by `parse`, whose error says what would be
    /// right.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        want: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Mistake> {
        let Some(text) = self.text(key, want)? else {
            return Ok(None);
        };
        parse(&text)
            .map(Some)
            .map_err(|why| self.mistake(key, &why))
    }

    /// A list of texts that must be there and not be empty.
    pub(super) fn list<T>(
        &self,
        key: &str,
        want: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, Mistake> {
        let list = self.maybe_list(key, want, parse)?;
        list.ok_or_else(|| self.missing(key, want))
    }

    /// A list of texts that may be there but not be empty.
    pub(super) fn maybe_list<T>(
        &self,
        key: &str,
        want: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, Mistake> {
        let list = self.any_list(key, want, parse)?;
        match (list, self.table.get(key)) {
            (Some(items), Some(value)) if items.is_empty() => Err(self.wrong(key, value, want)),
            (list, _) => Ok(list),
        }
    }

    /// A list of texts that may be there, and empty.
    pub(super) fn any_list<T>(
        &self,
        key: &str,
        want: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, Mistake> {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        let items = value.get_ref().as_array();
        let items = items.ok_or_else(|| self.wrong(key, value, want))?;
        let items = items.iter().map(|item| {
            let text = item
                .get_ref()
                .as_str()
                .ok_or_else(|| self.wrong(key, item, want))?;
            parse(text.trim()).map_err(|why| self.at(item.span(), key, &why))
        });
        items.collect::<Result<_, _>>().map(Some)
    }

    /// A whole number that may be there.
    pub(super) fn number<T: TryFrom<u32> + PartialOrd + Display>(
        &self,
        key: &str,
        range: RangeInclusive<T>,
        want: &str,
    ) -> Result<Option<T>, Mistake> {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        let number = value.get_ref().as_integer();
        let number = number.and_then(|n| u32::from_str_radix(n.as_str(), n.radix()).ok());
        let number = number.and_then(|number| T::try_from(number).ok());
        match number.filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let want = format!("{want}, from {} to {}", range.start(), range.end());
                Err(self.wrong(key, value, &want))
            }
        }
    }

    /// True or false, that may be there.
    pub(super) fn flag(&self, key: &str, want: &str) -> Result<Option<bool>, Mistake> {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        let flag = value.get_ref().as_bool();
        flag.map(Some).ok_or_else(|| self.wrong(key, value, want))
    }

    /// A section that may be there.
    pub(super) fn section(&self, key: &str) -> Result<Option<Self>, Mistake> {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        let Some(table) = value.get_ref().as_table() else {
            return Err(self.wrong(key, value, &format!("a section [{key}]")));
        };
        let name = format!("[{key}] ");
        Ok(Some(Section {
            reader: self.reader,
            table,
            start: value.span().start,
            name,
        }))
    }

    /// A list of inline tables that must be there and not be empty.
    pub(super) fn tables(&self, key: &str, want: &str) -> Result<Vec<Self>, Mistake> {
        let Some(value) = self.table.get(key) else {
            return Err(self.missing(key, want));
        };
        let items = value.get_ref().as_array().filter(|items| !items.is_empty());
        let items = items.ok_or_else(|| self.wrong(key, value, want))?;
        let tables = items.iter().map(|item| {
            let table = item
                .get_ref()
                .as_table()
                .ok_or_else(|| self.wrong(key, item, want))?;
            let name = format!("{}`{key}`: ", self.name);
            Ok(Section {
                reader: self.reader,
                table,
                start: item.span().start,
                name,
            })
        });
        tables.collect()
    }

    /// A mistake about a key: the sentence goes on after its name.
    pub(super) fn mistake(&self, key: &str, text: &str) -> Mistake {
        let span = self.table.get_key_value(key).map(|(key, _)| key.span());
        self.at(span.unwrap_or(self.start..self.start), key, text)
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Where a key that is there stands, to begin a sentence about it.
    pub(super) fn place(&self, key: &str) -> String {
        let span = self.table.get_key_value(key).map(|(key, _)| key.span());
        let line = self.reader.line(span.map_or(self.start, |span| span.start));
        format!("{}, line {line}: `{key}`", self.reader.file)
    }

    /// A mistake about the section as a whole: `text` is the sentence.
    pub(super) fn mistake_at_head(&self, text: &str) -> Mistake {
        let line = self.reader.line(self.start);
        Mistake(format!("{}, line {line}: {text}", self.reader.file))
    }

    pub(super) fn missing(&self, key: &str, want: &str) -> Mistake {
        self.at(
            self.start..self.start,
            key,
            &format!("is missing; it must be {want}"),
        )
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, want: &str) -> Mistake {
        let is = match value.get_ref() {
            DeValue::String(text) if text.trim().is_empty() => "an empty text",
            DeValue::String(_) => "a text",
            DeValue::Integer(number) => number.as_str(),
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(items) if items.is_empty() => "an empty list",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.at(value.span(), key, &format!("must be {want}, and is {is}"))
    }

    fn at(&self, span: Range<usize>, key: &str, text: &str) -> Mistake {
        let (file, line) = (self.reader.file, self.reader.line(span.start));
        Mistake(format!("{file}, line {line}: {}`{key}` {text}", self.name))
    }
}

/// The known key that a mistyped one most likely means.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known.iter().map(|&key| (distance(name, key), key)).min()?;
    (near.0 <= 2).then_some(near.1)
}

/// Levenshtein's distance: insertions, deletions and replacements.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
