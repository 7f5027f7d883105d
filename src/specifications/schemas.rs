//! Schemas of the words that every payload shares. What a schema says of a type is what its
//! `Serialize` and `Deserialize` do: these are for types that write their own.

use utoipa::openapi::{KnownFormat, ObjectBuilder, SchemaFormat, schema::Type};

/// Gives a type a named schema.
macro_rules! described {
    ($type:ident, $schema:expr) => {
        $crate::specifications::schemas::described!($type as stringify!($type), $schema);
    };
    ($type:ident as $name:expr, $schema:expr) => {
        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $schema.into()
            }
        }

        impl utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                std::borrow::Cow::Borrowed($name)
            }
        }
    };
}

pub(crate) use described;

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description.trim()))
}

/// A UUID with hyphens. Capitals are taken, and written in lower case.
pub(crate) fn uuid(description: &str) -> ObjectBuilder {
    text(description)
        .format(Some(SchemaFormat::Custom("uuid".to_owned())))
        .pattern(Some(
            "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
        ))
        .examples(["67e55044-10b1-426f-9247-bb680e5fe0c8"])
}

/// A ULID that fits 128 bits. Small letters are taken, and written as capitals.
pub(crate) fn ulid(description: &str) -> ObjectBuilder {
    text(description)
        .pattern(Some("^[0-7][0-9a-hjkmnp-tv-zA-HJKMNP-TV-Z]{25}$"))
        .examples(["01JB8KQ3D0ZV5W1D6K8Z6T4N2A"])
}

/// An instant.
pub(crate) fn timestamp() -> ObjectBuilder {
    text("An instant: RFC 3339, UTC, with milliseconds.")
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .pattern(Some(
            "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$",
        ))
        .examples(["2026-03-01T08:00:00.123Z"])
}

/// One of some texts.
pub(crate) fn one_of(
    description: &str,
    values: impl IntoIterator<Item = &'static str>,
) -> ObjectBuilder {
    text(description).enum_values(Some(values))
}

/// A text that is always the same.
fn always(value: &'static str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some([value]))
}

/// `status` of what was accepted.
pub(crate) fn accepted() -> ObjectBuilder {
    always("ACCEPTED")
}

/// `status` of what failed.
pub(crate) fn failed() -> ObjectBuilder {
    always("FAILED")
}

/// `tokenType`.
pub(crate) fn bearer() -> ObjectBuilder {
    always("Bearer")
}

/// `success`.
pub(crate) fn success() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .enum_values(Some([true]))
}

/// What the schema of a type says of one of its members: `utoipa` takes numbers alone, and a test
/// compares them with the constants of the rules.
#[cfg(test)]
pub(crate) fn said_of<T: utoipa::ToSchema>(member: &str, keyword: &str) -> Option<u64> {
    let schema = serde_json::to_value(T::schema()).expect("a schema is JSON");
    schema["properties"][member][keyword].as_u64()
}
