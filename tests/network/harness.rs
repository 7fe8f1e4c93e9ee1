//! Runs the stories one after another on one stage, and tells of them in the words of Rust's own test runner,
//! so that `cargo test --test network NAME` and the sum of `scripts/test` work as everywhere.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use crate::stage::Stage;

/// A sentence about a promise, and its proof.
pub(crate) type Story = (&'static str, fn(&Stage));

/// Names a function and gives it.
#[macro_export]
macro_rules! stories {
    ($($story:ident),* $(,)?) => {
        /// The stories of this file.
        pub(crate) const STORIES: &[$crate::harness::Story] = &[$((concat!(module_path!(), "::", stringify!($story)), $story)),*];
    };
}

/// What a person may say.
struct Wish {
    list: bool,
    exact: bool,
    filters: Vec<String>,
    skips: Vec<String>,
}

/// Tells the stories that are wanted.
pub(crate) fn run(suite: &str, words: &[String]) -> ExitCode {
    let wish = Wish::read(words);
    let wanted: Vec<Story> = crate::stories().filter(|(name, _)| wish.wants(name)).collect();
    if wish.list {
        wanted.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", wanted.len());
    let begun = Instant::now();
    let mut failed = Vec::new();
    if !wanted.is_empty() {
        tell_all(suite, &wanted, &mut failed);
    }
    if !failed.is_empty() {
        println!("\nfailures:\n    {}", failed.join("\n    "));
    }
    println!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failed.is_empty() { "ok" } else { "FAILED" },
        wanted.len() - failed.len().min(wanted.len()),
        failed.len(),
        crate::stories().count() - wanted.len(),
        begun.elapsed().as_secs_f64(),
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell_all(suite: &str, wanted: &[Story], failed: &mut Vec<&'static str>) {
    let stage = match catch_unwind(|| Stage::set(suite)) {
        Ok(stage) => stage,
        Err(_) => {
            failed.extend(wanted.iter().map(|(name, _)| *name));
            println!("the stage could not be set: nothing was told");
            return;
        }
    };
    for (name, story) in wanted {
        let begun = Instant::now();
        let told = catch_unwind(AssertUnwindSafe(|| story(&stage)));
        let (ended, took) = (if told.is_ok() { "ok" } else { "FAILED" }, begun.elapsed().as_secs_f64());
        println!("test {name} ... {ended} <{took:.1}s>");
        failed.extend(told.is_err().then_some(*name));
    }
    if catch_unwind(AssertUnwindSafe(|| drop(stage))).is_err() {
        failed.push("network::the_stage_is_left_empty");
    }
}

impl Wish {
    fn read(words: &[String]) -> Self {
        let mut wish = Self { list: false, exact: false, filters: Vec::new(), skips: Vec::new() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--list" => wish.list = true,
                "--exact" => wish.exact = true,
                "--skip" => wish.skips.extend(words.next().cloned()),
                "--test-threads" | "--format" | "--color" => drop(words.next()),
                // Others of the runner's words change only how it tells.
                _ if word.starts_with('-') => (),
                _ => wish.filters.push(word.clone()),
            }
        }
        wish
    }

    fn wants(&self, name: &str) -> bool {
        let fits = |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(fits)) && !self.skips.iter().any(fits)
    }
}
