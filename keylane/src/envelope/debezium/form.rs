//! What a JSON value of a Debezium topic stands for. With embedded schemas they say so; without, the replica's own column does.

use super::calendar::Unit;

/// How a connector without embedded schemas was set up, where its JSON does not show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DebeziumSettings {
    /// `decimal.handling.mode`.
    pub decimals: DecimalForm,
    /// `time.precision.mode`.
    pub times: TimeForm,
}

/// How decimals are written (`decimal.handling.mode`). A number is read as one in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DecimalForm {
    /// `precise`: a string is the base64 of the unscaled value.
    #[default]
    Precise,
    /// `string`: a string is the decimal's text.
    Text,
}

/// How times are counted (`time.precision.mode`). A string is read as it is in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimeForm {
    /// `adaptive`: milliseconds for columns of at most 3 digits, else microseconds.
    #[default]
    Adaptive,
    /// `adaptive_time_microseconds`: as adaptive, but times of day always in microseconds.
    AdaptiveTimeMicroseconds,
    /// `connect`: always milliseconds.
    Connect,
}

/// What a JSON value stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Numbers, booleans and strings as they stand; anything deeper as JSON text.
    Plain,
    /// A boolean that stands for a bit.
    BitOfBoolean,
    /// Base64 of bytes.
    Bytes,
    /// Base64 of an unscaled decimal; a number, a struct with its own scale, or (where a string is text) its text.
    Decimal {
        /// Digits behind the point; `None` where only a struct can say it.
        scale: Option<i64>,
        /// Whether a string is base64.
        base64: bool,
    },
    /// Base64 of bits, least significant byte first.
    Bits {
        /// How many.
        length: usize,
    },
    /// Days.
    Date,
    /// Time of day.
    Time(Unit),
    /// Without time zone.
    Timestamp(Unit),
    /// ISO 8601 with time zone.
    Zoned,
    /// Microseconds of an interval.
    Duration,
    /// A point's struct.
    Point,
    /// A PostGIS struct.
    Geometry,
    /// An hstore as JSON, or as JSON in a string.
    Hstore,
    /// An array.
    Array(Box<Form>),
}

impl Form {
    /// By the replica's type, for topics without schemas.
    pub(super) fn of_type(type_name: &str, settings: DebeziumSettings) -> Form {
        let name = type_name.trim().to_ascii_lowercase();
        if let Some(item) = name.strip_suffix("[]") {
            return Form::Array(Box::new(Form::of_type(item, settings)));
        }
        let (base, arguments) = base_and_arguments(&name);
        let argument = |place: usize| arguments.get(place).copied();
        let coarse = argument(0).is_some_and(|digits| digits <= 3);
        let unit = |always_micros: bool| match settings.times {
            TimeForm::Connect => Unit::Millis,
            TimeForm::AdaptiveTimeMicroseconds if always_micros => Unit::Micros,
            _ if coarse => Unit::Millis,
            _ => Unit::Micros,
        };
        let base64 = settings.decimals == DecimalForm::Precise;
        match &*base {
            "bytea" | "blob" => Form::Bytes,
            "numeric" | "decimal" => Form::Decimal {
                scale: argument(0).map(|_| argument(1).unwrap_or(0)),
                base64,
            },
            "money" => Form::Decimal {
                scale: Some(2),
                base64,
            },
            "date" => Form::Date,
            "time" | "time without time zone" => Form::Time(unit(true)),
            "timestamp" | "timestamp without time zone" => Form::Timestamp(unit(false)),
            "timestamp with time zone" | "timestamptz" => Form::Zoned,
            "interval" => Form::Duration,
            "bit" | "bit varying" => match argument(0) {
                Some(length) if length > 1 => Form::Bits {
                    length: usize::try_from(length).unwrap_or(0),
                },
                _ => Form::BitOfBoolean,
            },
            "point" => Form::Point,
            "geometry" | "geography" => Form::Geometry,
            "hstore" => Form::Hstore,
            _ => Form::Plain,
        }
    }

    /// By the embedded schema, where the replica's type tells apart what the schema does not.
    pub(super) fn refined(self, type_name: Option<&str>) -> Form {
        let Some(name) = type_name.map(str::to_ascii_lowercase) else {
            return self;
        };
        match (self, &*base_and_arguments(name.trim()).0) {
            (Form::Plain, "hstore") => Form::Hstore,
            (Form::Plain, "bit" | "bit varying") => Form::BitOfBoolean,
            (Form::Array(item), _) => match name.trim().strip_suffix("[]") {
                Some(item_type) => Form::Array(Box::new(item.refined(Some(item_type)))),
                None => Form::Array(item),
            },
            (other, _) => other,
        }
    }
}

/// `timestamp(3) without time zone` is (`timestamp without time zone`, 3).
fn base_and_arguments(name: &str) -> (String, Vec<i64>) {
    let Some((before, rest)) = name.split_once('(') else {
        return (name.to_owned(), Vec::new());
    };
    let (inside, after) = rest.split_once(')').unwrap_or((rest, ""));
    let arguments = inside
        .split(',')
        .filter_map(|part| part.trim().parse().ok());
    let base = format!("{} {}", before.trim(), after.trim());
    (base.trim().to_owned(), arguments.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(type_name: &str, expect: Form) {
        let form = Form::of_type(type_name, DebeziumSettings::default());
        assert_eq!(form, expect, "{type_name}");
    }

    #[test]
    fn the_replicas_type_says_how_a_value_is_meant() {
        let decimal = |scale| Form::Decimal {
            scale,
            base64: true,
        };
        check("integer", Form::Plain);
        check("numeric(10,2)", decimal(Some(2)));
        check("numeric(10)", decimal(Some(0)));
        check("numeric", decimal(None));
        check(
            "timestamp(3) without time zone",
            Form::Timestamp(Unit::Millis),
        );
        check("timestamp without time zone", Form::Timestamp(Unit::Micros));
        check("time(6) without time zone", Form::Time(Unit::Micros));
        check("bit varying(8)", Form::Bits { length: 8 });
        check("bit(1)", Form::BitOfBoolean);
        check("numeric(8,3)[]", Form::Array(Box::new(decimal(Some(3)))));
        check("BLOB", Form::Bytes);
    }
}
