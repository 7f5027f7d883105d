//! What a row of the table of metrics is: a name, its labels, and the handles behind it.

use ::metrics::{Counter, Gauge, Histogram, Label};

/// What kind of metric a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    /// Returns the name in Prometheus' text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric, as the documents and tests see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// The values of a row's labels, a list for each of its series.
pub(super) type Series = Vec<Vec<String>>;

/// A handle that a recorder gives.
pub(super) trait Handle {
    const KIND: Kind;
    fn describe(name: &'static str, help: &'static str);
    fn register(name: &'static str, labels: Vec<Label>) -> Self;
}

macro_rules! handle {
    ($($type:ident by $describe:ident and $register:ident;)+) => {$(
        impl Handle for $type {
            const KIND: Kind = Kind::$type;

            fn describe(name: &'static str, help: &'static str) {
                ::metrics::$describe!(name, help);
            }

            fn register(name: &'static str, labels: Vec<Label>) -> Self {
                ::metrics::$register!(name, labels)
            }
        }
    )+};
}

handle! {
    Counter by describe_counter and counter;
    Gauge by describe_gauge and gauge;
    Histogram by describe_histogram and histogram;
}

/// What stands behind a row: one handle, or one for each series.
pub(super) trait Metric {
    const KIND: Kind;
    fn of(row: &'static Row, series: Series) -> Self;
}

impl<H: Handle> Metric for H {
    const KIND: Kind = H::KIND;

    fn of(row: &'static Row, _: Series) -> Self {
        H::describe(row.name, row.help.trim_start());
        H::register(row.name, Vec::new())
    }
}

/// Series that are known from the start, and so exist at zero.
pub struct Family<H>(Vec<(String, H)>);

impl<H: Handle> Metric for Family<H> {
    const KIND: Kind = H::KIND;

    fn of(row: &'static Row, series: Series) -> Self {
        H::describe(row.name, row.help.trim_start());
        let register = |values: Vec<String>| {
            let labels = row.labels.iter().zip(&values);
            let labels = labels.map(|(name, value)| Label::new(*name, value.clone()));
            let labels = labels.collect();
            (values.concat(), H::register(row.name, labels))
        };
        Self(series.into_iter().map(register).collect())
    }
}

impl<H> Family<H> {
    /// Returns the series at a place in the table's order.
    #[must_use]
    pub fn at(&self, index: usize) -> &H {
        &self.0[index].1
    }

    /// Returns the series of a label's value, if there is one.
    #[must_use]
    pub fn of(&self, value: &str) -> Option<&H> {
        let found = self.0.iter().find(|(known, _)| known == value);
        found.map(|(_, handle)| handle)
    }
}

/// Series that show up as the process learns of them.
pub struct Dynamic {
    row: &'static Row,
}

impl Metric for Dynamic {
    const KIND: Kind = Kind::Gauge;

    fn of(row: &'static Row, _: Series) -> Self {
        Gauge::describe(row.name, row.help.trim_start());
        Self { row }
    }
}

impl Dynamic {
    /// Sets the series of these values, in the order of the row's labels.
    pub fn set(&self, values: &[&str], to: f64) {
        let labels = self.row.labels.iter().zip(values);
        let labels = labels.map(|(name, value)| Label::new(*name, (*value).to_owned()));
        Gauge::register(self.row.name, labels.collect()).set(to);
    }
}
