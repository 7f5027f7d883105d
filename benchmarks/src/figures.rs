//! Figures of several rounds: their median and their spread.

use std::fmt;

/// What a figure is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Micros,
    Millis,
    Seconds,
    KiB,
    Bytes,
    PerSecond,
    PerCpuSecond,
    Instructions,
    SystemCalls,
    MiB,
    Times,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Micros => " µs",
            Self::Millis => " ms",
            Self::Seconds => " s",
            Self::KiB => " KiB",
            Self::Bytes => " B",
            Self::PerSecond => "/s",
            Self::PerCpuSecond => "/CPU-s",
            Self::Instructions => " instructions",
            Self::SystemCalls => " calls",
            Self::MiB => " MiB",
            Self::Times => "×",
        })
    }
}

/// The same figure of each round that counts.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    unit: Unit,
    rounds: Vec<f64>,
}

impl Figures {
    pub(crate) fn new(unit: Unit) -> Self {
        let rounds = Vec::new();
        Self { unit, rounds }
    }

    pub(crate) fn of(unit: Unit, rounds: impl IntoIterator<Item = f64>) -> Self {
        let rounds = rounds.into_iter().collect();
        Self { unit, rounds }
    }

    pub(crate) fn unit(&self) -> Unit {
        self.unit
    }

    pub(crate) fn push(&mut self, figure: f64) {
        self.rounds.push(figure);
    }

    /// Returns each round's figure divided by that of another in the same round.
    pub(crate) fn over(&self, floor: &Self) -> Self {
        let ratios = self.rounds.iter().zip(&floor.rounds);
        Self::of(Unit::Times, ratios.map(|(figure, floor)| figure / floor))
    }

    /// Returns how much each round's figure is above that of another in the same round.
    pub(crate) fn above(&self, floor: &Self) -> Self {
        let pairs = self.rounds.iter().zip(&floor.rounds);
        Self::of(self.unit, pairs.map(|(figure, floor)| figure - floor))
    }

    /// Returns the middle one; `None` without any.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (
            sorted.get(sorted.len().checked_sub(1)? / 2)?,
            sorted.get(sorted.len() / 2)?,
        );
        Some(f64::midpoint(*low, *high))
    }
}

/// The median, and in brackets the smallest and the largest.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(median) = self.median() else {
            return f.write_str("–");
        };
        write!(f, "{}{}", Short(median), self.unit)?;
        if self.rounds.len() > 1 {
            let least = self.rounds.iter().copied().fold(f64::INFINITY, f64::min);
            let most = self
                .rounds
                .iter()
                .copied()
                .fold(f64::NEG_INFINITY, f64::max);
            write!(f, " ({}–{})", Short(least), Short(most))?;
        }
        Ok(())
    }
}

/// Three digits or so.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.abs() {
            0.0..10.0 => write!(f, "{:.2}", self.0),
            10.0..100.0 => write!(f, "{:.1}", self.0),
            _ => write!(f, "{:.0}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_shown_with_the_ends() {
        let check = |rounds: &[f64], expected: &str| {
            let figures = Figures::of(Unit::Micros, rounds.iter().copied());
            assert_eq!(figures.to_string(), expected);
        };
        check(&[], "–");
        check(&[7.25], "7.25 µs");
        check(&[30.0, 10.0, 20.0], "20.0 µs (10.0–30.0)");
        check(&[100.0, 300.0], "200 µs (100–300)");
    }

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        let floor = Figures::of(Unit::Micros, [10.0, 1.0, 5.0]);
        let ratio = Figures::of(Unit::Micros, [20.0, 3.0, 20.0]).over(&floor);
        assert_eq!(ratio.median(), Some(3.0));
    }
}
