//! The terminal while `top` has it: a screen of its own, given back at the end.

use std::{
    io::{self, Stdout, Write, stdout},
    time::{Duration, Instant},
};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    execute, queue,
    style::Print,
    terminal::{
        Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
        enable_raw_mode, size,
    },
};

use crate::cli::escape::escaped;

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Refresh,
    End,
}

/// The terminal, taken over.
pub(super) struct Screen(Stdout);

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        enable_raw_mode()?;
        let mut screen = Self(stdout());
        execute!(screen.0, EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Replaces what is shown; what does not fit is cut, but the footer stays.
    pub(super) fn show(&mut self, text: &str, footer: &str) -> io::Result<()> {
        let (width, height) = size()?;
        let rows = text.lines().take(height.saturating_sub(2).into());
        let rows = rows.chain(["", footer]);
        queue!(self.0, MoveTo(0, 0))?;
        for (row, line) in (0_u16..).zip(rows) {
            let line: String = escaped(line).to_string();
            let line: String = line.chars().take(width.into()).collect();
            queue!(
                self.0,
                MoveTo(0, row),
                Print(line),
                Clear(ClearType::UntilNewLine)
            )?;
        }
        queue!(self.0, Clear(ClearType::FromCursorDown))?;
        self.0.flush()
    }

    /// Waits for a key that ends it, or until it is time to ask again.
    pub(super) fn wait(&self, most: Duration) -> io::Result<Wish> {
        let until = Instant::now() + most;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if !event::poll(left)? {
                return Ok(Wish::Refresh);
            }
            match event::read()? {
                Event::Key(key) if ends(key) => return Ok(Wish::End),
                Event::Resize(..) => return Ok(Wish::Refresh),
                _ => {}
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is left to be told when the terminal has gone.
        let _ = execute!(self.0, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

fn ends(key: KeyEvent) -> bool {
    let is_control_c = key.code == KeyCode::Char('c') && key.modifiers == KeyModifiers::CONTROL;
    let is_quit = matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc);
    key.kind == KeyEventKind::Press && (is_control_c || is_quit)
}
