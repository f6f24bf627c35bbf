//! Machine code as people read it.

use std::fmt::Write;

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};

/// Decodes `code`, loaded at `address`, into its instructions.
pub(crate) fn decode(code: &[u8], address: u64) -> impl Iterator<Item = Instruction> + '_ {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    std::iter::from_fn(move || decoder.can_decode().then(|| decoder.decode()))
}

/// One line per instruction: address, bytes, Intel syntax. `mark` is called with each address and
/// may put a heading above the instruction.
pub(crate) fn render(
    code: &[u8],
    address: u64,
    mark: impl Fn(u64) -> Option<&'static str>,
) -> String {
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_space_after_operand_separator(true);
    formatter.options_mut().set_hex_prefix("0x");
    formatter.options_mut().set_hex_suffix("");
    formatter.options_mut().set_uppercase_hex(false);
    formatter.options_mut().set_branch_leading_zeros(false);
    let mut text = String::new();
    // Writing to a String cannot fail.
    for instruction in decode(code, address) {
        if let Some(heading) = mark(instruction.ip()) {
            let _ = writeln!(text, "\n{heading}:");
        }
        let start = usize::try_from(instruction.ip() - address).expect("within the code");
        let bytes =
            code[start..start + instruction.len()].iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
        let mut operation = String::new();
        formatter.format(&instruction, &mut operation);
        let _ = writeln!(text, "{:#010x}  {bytes:<20}  {operation}", instruction.ip());
    }
    text
}
