//! Templates: what is here, and building those that the server knows how to build.

use http::Method;
use machine_api::TemplateInfo;
use machine_api::template::BuildTemplate;

use crate::OnReport;
use crate::connection::{Call, Client, escape};
use crate::error::SdkError;
use crate::progress::Asking;

impl Client {
    /// Every template here.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn templates(&self) -> Result<Vec<TemplateInfo>, SdkError> {
        self.ask(Call::new(Method::GET, "/v1/templates")).await
    }

    /// Builds a template, and the memory image of one shape of its machines if asked. What is there and
    /// unchanged is not built again unless asked.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn build_template(
        &self,
        name: &str,
        how: &BuildTemplate,
        on_report: OnReport<'_>,
    ) -> Result<TemplateInfo, SdkError> {
        let call = Call::new(Method::POST, &format!("/v1/templates/local/{}/build", escape(name)));
        self.work_on_template(call, Asking::With(how), on_report).await
    }
}
