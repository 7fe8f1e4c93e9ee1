//! The terminal while `top` goes on: a screen of its own, and keys as they are pressed. Dropped, by a failure
//! too, the terminal is as it was.

use std::io::{self, Read as _, Write as _};
use std::thread;

use tokio::sync::mpsc;

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::session::{RawMode, terminal_size};

/// The other screen, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the corner; the rest of this line away; all below away.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
/// What the keys Ctrl-C and Ctrl-D are in raw mode.
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;

/// The terminal's other screen.
pub(super) struct Screen {
    /// Given back after the screen.
    _raw: RawMode,
}

/// What a person presses.
pub(super) struct Keys(mpsc::Receiver<u8>);

impl Screen {
    /// Enters it.
    pub(super) fn enter() -> Result<Self, Failure> {
        let raw = RawMode::enter()?;
        let screen = Self { _raw: raw };
        io::stdout().write_all(ENTER.as_bytes()).map_err(|error| Failure::file("cannot draw", &error))?;
        Ok(screen)
    }

    /// Draws a text, as much of it as fits.
    pub(super) fn draw(&self, text: &str, desk: &Desk) -> Result<(), Failure> {
        let (columns, lines) = terminal_size().unwrap_or((80, 24));
        desk.voice.write(framed(text, columns.into(), lines.into()).as_bytes())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout();
        // A terminal that is gone needs nothing back.
        let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
    }
}

impl Keys {
    /// Listens from now on, in a thread of its own: a read that waits for a person cannot be cancelled.
    pub(super) fn listen() -> Self {
        let (tell, keys) = mpsc::channel(16);
        thread::spawn(move || {
            let mut key = [0];
            while matches!(io::stdin().read(&mut key), Ok(1)) {
                if tell.blocking_send(key[0]).is_err() {
                    return;
                }
            }
        });
        Self(keys)
    }

    /// Returns when someone wants to leave, or nobody can press keys any more. May be cancelled.
    pub(super) async fn quit(&mut self) {
        loop {
            match self.0.recv().await {
                Some(b'q' | b'Q' | CTRL_C | CTRL_D) | None => return,
                Some(_) => {}
            }
        }
    }
}

/// What draws a text in a screen of this size: its lines cut, what was there before away.
fn framed(text: &str, columns: usize, lines: usize) -> String {
    let mut frame = HOME.to_owned();
    // The last line stays free: a line's end there would scroll.
    for line in text.lines().take(lines.saturating_sub(1)) {
        frame.extend(line.chars().take(columns));
        frame += CLEAR_LINE;
        frame += "\r\n";
    }
    frame + CLEAR_BELOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_its_screen() {
        assert_eq!(framed("abcdef\ngh\nij\n", 4, 3), "\x1b[Habcd\x1b[K\r\ngh\x1b[K\r\n\x1b[J");
        assert_eq!(framed("", 80, 24), "\x1b[H\x1b[J");
        assert_eq!(framed("a\n", 80, 0), "\x1b[H\x1b[J");
    }

    #[tokio::test]
    async fn q_and_ctrl_c_and_the_end_of_input_leave() {
        for pressed in [b"xq".as_slice(), b"\x03", b"\x1b[A\x04", b"x"] {
            let (tell, keys) = mpsc::channel(16);
            for key in pressed {
                tell.send(*key).await.unwrap();
            }
            drop(tell);
            Keys(keys).quit().await;
        }
    }
}
