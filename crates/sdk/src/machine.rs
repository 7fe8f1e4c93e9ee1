//! Machines: make, look, start, stop, pause, hibernate, resume, destroy, run a command, read logs.

use http::Method;
use machine_api::event::Events;
use machine_api::exec::{ExecRequest, ExecResponse};
use machine_api::{CreateMachine, IDEMPOTENCY_KEY, MachineInfo, Page};
use serde_json::{Map, Value};

use crate::OnReport;
use crate::connection::{Call, Client, empty, escape};
use crate::error::SdkError;
use crate::progress::Asking;
use crate::stream::ByteStream;

const NOTHING: Asking<'static, ()> = Asking::Bare;

/// Which machines are listed; by default all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MachineFilter {
    /// Only those in one of these states or statuses.
    pub states: Vec<String>,
    /// Only those of this template.
    pub template: Option<String>,
    /// Only those whose metadata has all of this.
    pub metadata: Map<String, Value>,
}

/// Whether a log is read to its present end or followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// To its present end.
    No,
    /// Until the machine runs no more.
    Yes,
}

impl Client {
    /// Makes a machine, and starts it unless told otherwise; returns when it answers. A fresh
    /// idempotency key is sent with it.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn create(&self, new: &CreateMachine, on_report: OnReport<'_>) -> Result<MachineInfo, SdkError> {
        let key = fresh_key()?;
        self.create_with_key(new, &key, on_report).await
    }

    /// As `create`, with the caller's idempotency key: a repeat gives the same machine.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn create_with_key(
        &self,
        new: &CreateMachine,
        key: &str,
        on_report: OnReport<'_>,
    ) -> Result<MachineInfo, SdkError> {
        let call = Call::new(Method::POST, "/v1/machines").header(IDEMPOTENCY_KEY, key);
        self.work_on_machine(call, Asking::With(new), on_report).await
    }

    /// The machine that an id, a name or a unique prefix means.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn get(&self, machine: &str) -> Result<MachineInfo, SdkError> {
        self.ask(Call::new(Method::GET, &of(machine, ""))).await
    }

    /// All machines that the filter lets through, oldest first.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn list(&self, filter: &MachineFilter) -> Result<Vec<MachineInfo>, SdkError> {
        let mut query = String::from("/v1/machines?limit=500");
        if !filter.states.is_empty() {
            query += &format!("&state={}", escape(&filter.states.join(",")));
        }
        if let Some(template) = &filter.template {
            query += &format!("&template={}", escape(template));
        }
        if !filter.metadata.is_empty() {
            query += &format!("&metadata={}", escape(&Value::Object(filter.metadata.clone()).to_string()));
        }
        let mut page: Page<MachineInfo> = self.ask(Call::new(Method::GET, &query)).await?;
        let mut machines = std::mem::take(&mut page.items);
        while let (true, Some(token)) = (page.has_next, &page.next_token) {
            page = self.ask(Call::new(Method::GET, &format!("{query}&next_token={}", escape(token)))).await?;
            machines.append(&mut page.items);
        }
        Ok(machines)
    }

    /// Boots a machine; returns when it answers. One that runs stays as it is.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn start(&self, machine: &str, on_report: OnReport<'_>) -> Result<MachineInfo, SdkError> {
        self.work_on_machine(Call::new(Method::POST, &of(machine, "/start")), NOTHING, on_report).await
    }

    /// Powers a machine off. One that is off stays as it is.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn stop(&self, machine: &str, on_report: OnReport<'_>) -> Result<MachineInfo, SdkError> {
        self.work_on_machine(Call::new(Method::POST, &of(machine, "/stop")), NOTHING, on_report).await
    }

    /// Stops a machine's processors; its memory stays in memory. One that is paused stays as it is.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn pause(&self, machine: &str, on_report: OnReport<'_>) -> Result<MachineInfo, SdkError> {
        self.work_on_machine(Call::new(Method::POST, &of(machine, "/pause")), NOTHING, on_report).await
    }

    /// Writes a machine's memory to the disk and ends its process. One that is hibernated stays as it is.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn hibernate(&self, machine: &str, on_report: OnReport<'_>) -> Result<MachineInfo, SdkError> {
        self.work_on_machine(Call::new(Method::POST, &of(machine, "/hibernate")), NOTHING, on_report).await
    }

    /// Lets a machine go on from wherever it rests; returns when it answers. One that is stopped starts.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn resume(&self, machine: &str, on_report: OnReport<'_>) -> Result<MachineInfo, SdkError> {
        self.work_on_machine(Call::new(Method::POST, &of(machine, "/resume")), NOTHING, on_report).await
    }

    /// Removes a machine and all that is its own.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn destroy(&self, machine: &str, on_report: OnReport<'_>) -> Result<MachineInfo, SdkError> {
        self.work_on_machine(Call::new(Method::DELETE, &of(machine, "")), NOTHING, on_report).await
    }

    /// Runs a command in the foreground and gives its output at its end; `attach` streams.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn exec(&self, machine: &str, request: &ExecRequest) -> Result<ExecResponse, SdkError> {
        self.tell(Call::new(Method::POST, &of(machine, "/exec")), request).await
    }

    /// The guest's console since its last start.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn boot_log(&self, machine: &str, follow: Follow) -> Result<ByteStream, SdkError> {
        let query = match follow {
            Follow::No => "/logs?kind=boot",
            Follow::Yes => "/logs?kind=boot&follow=true",
        };
        Ok(ByteStream::new(self.send(Call::new(Method::GET, &of(machine, query)), empty()).await?))
    }

    /// What happened to machines, after event number `after`.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn events(&self, after: u64, limit: u32) -> Result<Events, SdkError> {
        self.ask(Call::new(Method::GET, &format!("/v1/events?after={after}&limit={limit}"))).await
    }
}

/// A path below a machine.
pub(crate) fn of(machine: &str, rest: &str) -> String {
    format!("/v1/machines/{}{rest}", escape(machine))
}

fn fresh_key() -> Result<String, SdkError> {
    let number = getrandom::u64().and_then(|high| Ok((high, getrandom::u64()?)));
    let (high, low) = number.map_err(|error| SdkError::broken("make an idempotency key", error.to_string()))?;
    Ok(format!("{high:016x}{low:016x}"))
}
