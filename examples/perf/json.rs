//! One JSON object a line, its fields in the order in which they are added, so that a person can read along.

use serde_json::Value;

/// An object in the making: names, and values as JSON.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object(Vec<(&'static str, String)>);

impl Object {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn field(self, name: &'static str, value: impl Into<Value>) -> Self {
        let value: Value = value.into();
        self.raw(name, value.to_string())
    }

    /// A number to three digits after the point.
    pub(crate) fn decimal(self, name: &'static str, value: Option<f64>) -> Self {
        self.field(name, value.map(|value| (value * 1e3).round() / 1e3))
    }

    pub(crate) fn object(self, name: &'static str, object: Option<Object>) -> Self {
        self.raw(name, object.map_or_else(|| "null".to_owned(), |object| object.json()))
    }

    /// The fields of another one after its own.
    pub(crate) fn with(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    fn raw(mut self, name: &'static str, value: String) -> Self {
        self.0.push((name, value));
        self
    }

    /// For programs.
    pub(crate) fn json(&self) -> String {
        let fields: Vec<_> = self.0.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    }

    /// For people.
    pub(crate) fn words(&self) -> String {
        let fields: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        fields.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_objects_nest() {
        let inner = Object::new().decimal("b", Some(1.23456)).decimal("a", None);
        let object = Object::new().field("event", "x\"y").object("in", Some(inner)).object("none", None);
        assert_eq!(object.words(), r#"event="x\"y" in={"b":1.235,"a":null} none=null"#);
        let line = object.json();
        assert_eq!(line, r#"{"event":"x\"y","in":{"b":1.235,"a":null},"none":null}"#);
        assert!(serde_json::from_str::<Value>(&line).is_ok());
    }
}
