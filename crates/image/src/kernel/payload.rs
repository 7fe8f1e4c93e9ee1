//! Takes the ELF kernel out of a compressed boot image, so that a hypervisor can enter it directly. Pure.

use std::io::{BufReader, Read as _};

/// Offsets in the boot image, from the kernel's boot protocol.
const SETUP_SECTORS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: usize = 512;

const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
const XZ: [u8; 4] = [0xfd, b'7', b'z', b'X'];
const ELF: [u8; 4] = [0x7f, b'E', b'L', b'F'];
/// A legacy lz4 block holds at most this many bytes when decompressed.
const LZ4_BLOCK: usize = 8 << 20;

/// Why the image holds no kernel that we can take out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The image is not a boot image, or is cut short.
    #[error("not an x86 boot image")]
    NotABootImage,
    /// The payload is compressed in a way that we do not read.
    #[error("the kernel is compressed in an unknown way: it starts with {0:02x?}")]
    UnknownCompression([u8; 4]),
    /// The payload does not decompress.
    #[error("the compressed kernel is damaged: {0}")]
    Damaged(String),
    /// The payload is not an ELF file.
    #[error("the decompressed kernel is not an ELF file")]
    NotElf,
}

/// The ELF kernel in the boot image `image`.
pub(super) fn vmlinux(image: &[u8]) -> Result<Vec<u8>, PayloadError> {
    let payload = payload(image).ok_or(PayloadError::NotABootImage)?;
    let start: [u8; 4] = payload.first_chunk().copied().ok_or(PayloadError::NotABootImage)?;
    let kernel = match start {
        ZSTD => zstd(payload)?,
        LZ4_LEGACY => lz4_legacy(&payload[4..])?,
        XZ => xz(payload)?,
        ELF => payload.to_vec(),
        other => return Err(PayloadError::UnknownCompression(other)),
    };
    if kernel.starts_with(&ELF) { Ok(kernel) } else { Err(PayloadError::NotElf) }
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    if image.get(MAGIC..MAGIC + 4)? != b"HdrS" {
        return None;
    }
    let sectors = usize::from(*image.get(SETUP_SECTORS)?) + 1;
    let offset = sectors * SECTOR + word(image, PAYLOAD_OFFSET)?;
    image.get(offset..offset.checked_add(word(image, PAYLOAD_LENGTH)?)?)
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(four)).ok()
}

fn zstd(payload: &[u8]) -> Result<Vec<u8>, PayloadError> {
    let damaged = |error: &dyn std::fmt::Display| PayloadError::Damaged(error.to_string());
    // The kernel's length follows the frame; the decoder stops at the frame's end.
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(payload).map_err(|error| damaged(&error))?;
    let mut kernel = Vec::new();
    decoder.read_to_end(&mut kernel).map_err(|error| damaged(&error))?;
    Ok(kernel)
}

fn xz(payload: &[u8]) -> Result<Vec<u8>, PayloadError> {
    let mut kernel = Vec::new();
    lzma_rs::xz_decompress(&mut BufReader::new(payload), &mut kernel)
        .map_err(|error| PayloadError::Damaged(format!("{error:?}")))?;
    Ok(kernel)
}

fn lz4_legacy(mut blocks: &[u8]) -> Result<Vec<u8>, PayloadError> {
    let mut kernel = Vec::new();
    while let Some(length) = word(blocks, 0) {
        // The last word is the kernel's own length, which no block can have.
        let Some(block) = blocks.get(4..4 + length) else { break };
        let part =
            lz4_flex::block::decompress(block, LZ4_BLOCK).map_err(|error| PayloadError::Damaged(error.to_string()))?;
        kernel.extend_from_slice(&part);
        blocks = &blocks[4 + length..];
    }
    Ok(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 3 * SECTOR];
        image[SETUP_SECTORS] = 1;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&(512_u32).to_le_bytes());
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        image.extend_from_slice(payload);
        image.extend_from_slice(b"signature");
        image
    }

    fn kernel() -> Vec<u8> {
        let mut kernel = ELF.to_vec();
        kernel.extend((0..100_000_u32).flat_map(|number| (number / 7).to_le_bytes()));
        kernel
    }

    #[test]
    fn a_zstd_kernel_is_taken_out() {
        let mut payload =
            ruzstd::encoding::compress_to_vec(kernel().as_slice(), ruzstd::encoding::CompressionLevel::Fastest);
        payload.extend_from_slice(&400_004_u32.to_le_bytes());
        assert_eq!(vmlinux(&image(&payload)).unwrap(), kernel());
    }

    #[test]
    fn an_lz4_kernel_is_taken_out() {
        let mut payload = crate::lz4::legacy_frame(&kernel());
        payload.extend_from_slice(&400_004_u32.to_le_bytes());
        assert_eq!(vmlinux(&image(&payload)).unwrap(), kernel());
    }

    #[test]
    fn an_xz_kernel_is_taken_out() {
        let mut payload = Vec::new();
        lzma_rs::xz_compress(&mut kernel().as_slice(), &mut payload).unwrap();
        assert_eq!(vmlinux(&image(&payload)).unwrap(), kernel());
    }

    #[test]
    fn what_is_no_kernel_is_refused_by_name() {
        assert_eq!(vmlinux(b"MZ"), Err(PayloadError::NotABootImage));
        assert_eq!(vmlinux(&image(b"BZh9")), Err(PayloadError::UnknownCompression(*b"BZh9")));
        assert_eq!(vmlinux(&image(&crate::lz4::legacy_frame(b"text"))), Err(PayloadError::NotElf));
        assert!(matches!(vmlinux(&image(&ZSTD)), Err(PayloadError::Damaged(_))));
    }

    #[test]
    fn a_cut_image_is_refused() {
        let mut cut = image(&kernel());
        cut.truncate(5 * SECTOR);
        assert_eq!(vmlinux(&cut), Err(PayloadError::NotABootImage));
    }
}
