//! Where a function returns: the places of its RET instructions.
//!
//! x86-64 is decoded from the first instruction on; Go's compiler puts no data between instructions. AArch64's
//! instructions all have 4 bytes, so looking at each word is enough.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction};

use crate::Machine;

/// Functions longer than this are not looked at, bytes.
pub(crate) const MAX_CODE: u64 = 1 << 20;
/// The longest instruction of x86-64, bytes.
const LONGEST: usize = 15;

/// Where a function returns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Returns {
    /// Places of RET instructions, bytes from the start of the function.
    pub places: Vec<u64>,
    /// It can also leave by a jump to another function, which returns in its stead.
    pub leaves_by_jump: bool,
}

/// The returns of a function whose code stands at `address`; otherwise why they cannot be told.
pub(crate) fn find(machine: Machine, code: &[u8], address: u64) -> Result<Returns, &'static str> {
    match machine {
        Machine::X86_64 => x86_64(code, address),
        Machine::Aarch64 => Ok(aarch64(code)),
        _ => Err("no decoder for this machine"),
    }
}

fn x86_64(code: &[u8], address: u64) -> Result<Returns, &'static str> {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    let mut returns = Returns::default();
    let end = address.wrapping_add(code.len() as u64);
    while decoder.can_decode() {
        let at = decoder.position();
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            // What fills up to the next function need not be whole instructions.
            let rest = &code[at..];
            if rest.len() < LONGEST && rest.iter().all(|&b| matches!(b, 0 | 0xcc | 0x90)) {
                break;
            }
            return Err("an instruction that cannot be decoded");
        }
        match instruction.flow_control() {
            FlowControl::Return => returns.places.push(at as u64),
            FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
                let target = instruction.near_branch_target();
                returns.leaves_by_jump |= target < address || target >= end;
            }
            _ => {}
        }
    }
    Ok(returns)
}

fn aarch64(code: &[u8]) -> Returns {
    /// `RET Xn` (Arm ARM, C6.2): the register stands in bits 5 to 9.
    const RET: u32 = 0xd65f_0000;
    const REGISTER: u32 = 0x1f << 5;
    /// `B label`: a signed number of words in the lower 26 bits.
    const B: u32 = 0b000101 << 26;
    let mut returns = Returns::default();
    let (words, _) = code.as_chunks::<4>();
    for (index, word) in (0_i64..).zip(words) {
        let word = u32::from_le_bytes(*word);
        if word & !REGISTER == RET {
            returns.places.push(4 * index as u64);
        } else if word & (0x3f << 26) == B {
            let distance = i64::from((word << 6) as i32 >> 6);
            returns.leaves_by_jump |= !(0..words.len() as i64).contains(&(index + distance));
        }
    }
    returns
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn returns_of_x86_are_told_from_bytes_that_look_like_them() {
        let code = [
            0x48, 0xc7, 0xc0, 0xc3, 0xc3, 0xc3, 0x00, // mov rax, 0xc3c3c3
            0x74, 0x01, // je +1
            0xc3, // ret
            0xc2, 0x08, 0x00, // ret 8
            0xeb, 0xf1, // jmp to the start
            0xcc, 0xcc,
        ];
        let returns = x86_64(&code, 0x1000).unwrap();
        assert_eq!(returns, Returns { places: vec![9, 10], leaves_by_jump: false });
        let leaving = [0xe9, 0xfb, 0xff, 0x00, 0x00];
        assert!(x86_64(&leaving, 0x1000).unwrap().leaves_by_jump);
        assert!(x86_64(&[0x06, 0xc3], 0).is_err(), "push es is not of 64 bits");
        assert_eq!(x86_64(&[0xc3, 0, 0, 0], 0).unwrap().places, [0], "filled up with half an instruction");
    }

    #[test]
    fn returns_of_aarch64() {
        let words: [u32; 5] = [
            0xf94003fe, // ldr x30, [sp]
            0xd65f03c0, // ret
            0xd65f0360, // ret x27
            0x17fffffd, // b to the start
            0xd63f0360, // blr x27
        ];
        let code: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        assert_eq!(aarch64(&code), Returns { places: vec![4, 8], leaves_by_jump: false });
        let leaving = 0x17ffffff_u32.to_le_bytes();
        assert!(aarch64(&leaving).leaves_by_jump);
        assert!(aarch64(&0x14000001_u32.to_le_bytes()).leaves_by_jump);
    }

    proptest! {
        #[test]
        fn any_code(code in vec(any::<u8>(), 0..400), address in any::<u64>()) {
            for machine in [Machine::X86_64, Machine::Aarch64, Machine::Arm] {
                if let Ok(returns) = find(machine, &code, address) {
                    prop_assert!(returns.places.iter().all(|&at| at < code.len() as u64));
                    prop_assert!(returns.places.is_sorted());
                }
            }
        }
    }
}
