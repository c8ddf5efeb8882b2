use std::path::Path;

use axum::body::to_bytes;
use axum::http::HeaderValue;

use super::*;

fn scrape() -> Scrape {
    let numbers = |value| {
        let number = |name, meaning| Number {
            name,
            meaning,
            value,
        };
        let rows = vec![
            number("stun", "STUN requests answered."),
            number("streams", ""),
        ];
        Box::new(Numbers {
            rows,
            phones: Some(crate::id::Transport::ALL.map(|transport| (transport, 3))),
            ..Numbers::default()
        })
    };
    let reason = Reason {
        status: 403,
        reason: "Not Here",
        count: 4,
    };
    Scrape {
        node: "e\"1".to_owned(),
        shards: 3,
        numbers: vec![(0, numbers(7)), (2, numbers(9))],
        status: Status {
            pending: vec!["`listen`".to_owned()],
            generation: 4,
            ..Status::at_start(Path::new("e1.toml"), "")
        },
        reasons: vec![(0, Vec::new()), (2, vec![reason])],
        store: Some(Arc::default()),
        certificates: vec![(
            PathBuf::from("a.pem"),
            Validity {
                from: 1_700_000_000,
                until: 1_800_000_000,
            },
        )],
        counts: vec![
            ("hep_sent", "Sent.", 1),
            ("hep_lost", "Lost.", 2),
            ("events_written", "Written.", 3),
            ("events_lost", "Lost lines.", 4),
            ("recorder_missed", "Missed.", 5),
        ],
        process: ProcessNumbers::read(),
    }
}

async fn page(accept: Option<&'static str>) -> (String, String) {
    let mut headers = HeaderMap::new();
    if let Some(accept) = accept {
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    }
    let response = scrape().respond(&headers);
    let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap();
    let kind = kind.to_owned();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (kind, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn a_family_has_its_meaning_once_and_a_line_a_shard() {
    let (kind, text) = page(None).await;
    assert_eq!(kind, TEXT_TYPE);
    for part in [
        "# HELP steadfast_shards Shards of the node.\n# TYPE steadfast_shards gauge\n\
         steadfast_shards{node=\"e_1\"} 3\n",
        "# TYPE steadfast_shards_answering gauge\nsteadfast_shards_answering{node=\"e_1\"} 2\n",
        "steadfast_config_generation{node=\"e_1\"} 4\n",
        "steadfast_config_pending{node=\"e_1\"} 1\n",
        "# HELP steadfast_stun_total STUN requests answered.\n# TYPE steadfast_stun_total counter\n\
         steadfast_stun_total{node=\"e_1\",shard=\"0\"} 7\nsteadfast_stun_total{node=\"e_1\",shard=\"2\"} 9\n",
        "# HELP steadfast_streams Held at this moment: streams.\n# TYPE steadfast_streams gauge\n\
         steadfast_streams{node=\"e_1\",shard=\"0\"} 7\nsteadfast_streams{node=\"e_1\",shard=\"2\"} 9\n",
        "steadfast_rejected_by_reason_total{node=\"e_1\",shard=\"2\",status=\"403\",reason=\"Not Here\"} 4\n",
        "steadfast_phones{node=\"e_1\",transport=\"tls\"} 6\n",
        "steadfast_certificate_not_after_seconds{node=\"e_1\",file=\"a.pem\"} 1800000000\n",
        "steadfast_call_setup_seconds_bucket{node=\"e_1\",le=\"0.0001\"} 0\n",
        "steadfast_store_lag_seconds{node=\"e_1\"} 0.0\n",
        "\nprocess_resident_memory_bytes ",
        "\nprocess_cpu_seconds_total ",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[tokio::test]
async fn who_asks_for_open_metrics_gets_it_under_the_same_names() {
    let wanted = "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.5";
    let (kind, open) = page(Some(wanted)).await;
    assert_eq!(kind, OPEN_METRICS_TYPE);
    assert!(open.ends_with("\n# EOF\n"), "{open}");
    assert!(
        open.contains("# TYPE steadfast_stun counter\nsteadfast_stun_total{"),
        "{open}"
    );
    let (_, text) = page(None).await;
    let names = |page: &str| {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let name = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
        let mut names: Vec<_> = lines.map(name).collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(names(&open), names(&text));
}
