//! Long work told while it goes on: live lines on a terminal, one line per stage elsewhere, nothing
//! with `-q`. Knows reports, not what they are about.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use machine_sdk::api::{ReportInfo, StageWord};

use super::paint::Paint;
use super::voice::Voice;
use super::word::duration;

/// What stays on a terminal when the work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trace {
    /// Each stage with its time.
    Kept,
    /// Nothing.
    Wiped,
}

/// Tells the stages of one piece of work. Dropped, its live lines are gone.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Silent,
    Lines,
    Live { bars: MultiProgress, open: Vec<(StageWord, ProgressBar)>, paint: Paint, trace: Trace },
}

impl Progress {
    /// For this voice.
    pub(crate) fn new(voice: &Voice, trace: Trace) -> Self {
        let way = if voice.quiet {
            Way::Silent
        } else if voice.live {
            let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            Way::Live { bars, open: Vec::new(), paint: voice.err.paint, trace }
        } else {
            Way::Lines
        };
        Self { began: Instant::now(), way }
    }

    /// For work that nobody needs to see.
    pub(crate) fn silent() -> Self {
        Self { began: Instant::now(), way: Way::Silent }
    }

    /// The work is done: says so with its time, unless silent.
    pub(crate) fn done(self, what: &str) {
        let (told, took) = (!matches!(self.way, Way::Silent), duration::show(self.began.elapsed()));
        drop(self);
        if told {
            say(&format!("{what} ({took})"));
        }
    }

    /// A stage begins that has several steps with this one; `place` says which, `what` is what it does.
    pub(crate) fn step(&mut self, stage: StageWord, place: &str, what: &str) {
        let name = format!("{} {place}", shown(stage));
        match &mut self.way {
            Way::Silent => {}
            Way::Lines => say(&format!("{name}: {what}")),
            Way::Live { bars, open, .. } => {
                let bar = spinner(bars, name);
                bar.set_message(what.to_owned());
                open.push((stage, bar));
            }
        }
    }

    /// Tells one report.
    pub(crate) fn tell(&mut self, report: &ReportInfo) {
        match &mut self.way {
            Way::Silent => {}
            Way::Lines => tell_line(report),
            Way::Live { bars, open, paint, trace } => tell_live(report, bars, open, *paint, *trace),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Way::Live { open, .. } = &mut self.way {
            for (_, bar) in open.drain(..) {
                bar.finish_and_clear();
            }
        }
    }
}

fn tell_line(report: &ReportInfo) {
    let line = match report {
        ReportInfo::Begun { .. } => return,
        ReportInfo::Told { stage, text } => format!("{} {text}", shown(*stage)),
        ReportInfo::Ended { stage, micros } => format!("{} {}", shown(*stage), took(*micros)),
    };
    say(&line);
}

/// Nobody is left to be told that standard error is gone.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn tell_live(
    report: &ReportInfo,
    bars: &MultiProgress,
    open: &mut Vec<(StageWord, ProgressBar)>,
    paint: Paint,
    trace: Trace,
) {
    match report {
        ReportInfo::Begun { stage } => open.push((*stage, spinner(bars, shown(*stage)))),
        ReportInfo::Told { stage, text } => {
            if let Some((_, bar)) = open.iter().rev().find(|(begun, _)| begun == stage) {
                bar.set_message(text.clone());
            }
        }
        ReportInfo::Ended { stage, micros } => {
            if let Some(place) = open.iter().rposition(|(begun, _)| begun == stage) {
                let (_, bar) = open.remove(place);
                bar.finish_and_clear();
                bars.remove(&bar);
            }
            if trace == Trace::Kept {
                let line = format!("{} {:<10} {}", paint.green("+"), shown(*stage), took(*micros));
                let _ = bars.println(line);
            }
        }
    }
}

fn spinner(bars: &MultiProgress, prefix: String) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {prefix:<10} {took} {wide_msg}")
        .expect("the template is fixed text that parses")
        .with_key("took", |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            let _ = write!(text, "{}", duration::show(state.elapsed()));
        });
    let bar = bars.add(ProgressBar::new_spinner().with_style(style).with_prefix(prefix));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A bar over bytes, where a person looks at it.
pub(crate) fn byte_bar(voice: &Voice, total: Option<u64>, what: &str) -> ProgressBar {
    if voice.quiet || !voice.live {
        return ProgressBar::hidden();
    }
    let template = if total.is_some() {
        "{wide_msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}"
    } else {
        "{spinner} {wide_msg} {bytes} {bytes_per_sec}"
    };
    let style = ProgressStyle::with_template(template).expect("the template is fixed text that parses");
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_style(style);
    bar.with_message(what.to_owned())
}

/// A stage as people read it.
fn shown(stage: StageWord) -> String {
    match stage {
        StageWord::Keep => "keep image".to_owned(),
        StageWord::Save => "save memory".to_owned(),
        StageWord::Load => "load memory".to_owned(),
        StageWord::Resolve
        | StageWord::Fetch
        | StageWord::Kernel
        | StageWord::Build
        | StageWord::Disk
        | StageWord::Seal
        | StageWord::Boot
        | StageWord::Restore
        | StageWord::Agent
        | StageWord::Provision
        | StageWord::Ready
        | StageWord::PowerOff
        | StageWord::Remove => stage.word().replace('_', " "),
    }
}

fn took(micros: u64) -> String {
    duration::show(Duration::from_micros(micros))
}
