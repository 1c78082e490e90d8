//! Values for the bus and for files, as serde_json's `json!` makes them: a call for each field, instead of a serializer for each type and place.

mod text;

use crate::gather::Gather;
use serde_json::{Map, Value};
pub use text::{line, lines, parse};

/// An object, `json!({ "ok": true, "error": error })`, or a list, `json!([hour, attempts])`. What stands for a value is not taken, only read; an object in
/// it is a value of its own.
macro_rules! json {
    ({ $($name:literal: $value:expr),* $(,)? }) => {{
        #[allow(unused_mut)] // of an object without a field
        let mut fields = serde_json::Map::new();
        $($crate::json::set(&mut fields, $name, &$value);)*
        serde_json::Value::Object(fields)
    }};
    ([$($value:expr),* $(,)?]) => {
        serde_json::Value::Array(vec![$($crate::json::ToJson::to_json(&$value)),*])
    };
}
pub(crate) use json;

/// One field.
#[inline(never)]
pub(crate) fn set<T: ToJson + ?Sized>(fields: &mut Map<String, Value>, name: &str, value: &T) {
    put(fields, name, value.to_json());
}

/// One field, whose value is there.
#[inline(never)]
pub(crate) fn put(fields: &mut Map<String, Value>, name: &str, value: Value) {
    fields.insert(name.to_string(), value);
}

/// One field of an object, where there is a value for it.
#[inline(never)]
pub(crate) fn add(object: &mut Value, name: &str, text: Option<&str>) {
    if let (Some(text), Some(fields)) = (text, object.as_object_mut()) {
        put(fields, name, text.into());
    }
}

/// What can stand for a value.
pub(crate) trait ToJson {
    fn to_json(&self) -> Value;
}

macro_rules! by_from {
    ($($kind:ty)*) => {
        $(impl ToJson for $kind {
            fn to_json(&self) -> Value {
                Value::from(*self)
            }
        })*
    };
}

by_from!(bool u8 u16 u32 u64 usize i32 i64);

impl ToJson for str {
    fn to_json(&self) -> Value {
        Value::String(self.to_string())
    }
}

impl ToJson for String {
    fn to_json(&self) -> Value {
        self.as_str().to_json()
    }
}

impl ToJson for Value {
    fn to_json(&self) -> Value {
        self.clone()
    }
}

impl<T: ToJson + ?Sized> ToJson for &T {
    fn to_json(&self) -> Value {
        (**self).to_json()
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn to_json(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_json)
    }
}

impl<T: ToJson> ToJson for [T] {
    fn to_json(&self) -> Value {
        Value::Array(self.iter().map(T::to_json).gathered())
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn to_json(&self) -> Value {
        self.as_slice().to_json()
    }
}

impl<T: ToJson, const N: usize> ToJson for [T; N] {
    fn to_json(&self) -> Value {
        self.as_slice().to_json()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_object_is_as_serde_json_has_it() {
        let (text, none, list) = (String::from("é\n"), None::<u16>, vec![Some(-1_i64), None]);
        let inner = super::json!({});
        let ours = super::json!({
            "text": text, "none": none, "list": list, "flag": true, "most": u64::MAX, "least": i64::MIN, "small": 7_u8, "inner": inner,
            "words": ["a", "b"], "borrowed": &text, "count": text.len(),
        });
        let theirs = serde_json::json!({
            "text": text, "none": none, "list": list, "flag": true, "most": u64::MAX, "least": i64::MIN, "small": 7_u8, "inner": {},
            "words": ["a", "b"], "borrowed": &text, "count": text.len(),
        });
        assert_eq!(ours, theirs);
        assert_eq!(ours.to_string(), theirs.to_string());
    }
}
