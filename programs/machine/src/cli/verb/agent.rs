//! `claude`, `codex`: a coding agent in the project's machine. Its keys are passed to that one command, and written
//! nowhere.

use std::collections::BTreeMap;

use clap::Args;
use machine_machinefile::model::AgentTool;
use machine_sdk::api::Code;
use machine_sdk::api::attach::AttachStart;

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::project;
use crate::cli::verb::{exec, run};

/// What is handed to the agent.
#[derive(Debug, Args)]
#[command(
    after_help = "What the agent asks for in your environment (its key, its token) is passed to it, and kept nowhere."
)]
pub(crate) struct AgentArguments {
    /// the agent's own arguments
    #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// A coding agent: its name in the file, its program, and which of our variables it may have.
struct Known {
    tool: AgentTool,
    name: &'static str,
    program: &'static str,
    keys: &'static [&'static str],
}

const CLAUDE: Known = Known {
    tool: AgentTool::ClaudeCode,
    name: "claude-code",
    program: "claude",
    keys: &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "CLAUDE_CODE_OAUTH_TOKEN"],
};
const CODEX: Known =
    Known { tool: AgentTool::Codex, name: "codex", program: "codex", keys: &["OPENAI_API_KEY", "OPENAI_BASE_URL"] };

/// Runs Claude Code.
pub(crate) async fn claude(asked: AgentArguments, desk: &Desk) -> Result<u8, Failure> {
    agent(&CLAUDE, asked, desk).await
}

/// Runs Codex.
pub(crate) async fn codex(asked: AgentArguments, desk: &Desk) -> Result<u8, Failure> {
    agent(&CODEX, asked, desk).await
}

async fn agent(known: &Known, asked: AgentArguments, desk: &Desk) -> Result<u8, Failure> {
    let project = project::need(desk)?;
    if !project.file.agents.contains(&known.tool) {
        let message = format!("this project's machine has no {}", known.program);
        return Err(Failure::new(Code::InvalidRequest, message)
            .hint(format!("put `agents: [{}]` into the Machinefile, then `machine restart`", known.name)));
    }
    let command = std::iter::once(known.program.to_owned()).chain(asked.arguments).collect();
    let keys = known.keys.iter().filter_map(|key| Some(((*key).to_owned(), desk.context.environment.get(key)?)));
    let envs: BTreeMap<String, String> = keys.collect();
    let start = AttachStart { envs, ..exec::start(command, Vec::new(), None, None, None) };
    run::in_project(&project, start, desk).await
}
