//! The layout of KVM's binary statistics. Documented: Linux, virt/kvm/api.rst, 4.133.
//!
//! ```text
//! header | id string | descriptors, each followed by its name | data: u64 values
//! ```

use std::mem::{offset_of, size_of};

use kvm_bindings::{kvm_stats_desc, kvm_stats_header};

/// One statistic's place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its name, `exits`.
    pub name: String,
    /// Where its values begin, in bytes from the start of the file.
    pub offset: u64,
    /// How many `u64` values it has: more than one for histograms.
    pub count: u16,
}

/// Statistics that are not laid out as documented.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The file ends too early.
    #[error(
        "the KVM statistics end at byte {length}, {part} would need {needed}; please report the \
         kernel's version"
    )]
    Short {
        /// What was to be read.
        part: &'static str,
        /// Where it would end.
        needed: u64,
        /// Where the file ends.
        length: usize,
    },
    /// A name that is no text.
    #[error("name {index} of the KVM statistics is no text; please report the kernel's version")]
    Name {
        /// The descriptor's number.
        index: u32,
    },
}

/// Finds every statistic in the bytes of a statistics file.
///
/// # Errors
/// Where a part reaches beyond the end, or a name is no UTF-8. Nothing is believed: `blob` may be
/// anything.
pub fn parse_statistics(blob: &[u8]) -> Result<Vec<Descriptor>, FormatError> {
    let header = Reader { blob, base: 0, part: "the header" };
    let name_size = header.u32(offset_of!(kvm_stats_header, name_size))?;
    let count = header.u32(offset_of!(kvm_stats_header, num_desc))?;
    let descriptors = header.u32(offset_of!(kvm_stats_header, desc_offset))?;
    let data = header.u32(offset_of!(kvm_stats_header, data_offset))?;

    let stride = size_of::<kvm_stats_desc>() as u64 + u64::from(name_size);
    // Not reserved ahead: the count is the file's word only.
    let mut found = Vec::new();
    for index in 0..count {
        let base = u64::from(descriptors) + u64::from(index) * stride;
        let reader = Reader { blob, base, part: "a descriptor" };
        let values = reader.u16(offset_of!(kvm_stats_desc, size))?;
        let offset = u64::from(data) + u64::from(reader.u32(offset_of!(kvm_stats_desc, offset))?);
        let name = reader.bytes(size_of::<kvm_stats_desc>(), u64::from(name_size))?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = str::from_utf8(name).map_err(|_| FormatError::Name { index })?;
        Reader { blob, base: offset, part: "a value" }.bytes(0, 8 * u64::from(values))?;
        found.push(Descriptor { name: name.to_owned(), offset, count: values });
    }
    Ok(found)
}

/// Reads fields of a structure that begins at `base`.
struct Reader<'a> {
    blob: &'a [u8],
    base: u64,
    part: &'static str,
}

impl<'a> Reader<'a> {
    fn bytes(&self, offset: usize, length: u64) -> Result<&'a [u8], FormatError> {
        // No sum here overflows: every term comes from at most 32 bits times 32 bits.
        let start = self.base + offset as u64;
        let needed = start + length;
        usize::try_from(start)
            .ok()
            .zip(usize::try_from(needed).ok())
            .and_then(|(start, end)| self.blob.get(start..end))
            .ok_or(FormatError::Short { part: self.part, needed, length: self.blob.len() })
    }

    fn u32(&self, offset: usize) -> Result<u32, FormatError> {
        let bytes = self.bytes(offset, 4)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
    }

    fn u16(&self, offset: usize) -> Result<u16, FormatError> {
        let bytes = self.bytes(offset, 2)?;
        Ok(u16::from_le_bytes(bytes.try_into().expect("two bytes")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const ID: &[u8] = b"kvm-1/vcpu-0\0\0\0\0";

    /// Writes a file as the kernel does; returns it with the values' places.
    fn blob(statistics: &[(String, u16)], name_size: u32, gap: usize) -> (Vec<u8>, Vec<u64>) {
        let header = size_of::<kvm_stats_header>();
        let stride = size_of::<kvm_stats_desc>() + name_size as usize;
        let descriptors = header + ID.len() + gap;
        let data = descriptors + statistics.len() * stride + gap;
        let mut bytes = Vec::new();
        for field in [0, name_size as usize, statistics.len(), header, descriptors, data] {
            bytes.extend(u32::try_from(field).expect("small").to_le_bytes());
        }
        bytes.extend(ID);
        bytes.resize(descriptors, 0xee);
        let (mut at, mut places) = (0u32, Vec::new());
        for (name, count) in statistics {
            bytes.extend([0; 4]); // flags
            bytes.extend([0; 2]); // exponent
            bytes.extend(count.to_le_bytes());
            bytes.extend(at.to_le_bytes());
            bytes.extend([0; 4]); // bucket_size
            let mut padded = name.clone().into_bytes();
            padded.resize(name_size as usize, 0);
            bytes.extend(padded);
            places.push(data as u64 + u64::from(at));
            at += 8 * u32::from(*count);
        }
        bytes.resize(data + at as usize, 0);
        (bytes, places)
    }

    fn statistics() -> impl Strategy<Value = Vec<(String, u16)>> {
        vec(("[a-z_]{1,40}", 1u16..40), 0..30)
    }

    proptest! {
        #[test]
        fn what_was_written_is_found(given in statistics(), gap in 0usize..64) {
            let (bytes, places) = blob(&given, 48, gap);
            let found = parse_statistics(&bytes).expect("well-formed");
            prop_assert_eq!(found.len(), given.len());
            for ((descriptor, (name, count)), place) in found.iter().zip(&given).zip(places) {
                prop_assert_eq!(
                    (&descriptor.name, descriptor.count, descriptor.offset), (name, *count, place)
                );
            }
        }

        #[test]
        fn a_cut_file_is_an_error(given in statistics(), cut in 1usize..200) {
            prop_assume!(!given.is_empty());
            let (bytes, _) = blob(&given, 48, 0);
            let kept = bytes.len().saturating_sub(cut);
            let short = matches!(parse_statistics(&bytes[..kept]), Err(FormatError::Short { .. }));
            prop_assert!(short);
        }

        #[test]
        fn damaged_files_never_lead_outside(
            given in statistics(),
            damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        ) {
            let (mut bytes, _) = blob(&given, 48, 0);
            for (index, byte) in damage {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            for descriptor in parse_statistics(&bytes).unwrap_or_default() {
                let end = descriptor.offset + 8 * u64::from(descriptor.count);
                prop_assert!(end <= bytes.len() as u64);
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..300)) {
            let _ = parse_statistics(&bytes);
        }
    }

    #[test]
    fn a_huge_count_does_not_reserve_memory() {
        let (mut bytes, _) = blob(&[("exits".to_owned(), 1)], 48, 0);
        bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(parse_statistics(&bytes), Err(FormatError::Short { .. })));
    }
}
