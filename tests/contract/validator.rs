//! As much of JSON Schema as the document uses, and no more: an unknown keyword is a failure.

use serde_json::Value;

/// Where `value` is not what `schema` says; empty when it is. `root` holds the components.
pub fn faults(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(root, schema, value, "", &mut faults);
    faults
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let Some(schema) = schema.as_object() else {
        return faults.push(format!("{at}: the schema is no object"));
    };
    let mut fault = |what: String| faults.push(format!("{at}: {what}, found {value}"));
    let mut below = Vec::new();
    for (keyword, wanted) in schema {
        match keyword.as_str() {
            "description" | "format" | "contentEncoding" | "additionalProperties" => {}
            "$ref" => {
                let path = wanted.as_str().unwrap().trim_start_matches('#');
                match root.pointer(path) {
                    Some(schema) => below.push((schema.clone(), value.clone(), at.to_owned())),
                    None => fault(format!("{wanted} leads nowhere")),
                }
            }
            "type" if !is_of(wanted.as_str().unwrap(), value) => fault(format!("no {wanted}")),
            "type" => {}
            "const" if value != wanted => fault(format!("not {wanted}")),
            "const" => {}
            "enum" if !wanted.as_array().unwrap().contains(value) => {
                fault(format!("none of {wanted}"))
            }
            "enum" => {}
            "anyOf" => {
                let fits = |schema| self::faults(root, schema, value).is_empty();
                if !wanted.as_array().unwrap().iter().any(fits) {
                    fault(format!("none of {wanted}"));
                }
            }
            "items" => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                for (index, item) in items.iter().enumerate() {
                    below.push((wanted.clone(), item.clone(), format!("{at}[{index}]")));
                }
            }
            "properties" => {
                let Some(fields) = value.as_object() else {
                    continue;
                };
                for (name, field) in fields {
                    match wanted.get(name) {
                        Some(schema) => {
                            below.push((schema.clone(), field.clone(), format!("{at}.{name}")))
                        }
                        None if schema["additionalProperties"] == false => {
                            fault(format!("the field {name} is not documented"))
                        }
                        None => {}
                    }
                }
            }
            "required" => {
                for name in wanted.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        fault(format!("the field {name} is missing"));
                    }
                }
            }
            "minimum" | "maximum" => {
                let (Some(value), Some(bound)) = (value.as_f64(), wanted.as_f64()) else {
                    continue;
                };
                let fits = match keyword.as_str() {
                    "minimum" => value >= bound,
                    _ => value <= bound,
                };
                if !fits {
                    fault(format!("beyond the {keyword} {wanted}"));
                }
            }
            "minLength" | "maxLength" => {
                let length = value.as_str().map_or(0, |text| text.chars().count() as u64);
                let bound = wanted.as_u64().unwrap();
                let fits = match keyword.as_str() {
                    "minLength" => length >= bound,
                    _ => length <= bound,
                };
                if !fits {
                    fault(format!("beyond the {keyword} {wanted}"));
                }
            }
            // The one pattern of the document is that of an id.
            "pattern" => {
                let id = value.as_str().and_then(|text| text.rsplit_once('_'));
                let is_id = id.is_some_and(|(prefix, number)| {
                    prefix.chars().all(|c| c.is_ascii_lowercase())
                        && number.len() == 16
                        && number.chars().all(|c| c.is_ascii_hexdigit())
                });
                if !is_id {
                    fault(String::from("no id"));
                }
            }
            other => fault(format!("the keyword {other} is not known here")),
        }
    }
    for (schema, value, at) in below {
        check(root, &schema, &value, &at, faults);
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[test]
fn the_validator_refuses_what_does_not_fit() {
    let schema = magpie::server::openapi::shape::schema("{ a: int(1..3), b?: ['x'|'y'] }").unwrap();
    let root = Value::Null;
    let check = |text: &str| faults(&root, &schema, &serde_json::from_str(text).unwrap()).len();
    assert_eq!(check(r#"{"a":2}"#), 0);
    assert_eq!(check(r#"{"a":2,"b":["x"]}"#), 0);
    for wrong in [
        r#"{}"#,
        r#"{"a":4}"#,
        r#"{"a":"2"}"#,
        r#"{"a":1,"c":1}"#,
        r#"{"a":1,"b":["z"]}"#,
        "[]",
    ] {
        assert!(check(wrong) > 0, "{wrong}");
    }
}
