//! How far it is, on a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// A line on standard error that is drawn anew; nothing of it where nobody looks.
#[derive(Debug)]
pub(crate) struct Progress {
    on: bool,
    start: Instant,
    drawn: Option<Instant>,
    all: usize,
}

impl Progress {
    /// Of so many domains.
    pub(crate) fn new(all: usize) -> Self {
        Self { on: std::io::stderr().is_terminal(), start: Instant::now(), drawn: None, all }
    }

    /// So many are done, of which some could not be tested.
    pub(crate) fn draw(&mut self, done: usize, untested: usize) {
        let now = Instant::now();
        if !self.on || self.drawn.is_some_and(|before| now.duration_since(before) < FRAME) {
            return;
        }
        self.drawn = Some(now);
        let text = line(done, self.all, untested, now.duration_since(self.start));
        let mut out = std::io::stderr().lock();
        let _ = write!(out, "\r\x1b[K{text}").and_then(|()| out.flush());
    }

    /// Makes room for what is written next.
    pub(crate) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let mut out = std::io::stderr().lock();
            let _ = write!(out, "\r\x1b[K").and_then(|()| out.flush());
        }
    }
}

fn line(done: usize, all: usize, untested: usize, time: Duration) -> String {
    let share = |width: usize| (done * width).checked_div(all).unwrap_or(width).min(width);
    let bar = format!("{}{}", "#".repeat(share(WIDTH)), "-".repeat(WIDTH - share(WIDTH)));
    let seconds = time.as_secs_f64().max(0.001);
    let as_float = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    let rate = as_float(done) / seconds;
    let shown = if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") };
    // What a few results say of the time left is not worth reading.
    let left = if done >= FEW && done < all { format!(", {} left", span(as_float(all - done) / rate)) } else { String::new() };
    let untested = if untested > 0 { format!(", {untested} could not be tested") } else { String::new() };
    format!("[{bar}] {:>3} %  {done} of {all}, {shown} a second{left}{untested}", share(100))
}

/// `40 s`, `12 min`, `3 h 20 min`.
fn span(seconds: f64) -> String {
    let minutes = seconds / 60.0;
    match seconds {
        ..90.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{minutes:.0} min"),
        _ => format!("{:.0} h {:.0} min", (minutes / 60.0).floor(), minutes % 60.0),
    }
}

const WIDTH: usize = 24;

/// Results before the time left is told.
const FEW: usize = 10;

/// Between two pictures.
const FRAME: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_it_is() {
        assert_eq!(
            line(500, 1000, 3, Duration::from_secs(10)),
            "[############------------]  50 %  500 of 1000, 50 a second, 10 s left, 3 could not be tested"
        );
        assert_eq!(line(0, 0, 0, Duration::ZERO), format!("[{}] 100 %  0 of 0, 0.0 a second", "#".repeat(24)));
        assert_eq!((span(12_000.0).as_str(), span(600.0).as_str()), ("3 h 20 min", "10 min"));
    }
}
