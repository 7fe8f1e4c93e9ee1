//! DNS over a stream: each message comes after its length (RFC 1035, section 4.2.2).

/// What came of a stream and is no whole message yet.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    held: Vec<u8>,
}

const LENGTH: usize = 2;

impl Frames {
    /// Takes the next bytes. The caller takes out all messages before it pushes more, so at most one message is
    /// held beside what was pushed.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next whole message.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(u16::from_be_bytes([*self.held.first()?, *self.held.get(1)?]));
        let message = self.held.get(LENGTH..LENGTH + length)?.to_vec();
        self.held.drain(..LENGTH + length);
        Some(message)
    }
}

/// A message with its length before it. One that is too long for that is left out: there is none.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    match u16::try_from(message.len()) {
        Ok(length) => [&length.to_be_bytes()[..], message].concat(),
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_come_out_whole_however_the_stream_is_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            cut in 1_usize..50,
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
            let mut frames = Frames::default();
            let mut out = Vec::new();
            for piece in stream.chunks(cut) {
                frames.push(piece);
                out.extend(std::iter::from_fn(|| frames.take()));
            }
            prop_assert_eq!(out, messages);
        }
    }
}
