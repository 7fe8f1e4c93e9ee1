//! The lz4 form that the kernel unpacks at boot: the legacy frame. Pure.

const MAGIC: u32 = 0x184c_2102;
const BLOCK: usize = 8 << 20;

/// `bytes` as a legacy lz4 frame.
pub(crate) fn legacy_frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = MAGIC.to_le_bytes().to_vec();
    for block in bytes.chunks(BLOCK) {
        let packed = lz4_flex::block::compress(block);
        let length = u32::try_from(packed.len()).expect("a packed block is at most a little over 8 MiB");
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(&packed);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
        #[test]
        fn what_went_in_comes_out(bytes in proptest::collection::vec(0_u8..4, 1..5000)) {
            let frame = legacy_frame(&bytes);
            let length = usize::try_from(u32::from_le_bytes(frame[4..8].try_into().unwrap())).unwrap();
            assert_eq!(length + 8, frame.len());
            assert_eq!(lz4_flex::block::decompress(&frame[8..], BLOCK).unwrap(), bytes);
        }
    }
}
