//! What holds for every stream.

use super::{Decoder, Encoder, FrameError, HEADER_BYTES, Kind, MAGIC, encode};
use proptest::{collection::vec, prelude::*};

fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 0..200), 1..8)
}

/// Bytes between frames: anything, often with the magic or a piece of it inside.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        vec(any::<u8>(), 0..40),
        (0..=MAGIC.len()).prop_map(|length| MAGIC[..length].to_vec()),
    ];
    vec(pieces, 0..4).prop_map(|pieces| pieces.concat())
}

/// Feeds `stream` in pieces of the given sizes (used in turn) and takes everything that comes out.
fn decode(stream: &[u8], sizes: &[usize]) -> (Vec<Vec<u8>>, Vec<FrameError>, u64) {
    let mut decoder = Decoder::default();
    let (mut frames, mut errors) = (Vec::new(), Vec::new());
    let mut take = |decoder: &mut Decoder| {
        for item in decoder.by_ref() {
            match item {
                Ok(frame) => frames.push(frame.payload),
                Err(error) => errors.push(error),
            }
        }
    };
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        decoder.push(piece);
        take(&mut decoder);
        rest = after;
    }
    decoder.end();
    take(&mut decoder);
    (frames, errors, decoder.garbage())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_frames(payloads in payloads(), sizes in vec(1..64_usize, 1..9)) {
        let mut encoder = Encoder::default();
        let stream: Vec<u8> =
            payloads.iter().flat_map(|payload| encoder.encode(Kind::Data, payload)).collect();
        prop_assert_eq!(decode(&stream, &sizes), (payloads, vec![], 0));
    }

    #[test]
    fn garbage_between_frames_is_skipped_and_counted(
        messages in vec((vec(any::<u8>(), 0..100), garbage()), 1..6),
        tail in garbage(),
        sizes in vec(1..64_usize, 1..9),
    ) {
        let mut encoder = Encoder::default();
        let (mut stream, mut noise) = (Vec::new(), tail.len() as u64);
        for (payload, garbage) in &messages {
            noise += garbage.len() as u64;
            stream.extend(garbage);
            stream.extend(encoder.encode(Kind::Data, payload));
        }
        stream.extend(&tail);
        let payloads = messages.into_iter().map(|(payload, _)| payload).collect();
        prop_assert_eq!(decode(&stream, &sizes), (payloads, vec![], noise));
    }

    #[test]
    fn one_changed_byte_costs_that_frame_and_no_other(
        payloads in vec(vec(any::<u8>(), 0..100), 3..6),
        at in any::<prop::sample::Index>(),
        change in 1..=255_u8,
    ) {
        let mut encoder = Encoder::default();
        let mut frames: Vec<Vec<u8>> =
            payloads.iter().map(|payload| encoder.encode(Kind::Data, payload)).collect();
        let at = at.index(frames[1].len());
        frames[1][at] ^= change;
        let (received, errors, _) = decode(&frames.concat(), &[17]);
        let expected = if at < HEADER_BYTES {
            FrameError::Lost { expected: 1, found: 2 }
        } else {
            FrameError::Corrupt { sequence: 1 }
        };
        let others: Vec<_> =
            payloads.iter().enumerate().filter(|(i, _)| *i != 1).map(|(_, p)| p.clone()).collect();
        prop_assert_eq!((received, errors), (others, vec![expected]));
    }

    #[test]
    fn a_cut_stream_says_so(payload in vec(any::<u8>(), 1..100), at in any::<prop::sample::Index>()) {
        let frame = encode(0, Kind::Data, &payload);
        let body = at.index(payload.len());
        let (frames, errors, _) = decode(&frame[..HEADER_BYTES + body], &[5]);
        let missing = payload.len() - body;
        prop_assert!(frames.is_empty());
        prop_assert_eq!(errors, vec![FrameError::Truncated { sequence: 0, missing }]);
    }
}

#[test]
fn a_lost_frame_is_reported_before_the_next_one() {
    let stream = [encode(0, Kind::Data, b"a"), encode(2, Kind::End, b"")].concat();
    let mut decoder = Decoder::default();
    decoder.push(&stream);
    assert_eq!(decoder.next().unwrap().unwrap().payload, b"a");
    assert_eq!(decoder.next(), Some(Err(FrameError::Lost { expected: 1, found: 2 })));
    assert_eq!(decoder.next().unwrap().unwrap().kind, Kind::End);
    assert_eq!(decoder.next(), None);
}
