//! Templates: what is here, making them of recipes and of machines' disks, removing them.

use http::Method;
use machine_api::TemplateInfo;
use machine_api::template::{BuildTemplate, NewTemplate, RemovedTemplate};

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

    /// Makes a template of a recipe or of a stopped machine's disk. What is there and unchanged is not built again
    /// unless asked.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn create_template(&self, wish: &NewTemplate, on_report: OnReport<'_>) -> Result<TemplateInfo, SdkError> {
        self.work_on_template(Call::new(Method::POST, "/v1/templates"), Asking::With(wish), on_report).await
    }

    /// Takes a template's name away, and the template with its memory images if no other name stands for it.
    ///
    /// # Errors
    /// A refusal, as while machines stand on it, or the server cannot be reached.
    pub async fn remove_template(&self, name: &str) -> Result<RemovedTemplate, SdkError> {
        self.ask(Call::new(Method::DELETE, &format!("/v1/templates/{}", escape(name)))).await
    }

    /// Builds a template that the server knows by its name, and the memory image of one shape of its machines if asked. What is there and
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
