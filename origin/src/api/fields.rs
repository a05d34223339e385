//! What a body may say, checked field by field; pure.
//!
//! A field that we do not know is refused, and so is one that only we may set:
//! a misspelt `active` that is silently ignored leaves a stream on air. All
//! faults are told at once.

use serde_json::{Map, Value};

use super::{error::FieldErrors, object::Object};
use crate::{
    registry::{Change, NewStream, Quality, QualitySet},
    timeline::FrameRate,
};

/// Longest name, in characters.
const MAX_NAME_CHARS: usize = 255;

/// Largest `client_entity_data`, in bytes of compact JSON.
const MAX_DATA_BYTES: usize = 4096;

/// Most unknown fields that are named in one answer; a body of nothing else
/// would be answered by a larger one.
const MAX_UNKNOWN: usize = 16;

/// Reads the body of a create request.
pub(super) fn new_stream(body: Map<String, Value>) -> Result<NewStream, FieldErrors> {
    let (change, mut errors) = read(body);
    if change.name.is_none() && !errors.has("name") {
        errors.add("name", "is required");
    }
    errors.or(NewStream {
        name: change.name.unwrap_or_default(),
        active: change.active.unwrap_or(true),
        client_entity_data: change.client_entity_data.flatten(),
        quality_set: change.quality_set.flatten(),
        pass_through: change.pass_through.unwrap_or(false),
    })
}

/// Reads the body of a change request. An empty one changes nothing.
pub(super) fn change(body: Map<String, Value>) -> Result<Change, FieldErrors> {
    let (change, errors) = read(body);
    errors.or(change)
}

fn read(body: Map<String, Value>) -> (Change, FieldErrors) {
    let mut change = Change::default();
    let mut errors = FieldErrors::default();
    let mut unknown = 0;
    for (field, value) in body {
        match field.as_str() {
            "name" => change.name = name(value, &mut errors),
            "active" => change.active = flag("active", &value, &mut errors),
            "pass_through" => {
                change.pass_through = flag("pass_through", &value, &mut errors);
            }
            "client_entity_data" => change.client_entity_data = Some(data(value, &mut errors)),
            "quality_set" => change.quality_set = Some(quality_set(value, &mut errors)),
            _ if Object::FIELDS.contains(&field.as_str()) => {
                errors.add(field, "is read-only: leave it out");
            }
            _ if unknown < MAX_UNKNOWN => {
                unknown += 1;
                errors.add(field, "is not a field of a stream");
            }
            _ => {}
        }
    }
    (change, errors)
}

fn name(value: Value, errors: &mut FieldErrors) -> Option<String> {
    let Value::String(name) = value else {
        errors.add("name", "must be a string");
        return None;
    };
    let chars = name.chars().count();
    if name.trim().is_empty() {
        errors.add("name", "must not be blank");
    }
    if chars > MAX_NAME_CHARS {
        errors.add(
            "name",
            format!("has {chars} characters, at most {MAX_NAME_CHARS} are allowed"),
        );
    }
    if name.chars().any(char::is_control) {
        errors.add("name", "must not hold control characters");
    }
    Some(name)
}

fn flag(name: &str, value: &Value, errors: &mut FieldErrors) -> Option<bool> {
    let flag = value.as_bool();
    if flag.is_none() {
        errors.add(name, "must be true or false");
    }
    flag
}

fn data(value: Value, errors: &mut FieldErrors) -> Option<Value> {
    let bytes = value.to_string().len();
    if bytes > MAX_DATA_BYTES {
        let reason = format!("has {bytes} bytes as JSON, at most {MAX_DATA_BYTES} are allowed");
        errors.add("client_entity_data", reason);
    }
    Some(value).filter(|value| !value.is_null())
}

/// Reads `{"rungs": [{"height", "bitrate"}, …], "fps", "part_ms"}`; `null` asks for
/// the default ladder.
fn quality_set(value: Value, errors: &mut FieldErrors) -> Option<QualitySet> {
    let mut set = match value {
        Value::Null => return None,
        Value::Object(set) => set,
        _ => {
            errors.add(
                "quality_set",
                "must be an object like {\"rungs\": […]}, or null",
            );
            return None;
        }
    };
    let fps = set
        .remove("fps")
        .and_then(|value| frame_rate(&value, errors));
    let part = set.remove("part_ms").unwrap_or_default();
    let rungs = rungs(set.remove("rungs"), errors);
    no_more(&set, "quality_set", errors);
    // Rungs that are unsound by themselves are told one by one above.
    let set = QualitySet::new(rungs?, fps)
        .map_err(|problem| errors.add("quality_set.rungs", problem.to_string()));
    with_part(set.ok()?, &part, errors)
}

fn with_part(set: QualitySet, value: &Value, errors: &mut FieldErrors) -> Option<QualitySet> {
    if value.is_null() {
        return Some(set);
    }
    // What is no number of milliseconds is out of bounds too.
    let part = value.as_u64().and_then(|ms| u32::try_from(ms).ok());
    set.with_part(Some(part.unwrap_or(0)))
        .map_err(|problem| errors.add("quality_set.part_ms", problem.to_string()))
        .ok()
}

fn frame_rate(value: &Value, errors: &mut FieldErrors) -> Option<FrameRate> {
    if value.is_null() {
        return None;
    }
    let fps = value.as_u64().and_then(|fps| u32::try_from(fps).ok());
    let rate = fps.and_then(|fps| FrameRate::try_from(fps).ok());
    if rate.is_none() {
        let allowed = FrameRate::ALLOWED.map(|fps| fps.to_string()).join(", ");
        errors.add("quality_set.fps", format!("must be one of {allowed}"));
    }
    rate
}

fn rungs(value: Option<Value>, errors: &mut FieldErrors) -> Option<Vec<Quality>> {
    let Some(Value::Array(rungs)) = value else {
        errors.add("quality_set.rungs", "must be a list of rungs");
        return None;
    };
    if rungs.len() > QualitySet::MAX_RUNGS {
        let max = QualitySet::MAX_RUNGS;
        errors.add(
            "quality_set.rungs",
            format!("has {} rungs, at most {max} fit", rungs.len()),
        );
        return None;
    }
    let rungs: Vec<_> = rungs
        .into_iter()
        .enumerate()
        .map(|(index, rung)| one_rung(index, rung, errors))
        .collect();
    rungs.into_iter().collect()
}

fn one_rung(index: usize, value: Value, errors: &mut FieldErrors) -> Option<Quality> {
    let path = format!("quality_set.rungs[{index}]");
    let Value::Object(mut rung) = value else {
        errors.add(
            path,
            "must be an object like {\"height\": 720, \"bitrate\": 1800000}",
        );
        return None;
    };
    let mut number = |name: &str, problem: fn(u64) -> Option<String>| {
        let value = rung.remove(name).unwrap_or_default();
        let reason = match value.as_u64() {
            Some(number) => match problem(number) {
                None => return u32::try_from(number).ok(),
                Some(reason) => reason,
            },
            None => "must be an integer".to_owned(),
        };
        errors.add(format!("{path}.{name}"), reason);
        None
    };
    let height = number("height", Quality::height_problem);
    let bitrate = number("bitrate", Quality::bitrate_problem);
    no_more(&rung, &path, errors);
    Some(Quality {
        height: height?,
        bitrate: bitrate?,
    })
}

/// Refuses what is left of an object when its fields have been taken.
fn no_more(rest: &Map<String, Value>, path: &str, errors: &mut FieldErrors) {
    for field in rest.keys().take(MAX_UNKNOWN) {
        errors.add(format!("{path}.{field}"), "is not a field here");
    }
}
