//! The table: a line for each figure, with its floor and what it ought to be.

use std::fmt;

use crate::figures::Figures;

/// What roomcast was run on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Preset {
    Embedded,
    Services,
    /// The program itself.
    Either,
}

/// What a figure is held to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// Shown beside the others.
    Free,
}

/// One line.
pub(crate) struct Line {
    pub(crate) row: u8,
    pub(crate) measure: String,
    pub(crate) preset: Preset,
    pub(crate) floor: Option<Figures>,
    pub(crate) roomcast: Figures,
    /// What is compared with the goal: a ratio, a difference, or the figure itself.
    pub(crate) judged: Figures,
    pub(crate) goal: Goal,
}

impl Line {
    /// Whether the median is where it ought to be; `None` without a figure or a goal.
    fn is_reached(&self) -> Option<bool> {
        let median = self.judged.median()?;
        match self.goal {
            Goal::AtMost(most) => Some(median <= most),
            Goal::AtLeast(least) => Some(median >= least),
            Goal::Free => None,
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Services => "services",
            Self::Either => "either",
        })
    }
}

/// The head of the table, in Markdown.
pub(crate) const HEAD: &str = "| # | measure | preset | floor | roomcast | judged | goal | reached |\n\
     |---|---|---|---|---|---|---|---|";

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let floor = self
            .floor
            .as_ref()
            .map_or("–".to_owned(), Figures::to_string);
        let reached = match self.is_reached() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        let unit = self.judged.unit();
        let goal = match self.goal {
            Goal::AtMost(most) => format!("≤ {most}{unit}"),
            Goal::AtLeast(least) => format!("≥ {least}{unit}"),
            Goal::Free => "–".to_owned(),
        };
        write!(
            f,
            "| {} | {} | {} | {floor} | {} | {} | {goal} | {reached} |",
            self.row, self.measure, self.preset, self.roomcast, self.judged
        )
    }
}
