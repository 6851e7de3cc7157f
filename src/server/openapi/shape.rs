//! A short notation for the shapes of JSON, and what JSON Schema makes of it.
//!
//! A table of routes has to be read and written by people; JSON Schema is for programs.
//!
//! ```text
//! shape  = part ("|" part)*
//! part   = name ["(" range ")"] | "[" shape "]" | "{" field* "}" | "'" word "'"
//! field  = key ["?"] ":" shape ["," | newline | "# description to the end of the line"]
//! ```
//!
//! Names: `text int number bool null any object time date id base64`, or one with a capital letter,
//! which refers to another shape. A range such as `1..200` bounds a number or the length of a
//! text. A key with `?` may be missing; `...` as a field lets other fields in.

use serde_json::{Map, Value, json};

/// What is wrong with a shape and where; only a mistake of the program makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct ShapeError(pub String);

/// JSON Schema (2020-12, as OpenAPI 3.1 takes it) of a shape.
pub fn schema(text: &str) -> Result<Value, ShapeError> {
    let mut reader = Reader { text, at: 0 };
    let schema = reader.shape()?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.wrong("something is left over"));
    }
    Ok(schema)
}

/// The fields of an object, in order: name, whether it may be missing, schema.
pub fn fields(text: &str) -> Result<Vec<Field>, ShapeError> {
    let mut reader = Reader { text, at: 0 };
    let mut fields = Vec::new();
    while reader.peek().is_some() {
        fields.push(reader.field()?);
    }
    Ok(fields)
}

pub struct Field {
    pub name: String,
    pub optional: bool,
    pub schema: Value,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn shape(&mut self) -> Result<Value, ShapeError> {
        let mut parts = vec![self.part()?];
        while self.take('|') {
            parts.push(self.part()?);
        }
        let words: Vec<Value> = parts
            .iter()
            .filter_map(|part| part.get("const").cloned())
            .collect();
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        if words.len() == parts.len() {
            return Ok(json!({ "enum": words }));
        }
        Ok(json!({ "anyOf": parts }))
    }

    fn part(&mut self) -> Result<Value, ShapeError> {
        match self.peek() {
            Some('[') => {
                self.take('[');
                let items = self.shape()?;
                self.want(']')?;
                Ok(json!({ "type": "array", "items": items }))
            }
            Some('{') => {
                self.take('{');
                self.object()
            }
            Some('\'') => {
                self.take('\'');
                let word = self.until(|c| c == '\'').to_owned();
                self.want('\'')?;
                Ok(json!({ "const": word }))
            }
            _ => self.name(),
        }
    }

    fn object(&mut self) -> Result<Value, ShapeError> {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        let mut open = false;
        while !self.take('}') {
            if self.rest().starts_with("...") {
                self.at += 3;
                self.end_of_field();
                open = true;
                continue;
            }
            let field = self.field()?;
            if !field.optional {
                required.push(Value::from(field.name.as_str()));
            }
            properties.insert(field.name, field.schema);
        }
        let mut schema = json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": open,
        });
        if !required.is_empty() {
            schema["required"] = Value::Array(required);
        }
        Ok(schema)
    }

    fn field(&mut self) -> Result<Field, ShapeError> {
        self.space();
        let name = self.until(|c| !c.is_alphanumeric() && c != '_' && c != '-');
        if name.is_empty() {
            return Err(self.wrong("a field's name is missing"));
        }
        let optional = self.take('?');
        self.want(':')?;
        let mut schema = self.shape()?;
        if let Some(said) = self.end_of_field() {
            match schema.as_object_mut() {
                // Beside a reference a description is allowed since 3.1.
                Some(schema) => schema.insert(String::from("description"), json!(said)),
                None => None,
            };
        }
        Ok(Field {
            name: name.to_owned(),
            optional,
            schema,
        })
    }

    /// A comma, and a description after `#`.
    fn end_of_field(&mut self) -> Option<&'a str> {
        self.take(',');
        let rest = self.rest().trim_start_matches(' ');
        self.at = self.text.len() - rest.len();
        if !rest.starts_with('#') {
            return None;
        }
        self.at += 1;
        let said = self.until(|c| c == '\n');
        Some(said.trim())
    }

    fn name(&mut self) -> Result<Value, ShapeError> {
        let name = self.until(|c| !c.is_alphanumeric());
        let mut schema = match name {
            "" => return Err(self.wrong("a shape is missing")),
            "text" => json!({ "type": "string" }),
            "int" => json!({ "type": "integer" }),
            "number" => json!({ "type": "number" }),
            "bool" => json!({ "type": "boolean" }),
            "null" => json!({ "type": "null" }),
            "any" => json!({}),
            "object" => json!({ "type": "object" }),
            "time" => json!({ "type": "string", "format": "date-time" }),
            "date" => json!({ "type": "string", "format": "date" }),
            "id" => json!({ "type": "string", "pattern": "^[a-z]+_[0-9a-f]{16}$" }),
            "base64" => json!({ "type": "string", "contentEncoding": "base64" }),
            "true" => json!({ "const": true }),
            "false" => json!({ "const": false }),
            name if name.starts_with(|c: char| c.is_ascii_uppercase()) => {
                json!({ "$ref": format!("#/components/schemas/{name}") })
            }
            name => return Err(self.wrong(&format!("{name:?} is no shape"))),
        };
        if self.rest().starts_with('(') {
            self.take('(');
            let range = self.until(|c| c == ')').to_owned();
            self.want(')')?;
            let (low, high) = range
                .split_once("..")
                .ok_or_else(|| self.wrong("a range is written 1..200"))?;
            let (least, most) = match schema["type"] == "string" {
                true => ("minLength", "maxLength"),
                false => ("minimum", "maximum"),
            };
            for (key, bound) in [(least, low), (most, high)] {
                if let Ok(bound) = bound.trim().parse::<i64>() {
                    schema[key] = json!(bound);
                }
            }
        }
        Ok(schema)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        let rest = self.rest().trim_start();
        self.at = self.text.len() - rest.len();
    }

    fn peek(&mut self) -> Option<char> {
        self.space();
        self.rest().chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn want(&mut self, wanted: char) -> Result<(), ShapeError> {
        match self.take(wanted) {
            true => Ok(()),
            false => Err(self.wrong(&format!("{wanted:?} is missing"))),
        }
    }

    fn until(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(ends).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn wrong(&self, what: &str) -> ShapeError {
        let near: String = self.rest().chars().take(30).collect();
        ShapeError(format!("{what} at {near:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_become_schemas() {
        for (text, expected) in [
            ("text", json!({"type": "string"})),
            (
                "int(1..9)",
                json!({"type": "integer", "minimum": 1, "maximum": 9}),
            ),
            ("text(..5)", json!({"type": "string", "maxLength": 5})),
            ("'a'|'b'", json!({"enum": ["a", "b"]})),
            (
                "text|null",
                json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
            ),
            (
                "[Memory]",
                json!({"type": "array", "items": {"$ref": "#/components/schemas/Memory"}}),
            ),
            (
                "{ a: text # what a is\n b?: [int], ... }",
                json!({
                    "type": "object",
                    "properties": {
                        "a": {"type": "string", "description": "what a is"},
                        "b": {"type": "array", "items": {"type": "integer"}},
                    },
                    "required": ["a"],
                    "additionalProperties": true,
                }),
            ),
            (
                "{}",
                json!({"type": "object", "properties": {}, "additionalProperties": false}),
            ),
        ] {
            assert_eq!(schema(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        for text in [
            "", "txt", "[text", "{a text}", "{: text}", "text)", "int(5)", "'a",
        ] {
            assert!(schema(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fields_keep_their_order() {
        let fields = fields("q: text # words\nlimit?: int(1..200)").unwrap();
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["q", "limit"]);
        assert!(!fields[0].optional && fields[1].optional);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_shape_or_a_mistake(text in ".{0,60}") {
            let _ = schema(&text);
            let _ = fields(&text);
        }
    }
}
