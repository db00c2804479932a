//! Kafka Connect's embedded schemas: what each field stands for, and the type to create it as where the replica has no table yet.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::calendar::Unit;
use super::form::Form;

/// A field of an embedded schema. Unknown members are passed over.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Field<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) field: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) optional: bool,
    #[serde(borrow, default)]
    parameters: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow, default)]
    items: Option<Box<Field<'a>>>,
    #[serde(borrow, default)]
    pub(super) fields: Vec<Field<'a>>,
}

impl Field<'_> {
    /// The member of that name.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        self.fields
            .iter()
            .find(|field| field.field.as_deref() == Some(name))
    }

    /// What it stands for, and PostgreSQL's type for it.
    pub(super) fn form(&self) -> (Form, Cow<'static, str>) {
        let name = self.name.as_deref().unwrap_or_default();
        let named = match name {
            "org.apache.kafka.connect.data.Decimal" => return self.decimal(),
            "io.debezium.data.Bits" => return self.bits(),
            "io.debezium.data.VariableScaleDecimal" => {
                let scale = None;
                Some((
                    Form::Decimal {
                        scale,
                        base64: true,
                    },
                    "numeric",
                ))
            }
            "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date" => {
                Some((Form::Date, "date"))
            }
            "io.debezium.time.Time" | "org.apache.kafka.connect.data.Time" => {
                Some((Form::Time(Unit::Millis), "time"))
            }
            "io.debezium.time.MicroTime" => Some((Form::Time(Unit::Micros), "time")),
            "io.debezium.time.NanoTime" => Some((Form::Time(Unit::Nanos), "time")),
            "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp" => {
                Some((Form::Timestamp(Unit::Millis), "timestamp"))
            }
            "io.debezium.time.MicroTimestamp" => Some((Form::Timestamp(Unit::Micros), "timestamp")),
            "io.debezium.time.NanoTimestamp" => Some((Form::Timestamp(Unit::Nanos), "timestamp")),
            "io.debezium.time.ZonedTimestamp" => Some((Form::Zoned, "timestamp with time zone")),
            "io.debezium.time.ZonedTime" => Some((Form::Plain, "time with time zone")),
            "io.debezium.time.MicroDuration" => Some((Form::Duration, "interval")),
            "io.debezium.time.Interval" => Some((Form::Plain, "interval")),
            "io.debezium.data.geometry.Point" => Some((Form::Point, "point")),
            "io.debezium.data.geometry.Geometry" => Some((Form::Geometry, "geometry")),
            "io.debezium.data.geometry.Geography" => Some((Form::Geometry, "geography")),
            "io.debezium.data.Json" => Some((Form::Plain, "jsonb")),
            "io.debezium.data.Uuid" => Some((Form::Plain, "uuid")),
            "io.debezium.data.Xml" => Some((Form::Plain, "xml")),
            "io.debezium.data.Ltree" => Some((Form::Plain, "ltree")),
            "io.debezium.data.Tsvector" => Some((Form::Plain, "tsvector")),
            _ => None,
        };
        match named {
            Some((form, type_name)) => (form, Cow::Borrowed(type_name)),
            None => self.plain(),
        }
    }

    fn plain(&self) -> (Form, Cow<'static, str>) {
        let (form, type_name) = match &*self.kind {
            "boolean" => (Form::Plain, "boolean"),
            "int8" | "int16" => (Form::Plain, "smallint"),
            "int32" => (Form::Plain, "integer"),
            "int64" => (Form::Plain, "bigint"),
            "float" | "float32" => (Form::Plain, "real"),
            "double" | "float64" => (Form::Plain, "double precision"),
            "bytes" => (Form::Bytes, "bytea"),
            "map" => (Form::Hstore, "hstore"),
            "array" => {
                let item = self.items.as_ref().map(|item| item.form());
                let (form, type_name) = item.unwrap_or((Form::Plain, Cow::Borrowed("text")));
                let array = Form::Array(Box::new(form));
                return (array, Cow::Owned(format!("{type_name}[]")));
            }
            _ => (Form::Plain, "text"),
        };
        (form, Cow::Borrowed(type_name))
    }

    fn parameter(&self, name: &str) -> Option<i64> {
        self.parameters.get(name)?.parse().ok()
    }

    fn decimal(&self) -> (Form, Cow<'static, str>) {
        let scale = self.parameter("scale");
        let type_name = match (self.parameter("connect.decimal.precision"), scale) {
            (Some(precision), Some(scale)) => Cow::Owned(format!("numeric({precision},{scale})")),
            _ => Cow::Borrowed("numeric"),
        };
        let base64 = true;
        (Form::Decimal { scale, base64 }, type_name)
    }

    fn bits(&self) -> (Form, Cow<'static, str>) {
        // Debezium says "as long as can be" for a bit string without a length.
        let length = self
            .parameter("length")
            .and_then(|length| usize::try_from(length).ok());
        match length.filter(|length| *length < 1 << 20) {
            Some(length) => (Form::Bits { length }, Cow::Owned(format!("bit({length})"))),
            None => (Form::Bits { length: 0 }, Cow::Borrowed("bit varying")),
        }
    }
}
