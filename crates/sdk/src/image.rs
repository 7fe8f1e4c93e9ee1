//! Memory images: what is here, and removing them. They are made with `build_template`.

use http::Method;
use machine_api::ImageInfo;
use machine_api::image::PruneImages;

use crate::connection::{Call, Client, escape};
use crate::error::SdkError;

impl Client {
    /// Every memory image here, also those that no machine can be made of any more.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn images(&self) -> Result<Vec<ImageInfo>, SdkError> {
        self.ask(Call::new(Method::GET, "/v1/images")).await
    }

    /// Removes the image that an id, or a unique beginning of one, means. Machines of it go on.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn remove_image(&self, image: &str) -> Result<ImageInfo, SdkError> {
        self.ask(Call::new(Method::DELETE, &format!("/v1/images/{}", escape(image)))).await
    }

    /// Removes every image that no machine can be made of any more, and answers which.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn prune_images(&self) -> Result<Vec<ImageInfo>, SdkError> {
        self.tell(Call::new(Method::POST, "/v1/images/prune"), &PruneImages {}).await
    }
}
