//! Long work: reports while it goes on, then its result.

use http::header::ACCEPT;
use machine_api::{ErrorBody, MachineInfo, NDJSON, ProgressLine, TemplateInfo};
use serde::Serialize;

use crate::OnReport;
use crate::connection::{Call, Client, empty};
use crate::error::SdkError;
use crate::stream::{ByteStream, Lines};

/// What long work is asked with.
pub(crate) enum Asking<'a, T> {
    /// Nothing but the path.
    Bare,
    /// This, as JSON.
    With(&'a T),
}

impl Client {
    /// Long work that ends with a machine.
    pub(crate) async fn work_on_machine<T: Serialize>(
        &self,
        call: Call,
        asking: Asking<'_, T>,
        on_report: OnReport<'_>,
    ) -> Result<MachineInfo, SdkError> {
        let (tried, line) = self.work(call, asking, on_report).await?;
        match line {
            ProgressLine::Machine(machine) => Ok(*machine),
            ProgressLine::Report(_) | ProgressLine::Template(_) | ProgressLine::Error(_) => Err(unexpected(&tried)),
        }
    }

    /// Long work that ends with a template.
    pub(crate) async fn work_on_template<T: Serialize>(
        &self,
        call: Call,
        asking: Asking<'_, T>,
        on_report: OnReport<'_>,
    ) -> Result<TemplateInfo, SdkError> {
        let (tried, line) = self.work(call, asking, on_report).await?;
        match line {
            ProgressLine::Template(template) => Ok(template),
            ProgressLine::Report(_) | ProgressLine::Machine(_) | ProgressLine::Error(_) => Err(unexpected(&tried)),
        }
    }

    /// Tells the reports and gives the line after them.
    async fn work<T: Serialize>(
        &self,
        call: Call,
        asking: Asking<'_, T>,
        on_report: OnReport<'_>,
    ) -> Result<(String, ProgressLine), SdkError> {
        let call = call.header(ACCEPT, NDJSON);
        let (tried, response) = match asking {
            Asking::Bare => self.send(call, empty()).await?,
            Asking::With(body) => self.tell_only(call, body).await?,
        };
        let mut lines = Lines::new(ByteStream::new((tried.clone(), response)));
        while let Some(line) = lines.next().await? {
            match serde_json::from_slice(&line).map_err(|error| SdkError::broken(&tried, error))? {
                ProgressLine::Report(report) => on_report(report),
                ProgressLine::Error(error) => {
                    let status = error.code().map_or(500, machine_api::Code::http_status);
                    return Err(SdkError::Refused(Box::new(ErrorBody { error }), status));
                }
                last @ (ProgressLine::Machine(_) | ProgressLine::Template(_)) => return Ok((tried, last)),
            }
        }
        Err(SdkError::broken(tried, "the server ended before the work did"))
    }
}

fn unexpected(tried: &str) -> SdkError {
    SdkError::broken(tried, "the server answered with something else than was asked for")
}
