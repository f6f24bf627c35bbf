//! Compressed streams, told apart by their first bytes and not by their names.

use std::io::{self, BufRead, BufReader, Read};

use flate2::read::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder as Lz4Decoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder as ZstdDecoder;

/// The compressions in which kernels, modules, packages and package indexes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Xz,
    Zstd,
    Lz4,
    /// The format that Linux's build uses for its image: no end mark, blocks of 8 MiB.
    Lz4Legacy,
}

/// RFC 1952 2.3.1; xz format 2.1.1.1; RFC 8878 3.1.1; LZ4 frame format, and its legacy section.
const MAGICS: [(&[u8], Compression); 5] = [
    (&[0x1f, 0x8b], Compression::Gzip),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], Compression::Xz),
    (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
    (&[0x04, 0x22, 0x4d, 0x18], Compression::Lz4),
    (&[0x02, 0x21, 0x4c, 0x18], Compression::Lz4Legacy),
];

impl Compression {
    /// What these first bytes begin, if it is compressed at all.
    pub(crate) fn of(start: &[u8]) -> Option<Self> {
        MAGICS.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, kind)| *kind)
    }

    /// The uncompressed content of `inner`, which holds one stream.
    pub(crate) fn reader<'a>(self, inner: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(inner)),
            Self::Xz => Box::new(XzReader::new(inner, false)),
            Self::Zstd => Box::new(ZstdDecoder::new(inner).map_err(io::Error::other)?),
            Self::Lz4 | Self::Lz4Legacy => Box::new(Lz4Decoder::new(inner)),
        })
    }
}

/// The content of `inner`, uncompressed if it is compressed.
pub(crate) fn reader<'a>(inner: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut inner = BufReader::with_capacity(1 << 16, inner);
    match Compression::of(inner.fill_buf()?) {
        Some(kind) => kind.reader(inner),
        None => Ok(Box::new(inner)),
    }
}

/// `data`, uncompressed if it is compressed.
pub(crate) fn unpack(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    reader(data)?.read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
pub(crate) mod samples {
    //! Compressed data for tests, made by the same libraries' other halves.

    use super::Compression;
    use std::io::Write;

    pub(crate) fn compress(kind: Compression, data: &[u8]) -> Vec<u8> {
        match kind {
            Compression::Gzip => {
                let mut writer =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                writer.write_all(data).unwrap();
                writer.finish().unwrap()
            }
            Compression::Xz => {
                // As the kernel's build does it: the x86 filter before LZMA2, CRC32 (scripts/xz_wrap.sh).
                let mut options = lzma_rust2::XzOptions::with_preset(1);
                options.set_check_sum_type(lzma_rust2::CheckType::Crc32);
                options.prepend_pre_filter(lzma_rust2::FilterType::BcjX86, 0);
                let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
                writer.write_all(data).unwrap();
                writer.finish().unwrap()
            }
            Compression::Zstd => {
                ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
            }
            Compression::Lz4 => {
                let mut writer = lz4_flex::frame::FrameEncoder::new(Vec::new());
                writer.write_all(data).unwrap();
                writer.finish().unwrap()
            }
            Compression::Lz4Legacy => {
                let mut packed = vec![0x02, 0x21, 0x4c, 0x18];
                for block in data.chunks(8 << 20) {
                    let block = lz4_flex::block::compress(block);
                    packed.extend((block.len() as u32).to_le_bytes());
                    packed.extend(block);
                }
                packed
            }
        }
    }

    pub(crate) const ALL: [Compression; 5] = [
        Compression::Gzip,
        Compression::Xz,
        Compression::Zstd,
        Compression::Lz4,
        Compression::Lz4Legacy,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_kind_gives_its_content_back() {
        // More than one 8 MiB block of the legacy format.
        let data: Vec<u8> =
            (0..9_000_000_u32).flat_map(|n| (n / 7).to_le_bytes()[..1].to_vec()).collect();
        for kind in samples::ALL {
            let packed = samples::compress(kind, &data);
            assert_eq!(Compression::of(&packed), Some(kind));
            assert!(unpack(&packed).unwrap() == data, "{kind:?}");
        }
        assert_eq!(unpack(b"plain").unwrap(), b"plain");
    }

    proptest! {
        #[test]
        fn a_cut_stream_is_an_error(data in prop::collection::vec(any::<u8>(), 100..5000), percent in 10..90_usize) {
            // The legacy LZ4 format has no end mark: its length is the image header's business.
            for kind in [Compression::Gzip, Compression::Xz, Compression::Zstd, Compression::Lz4] {
                let packed = samples::compress(kind, &data);
                let end = packed.len() * percent / 100;
                prop_assert!(unpack(&packed[..end]).is_err(), "{:?} cut at {}", kind, end);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(which in 0..5_usize, data in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = unpack(&[MAGICS[which].0, &data].concat());
        }
    }
}
