//! Writes the initramfs of a template with an agent: `initramfs IMAGES AGENT OUTPUT`, for booting one by hand.

use std::error::Error;
use std::path::Path;

use machine_image::{BASE, Template, build_initramfs};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [images, agent, output] = arguments.as_slice() else {
        return Err("usage: initramfs IMAGES AGENT OUTPUT".into());
    };
    let template = Template::load(Path::new(images), BASE)?;
    std::fs::write(output, build_initramfs(&template.kernel_parts()?, &std::fs::read(agent)?))?;
    Ok(())
}
