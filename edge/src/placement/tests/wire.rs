//! What an edge has seen, there and back, and what is none of it.

use serde_json::{Value, json};

use super::{super::seen::Wire, *};

fn frankfurt() -> Seen {
    let unknown = (Spot::default(), counts(1, &[]));
    let mut seen = seen(
        "fra",
        [(spot("FR", 1, (49.0, 2.0)), counts(9, &[30, 45])), unknown],
    );
    seen.rows.others = counts(3, &[700]);
    seen
}

fn page() -> Value {
    serde_json::to_value(Wire::from(&frankfurt())).unwrap()
}

fn read(page: &Value) -> Result<Seen, String> {
    let read = Seen::read(page.to_string().as_bytes());
    read.map_err(|error| error.to_string())
}

#[test]
fn it_comes_back_as_it_went_whatever_stands_beside_it() {
    let mut page = page();
    page["next"] = json!([{ "gain": "whatever" }]);
    assert_eq!(read(&page), Ok(frankfurt()));
}

#[test]
fn what_no_edge_has_written_is_refused() {
    let good = page();
    let crowd = (0..300).map(|at| json!({ "name": at.to_string(), "latitude": 1, "longitude": 1 }));
    for (what, field, value) in [
        ("a stranger", "/pop", json!("ams")),
        ("the same twice", "/pops/1", good["pops"][0].clone()),
        ("control characters", "/pops/1/name", json!("\u{1b}[2J")),
        ("off the earth", "/pops/1/latitude", json!(91)),
        ("backwards", "/since", json!(i64::MAX)),
        ("a row twice", "/rows/0", good["rows"][1].clone()),
        ("nobody", "/rows/1/presenters", json!(0)),
        ("more relayed than there are", "/rows/1/relayed", json!(10)),
        ("more measured than relayed", "/others/relayed", json!(0)),
        ("a strange span", "/rows/1/rtts/spans", json!({ "41": 1 })),
        ("half a place", "/rows/1/latitude", Value::Null),
        ("an exact place", "/rows/1/latitude", json!(49.01)),
        ("no country", "/rows/1/country", json!("F1")),
        ("too many", "/pops", crowd.collect()),
    ] {
        let mut page = good.clone();
        *page.pointer_mut(field).unwrap() = value;
        let refused = read(&page);
        assert!(refused.is_err(), "{what}: {refused:?}");
    }
    for text in ["", "[]", "{}", "<html>"] {
        assert!(Seen::read(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_report_with_too_many_rows_is_refused() {
    let row = |asn: usize| {
        json!({
            "country": null, "asn": asn, "latitude": null, "longitude": null,
            "presenters": 1, "relayed": 0, "rtts": { "spans": {}, "worst_ms": 0.0 },
        })
    };
    let mut page = page();
    page["rows"] = (0..tally::MAX_ROWS).map(row).collect();
    assert!(read(&page).is_ok());
    page["rows"] = (0..=tally::MAX_ROWS).map(row).collect();
    assert!(read(&page).unwrap_err().contains("too many rows"));
}

#[test]
fn a_full_table_fits_what_is_read_many_times() {
    let rows = (0..tally::MAX_ROWS).map(|asn| {
        let rtts: Vec<u64> = (0..20).map(|at| at * 60).collect();
        (
            spot("BR", asn as u32, (-23.0, -47.0)),
            counts(1_000_000, &rtts),
        )
    });
    let seen = seen("fra", rows);
    let raw = serde_json::to_vec(&Wire::from(&seen)).unwrap().len();
    let report = Report::of(&[seen], REGION_KM).unwrap();
    let lists = serde_json::to_vec(&report).unwrap().len();
    assert!(2 * (raw + lists) < seen::MAX_BYTES, "{raw} + {lists}");
}
