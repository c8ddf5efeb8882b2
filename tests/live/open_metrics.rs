//! What OpenMetrics 1.0 asks of a page, checked line by line.

use std::collections::{BTreeMap, HashMap, HashSet};

/// A family as its head says it.
#[derive(Debug)]
struct Family {
    name: String,
    kind: String,
    unit: Option<String>,
}

/// One line with a value.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, &'a str)>,
    value: f64,
}

/// What was seen of a page so far.
#[derive(Default)]
struct Reader {
    wrong: Vec<String>,
    families: HashSet<String>,
    series: HashSet<String>,
    family: Option<Family>,
    /// The last bound and count of each histogram.
    classes: HashMap<String, (f64, f64)>,
    /// How much each histogram has counted.
    counts: BTreeMap<String, f64>,
}

/// Everything that is wrong with a page.
pub(crate) fn lint(page: &str) -> Vec<String> {
    let Some(body) = page.strip_suffix("# EOF\n") else {
        return vec!["it does not end with # EOF".to_owned()];
    };
    let mut reader = Reader::default();
    for line in body.lines() {
        match line.strip_prefix("# ") {
            Some(head) => reader.head(line, head),
            None => reader.line(line),
        }
    }
    for (key, count) in &reader.counts {
        if reader.classes.get(key) != Some(&(f64::INFINITY, *count)) {
            let text = format!("the last class of {key} is not all");
            reader.wrong.push(text);
        }
    }
    reader.wrong
}

impl Reader {
    fn head(&mut self, line: &str, head: &str) {
        let mut words = head.splitn(3, ' ');
        let (word, name, rest) = (words.next(), words.next(), words.next());
        let (Some(word), Some(name), Some(rest)) = (word, name, rest) else {
            return self.wrong.push(format!("no head: {line}"));
        };
        if word == "HELP" {
            if !self.families.insert(name.to_owned()) {
                self.wrong.push(format!("{name} has two heads"));
            }
            if !rest.ends_with('.') {
                self.wrong
                    .push(format!("the meaning of {name} is no sentence"));
            }
            self.family = Some(Family {
                name: name.to_owned(),
                kind: String::new(),
                unit: None,
            });
            return;
        }
        let family = self.family.as_mut().filter(|family| family.name == name);
        match (word, family) {
            ("TYPE", Some(family)) => rest.clone_into(&mut family.kind),
            ("UNIT", Some(family)) => {
                family.unit = Some(rest.to_owned());
                if !name.ends_with(&format!("_{rest}")) {
                    self.wrong
                        .push(format!("{name} does not end with its unit"));
                }
            }
            (_, _) => self.wrong.push(format!("a head of nothing: {line}")),
        }
    }

    fn line(&mut self, line: &str) {
        let (Some(sample), Some(family)) = (sample(line), &self.family) else {
            return self.wrong.push(format!("no sample of a family: {line}"));
        };
        let misnamed = misnamed(&sample, family);
        self.wrong
            .extend(misnamed.map(|why| format!("{why}: {line}")));
        let mut key = sample.labels.clone();
        key.sort_unstable();
        if !self.series.insert(format!("{} {key:?}", sample.name)) {
            self.wrong.push(format!("twice: {line}"));
        }
        if family.kind != "histogram" {
            return;
        }
        key.retain(|(name, _)| *name != "le");
        let key = format!("{} {key:?}", family.name);
        if sample.name.ends_with("_bucket") {
            let bound = sample.labels.iter().find(|(name, _)| *name == "le");
            let bound = bound.map_or("", |(_, bound)| bound).replace('+', "");
            let bound: f64 = bound.parse().unwrap_or(f64::NAN);
            let before = self.classes.insert(key, (bound, sample.value));
            let (last, count) = before.unwrap_or((f64::NEG_INFINITY, 0.0));
            if bound.is_nan() || bound <= last || sample.value < count {
                self.wrong.push(format!("classes out of order: {line}"));
            }
        } else if sample.name.ends_with("_count") {
            self.counts.insert(key, sample.value);
        }
    }
}

/// The families of a page.
pub(crate) fn families(page: &str) -> Vec<&str> {
    let heads = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    heads.filter_map(|head| head.split(' ').next()).collect()
}

/// What is wrong with the name of a sample.
fn misnamed(sample: &Sample<'_>, family: &Family) -> Option<String> {
    let is_name = |name: &str| {
        let mut letters = name.bytes();
        letters
            .next()
            .is_some_and(|first| first.is_ascii_lowercase())
            && letters.all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
    };
    let labels = || sample.labels.iter().map(|(name, _)| *name);
    if !is_name(sample.name) || !labels().all(is_name) {
        return Some("a name of other letters".to_owned());
    }
    let Some(suffix) = sample.name.strip_prefix(&*family.name) else {
        return Some(format!("not of {}", family.name));
    };
    let is_suffix = match &*family.kind {
        "counter" => suffix == "_total",
        "gauge" => suffix.is_empty(),
        "info" => suffix == "_info",
        "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
        _ => false,
    };
    let is_reserved = ["_total", "_info", "_bucket", "_count", "_sum", "_created"]
        .iter()
        .any(|end| family.name.ends_with(end));
    if !is_suffix || is_reserved {
        return Some(format!("not what a {} is called", family.kind));
    }
    let is_time = ["_seconds", "_bytes"]
        .iter()
        .any(|unit| family.name.ends_with(unit));
    if is_time != family.unit.is_some() {
        return Some("its unit is not said".to_owned());
    }
    let is_count = matches!(&*family.kind, "counter" | "histogram");
    (is_count && (sample.value < 0.0 || sample.value.is_nan()))
        .then(|| "a count below zero".to_owned())
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, labels)) = series.split_once('{') else {
        return Some(Sample {
            name: series,
            labels: Vec::new(),
            value,
        });
    };
    let mut rest = labels.strip_suffix('}')?;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let (text, after) = after.split_once('"')?;
        if text.contains('\\') || label.is_empty() {
            return None;
        }
        all.push((label, text));
        rest = match after {
            "" => "",
            after => after.strip_prefix(',')?,
        };
    }
    Some(Sample {
        name,
        labels: all,
        value,
    })
}

#[test]
fn a_page_that_is_wrong_is_found_out() {
    let good = "# HELP a_seconds A.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n\
                a_seconds_sum{x=\"1\"} 1.5\na_seconds_count{x=\"1\"} 2\n\
                a_seconds_bucket{x=\"1\",le=\"0.1\"} 1\na_seconds_bucket{x=\"1\",le=\"+Inf\"} 2\n\
                # HELP b B.\n# TYPE b counter\nb_total 3\n# HELP c C.\n# TYPE c gauge\nc -1\n# EOF\n";
    assert_eq!(lint(good), [""; 0]);
    for (from, to, why) in [
        ("# EOF\n", "", "does not end"),
        ("b_total", "b", "not what a counter"),
        ("c -1", "c -1\nc 2", "twice"),
        ("+Inf\"} 2", "+Inf\"} 3", "is not all"),
        ("le=\"0.1\"} 1", "le=\"0.1\"} 5", "out of order"),
        ("# UNIT a_seconds seconds\n", "", "unit is not said"),
        ("# TYPE c gauge\n", "", "not what a "),
        ("# HELP c C.", "# HELP b B.", "two heads"),
        ("c -1", "c_total -1", "not what a gauge"),
        ("b_total 3", "b_total -3", "below zero"),
        ("x=\"1\"} 1.5", "x=1} 1.5", "no sample"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        let wrong = lint(&bad).join("; ");
        assert!(wrong.contains(why), "{why:?}: {wrong}");
    }
}
