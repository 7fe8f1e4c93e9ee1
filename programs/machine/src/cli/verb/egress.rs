//! `egress`: what a machine may reach: shown, changed while it runs, and explained.

use clap::{Args, Subcommand};
use machine_sdk::api::explain::{Conclusion, DecisionInfo, ExplainInfo, ExplainQuery};
use machine_sdk::api::network::{EgressWish, MachineEgress};
use machine_sdk::api::word::{ConditionWord, ProtocolWord, VerdictWord};

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::paint::Paint;
use crate::cli::table::{Cell, Tone, pairs, table};
use crate::cli::word::choice;

/// A machine may not reach what was asked about.
const REFUSED: u8 = 5;
/// Nobody knows: the name has no address that was looked at.
const UNKNOWN: u8 = 1;

const AFTER_HELP: &str = "\
ENTRY is an ADDRESS, a CIDR, a HOST or *.DOMAIN, with an optional :PORT and /tcp, /udp or /icmp.
A refusal wins. Private addresses and this host are refused to every machine, unless an allowed
ENTRY names them; host.machine.internal:PORT is a port of this host's own 127.0.0.1.";

const AFTER_SET_HELP: &str = "\
What is not named stays as it is. A machine that runs follows at once; what it refuses is printed
by `machine logs --network NAME`.

Examples:
  machine egress set web --policy deny --allow '*.debian.org' --allow api.example.com:443
  machine egress set web --add-allow 10.1.2.3:5432/tcp
  machine egress set web --add-allow host.machine.internal:8080
  machine egress set web --reset";

const AFTER_EXPLAIN_HELP: &str = "\
Asks as the machine would and sends nothing there. Exit code: 0 allowed, 5 refused, 1 where the name
would be resolved and no address of it is known.

Examples:
  machine egress explain web api.example.com
  machine egress explain web 10.1.2.3:5432
  machine egress explain web 1.1.1.1:53/udp";

/// What to do with what a machine may reach.
#[derive(Debug, Subcommand)]
#[command(after_help = AFTER_HELP)]
pub(crate) enum EgressVerb {
    /// show what a machine may reach
    Show(ShowArguments),
    /// change what a machine may reach
    Set(SetArguments),
    /// say whether a machine may reach a place, and why
    Explain(ExplainArguments),
}

/// Whose rules.
#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// machine whose rules to show
    #[arg(value_name = "NAME")]
    machine: String,
}

/// Which change.
#[derive(Debug, Args)]
#[command(after_help = AFTER_SET_HELP)]
pub(crate) struct SetArguments {
    /// allow or deny, what no ENTRY fits
    #[arg(long, value_name = "POLICY", value_parser = choice::verdict)]
    policy: Option<VerdictWord>,

    /// allow this, in place of all that is allowed; may be repeated
    #[arg(long, value_name = "ENTRY")]
    allow: Vec<String>,

    /// refuse this, in place of all that is refused; may be repeated
    #[arg(long, value_name = "ENTRY")]
    deny: Vec<String>,

    /// allow this, too; may be repeated
    #[arg(long, value_name = "ENTRY")]
    add_allow: Vec<String>,

    /// refuse this, too; may be repeated
    #[arg(long, value_name = "ENTRY")]
    add_deny: Vec<String>,

    /// forget this, allowed or refused; may be repeated
    #[arg(long, value_name = "ENTRY")]
    remove: Vec<String>,

    /// begin anew: allow what no ENTRY fits, and forget every ENTRY
    #[arg(long)]
    reset: bool,

    /// machine whose rules to change
    #[arg(value_name = "NAME")]
    machine: String,
}

/// Which question.
#[derive(Debug, Args)]
#[command(after_help = AFTER_EXPLAIN_HELP)]
pub(crate) struct ExplainArguments {
    /// machine that would reach it
    #[arg(value_name = "NAME")]
    machine: String,

    /// HOST or ADDRESS, with an optional :PORT (else 443) and /tcp (else that), /udp or /icmp
    #[arg(value_name = "PLACE")]
    place: ExplainQuery,
}

/// Works on what a machine may reach.
pub(crate) async fn egress(asked: EgressVerb, desk: &Desk) -> Result<u8, Failure> {
    match asked {
        EgressVerb::Show(asked) => {
            let rules = desk.link.ask(async |client| client.egress(&asked.machine).await).await?;
            tell(&rules, desk)?;
            Ok(0)
        }
        EgressVerb::Set(asked) => set(asked, desk).await,
        EgressVerb::Explain(asked) => explain(asked, desk).await,
    }
}

async fn set(asked: SetArguments, desk: &Desk) -> Result<u8, Failure> {
    let wish = asked.wish();
    if wish == EgressWish::default() {
        let hint = "say --policy, --allow, --deny, --add-allow, --add-deny, --remove or --reset";
        return Err(Failure::usage("no change is asked for").hint(hint));
    }
    let rules = desk.link.ask(async |client| client.set_egress(&asked.machine, &wish).await).await?;
    tell(&rules, desk)?;
    Ok(0)
}

impl SetArguments {
    fn wish(&self) -> EgressWish {
        let some = |texts: &[String]| (!texts.is_empty()).then(|| texts.to_vec());
        let anew = |texts: &[String]| if self.reset { Some(texts.to_vec()) } else { some(texts) };
        EgressWish {
            policy: self.policy.or(self.reset.then_some(VerdictWord::Allow)),
            allow: anew(&self.allow),
            deny: anew(&self.deny),
            remove: some(&self.remove),
            add_allow: some(&self.add_allow),
            add_deny: some(&self.add_deny),
            ..EgressWish::default()
        }
    }
}

fn tell(rules: &MachineEgress, desk: &Desk) -> Result<(), Failure> {
    let voice = &desk.voice;
    if voice.json() {
        voice.document(rules)
    } else if voice.bare() {
        voice.print(rules.egress.policy.word())
    } else {
        voice.print(&description(rules, voice.out.paint))
    }
}

fn description(rules: &MachineEgress, paint: Paint) -> String {
    let mut rows: Vec<(&str, Cell)> = vec![("policy", verdict(rules.egress.policy))];
    for (name, entries) in [("allow", &rules.egress.allow), ("deny", &rules.egress.deny)] {
        for (place, entry) in entries.iter().enumerate() {
            rows.push((if place == 0 { name } else { "" }, entry.as_str().into()));
        }
    }
    pairs(&rows, paint)
}

async fn explain(asked: ExplainArguments, desk: &Desk) -> Result<u8, Failure> {
    let told = desk.link.ask(async |client| client.explain(&asked.machine, &asked.place).await).await?;
    let voice = &desk.voice;
    if voice.json() {
        voice.document(&told)?;
    } else if voice.bare() {
        voice.print(conclusion(told.verdict).0)?;
    } else {
        voice.print(&answer(&told, voice.out.paint))?;
        told.note.iter().for_each(|note| voice.say(note));
    }
    Ok(match told.verdict {
        Conclusion::Allow => 0,
        Conclusion::Deny => REFUSED,
        Conclusion::Unknown => UNKNOWN,
    })
}

fn answer(told: &ExplainInfo, paint: Paint) -> String {
    let (word, tone) = conclusion(told.verdict);
    let row = |what: String, decision: &DecisionInfo| {
        let condition = match decision.condition {
            ConditionWord::None => "",
            ConditionWord::Name => ", once TLS or HTTP names a host that is allowed",
        };
        vec![Cell::from(what), verdict(decision.verdict), format!("{}{condition}", decision.rule).into()]
    };
    let mut rows = vec![vec![place(told).into(), Cell::toned(word, tone), told.rule.as_str().into()]];
    rows.extend(told.resolve.iter().map(|decision| row(format!("resolve {}", told.host), decision)));
    if told.resolve.is_some() || told.addresses.len() > 1 || conditional(told) {
        rows.extend(told.addresses.iter().map(|address| row(address.address.to_string(), &address.decision)));
    }
    table(&["PLACE", "VERDICT", "RULE"], &rows, paint)
}

fn conditional(told: &ExplainInfo) -> bool {
    told.addresses.iter().any(|address| address.decision.condition != ConditionWord::None)
}

fn place(told: &ExplainInfo) -> String {
    match told.protocol {
        ProtocolWord::Icmp => format!("{}/icmp", told.host),
        ProtocolWord::Tcp | ProtocolWord::Udp if told.host.contains(':') => {
            format!("[{}]:{}/{}", told.host, told.port, told.protocol)
        }
        ProtocolWord::Tcp | ProtocolWord::Udp => format!("{}:{}/{}", told.host, told.port, told.protocol),
    }
}

const fn conclusion(verdict: Conclusion) -> (&'static str, Tone) {
    match verdict {
        Conclusion::Allow => ("allow", Tone::Good),
        Conclusion::Deny => ("deny", Tone::Bad),
        Conclusion::Unknown => ("unknown", Tone::Busy),
    }
}

fn verdict(verdict: VerdictWord) -> Cell {
    let tone = match verdict {
        VerdictWord::Allow => Tone::Good,
        VerdictWord::Deny => Tone::Bad,
    };
    Cell::toned(verdict.word(), tone)
}

#[cfg(test)]
#[path = "egress_tests.rs"]
mod tests;
