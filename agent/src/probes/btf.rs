//! Offsets of kernel fields, out of `/sys/kernel/btf/vmlinux`.

use std::path::Path;

use btf_rs::{Btf, Type};
use remora_abi::offsets::{MISSING, Offsets};

use super::ProbeError;
use super::tier::{FUNCTIONS, INSTEAD};

/// Where the kernel tells its types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// What the kernel's types say.
#[derive(Debug)]
pub struct KernelTypes {
    /// Offsets for the programs.
    pub offsets: Offsets,
    /// Fields that this kernel does not have, as `structure.field`.
    pub missing: Vec<String>,
    /// How it writes down what an `iov_iter` is about.
    pub iterator: IteratorTypes,
    /// How many arguments the functions of [`FUNCTIONS`] and [`INSTEAD`] take; those that it has not got are left out.
    pub functions: Vec<(&'static str, usize)>,
}

/// Values of `enum iter_type` (include/linux/uio.h), which differ between versions; [`MISSING`] for one that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IteratorTypes {
    /// `ITER_IOVEC`
    pub vector: u32,
    /// `ITER_UBUF`
    pub buffer: u32,
    /// The bits of the iterator's type that hold them.
    pub mask: u32,
}

/// Resolves all fields of [`Offsets`]. A field that is not there is [`MISSING`]; what needs it then does not load.
///
/// # Errors
/// [`ProbeError::NoBtf`] if the file is not there or cannot be parsed.
pub fn resolve(path: &Path) -> Result<KernelTypes, ProbeError> {
    let bytes = std::fs::read(path)
        .map_err(|source| ProbeError::NoBtf { path: path.into(), reason: source.to_string() })?;
    let btf = Btf::from_bytes(&bytes)
        .map_err(|source| ProbeError::NoBtf { path: path.into(), reason: source.to_string() })?;
    let mut missing = Vec::new();
    let mut values = Vec::with_capacity(Offsets::FIELDS.len());
    for (structure, field) in Offsets::FIELDS {
        let found = find_struct(&btf, structure);
        let bits = found.and_then(|id| field.split('|').find_map(|name| path_offset(&btf, id, name)));
        // Bit fields have no byte offset; none of ours is one on the kernels that we know.
        match bits.filter(|bits| bits % 8 == 0) {
            Some(bits) => values.push(bits / 8),
            None => {
                missing.push(format!("{structure}.{field}"));
                values.push(MISSING);
            }
        }
    }
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
    let offsets = remora_abi::Plain::read(&raw).unwrap_or(Offsets::NONE);
    let names =
        FUNCTIONS.iter().map(|(name, _)| *name).chain(INSTEAD.iter().map(|instead| instead.function()));
    let functions = names.filter_map(|name| Some((name, parameters(&btf, name)?))).collect();
    Ok(KernelTypes { offsets, missing, iterator: iterator_types(&btf), functions })
}

/// The number of a function's parameters.
fn parameters(btf: &Btf, name: &str) -> Option<usize> {
    btf.resolve_ids_by_name(name).ok()?.into_iter().find_map(|id| {
        let Type::Func(function) = btf.resolve_type_by_id(id).ok()? else { return None };
        let prototype = btf_rs::BtfType::get_type_id(&function)?;
        let Type::FuncProto(prototype) = btf.resolve_type_by_id(prototype).ok()? else { return None };
        Some(prototype.parameters.len())
    })
}

fn iterator_types(btf: &Btf) -> IteratorTypes {
    let value = |name: &str| {
        let ids = btf.resolve_ids_by_name("iter_type").ok()?;
        ids.into_iter().find_map(|id| {
            let Type::Enum(values) = btf.resolve_type_by_id(id).ok()? else { return None };
            values
                .members
                .iter()
                .find(|member| btf.resolve_name(*member).is_ok_and(|found| found == name))
                .map(|member| member.val())
        })
    };
    // Before Linux 5.14 the field is called `type`, and its two lowest bits say which way the bytes go and whose pages they are.
    let old = find_struct(btf, "iov_iter").is_some_and(|id| path_offset(btf, id, "type").is_some());
    IteratorTypes {
        vector: value("ITER_IOVEC").unwrap_or(MISSING),
        buffer: value("ITER_UBUF").unwrap_or(MISSING),
        mask: if old { !3 } else { u32::MAX },
    }
}

/// Id of the structure with that name.
fn find_struct(btf: &Btf, name: &str) -> Option<u32> {
    btf.resolve_ids_by_name(name).ok()?.into_iter().find_map(|id| match btf.resolve_type_by_id(id).ok()? {
        Type::Struct(_) => Some(id),
        _ => None,
    })
}

/// Offset in bits of `a.b.c` in the structure with that id.
fn path_offset(btf: &Btf, id: u32, path: &str) -> Option<u32> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let (bits, member_type) = member_offset(btf, id, first)?;
    match rest {
        None => Some(bits),
        Some(rest) => Some(bits + path_offset(btf, member_type, rest)?),
    }
}

/// Offset in bits and type of a member, looked for in anonymous members too.
fn member_offset(btf: &Btf, id: u32, name: &str) -> Option<(u32, u32)> {
    let (Type::Struct(structure) | Type::Union(structure)) = strip(btf, id)? else { return None };
    for member in &structure.members {
        let member_name = btf.resolve_name(member).unwrap_or_default();
        let type_id = btf_rs::BtfType::get_type_id(member)?;
        if member_name == name {
            return Some((member.bit_offset(), type_id));
        }
        if member_name.is_empty()
            && let Some((bits, found)) = member_offset(btf, type_id, name)
        {
            return Some((member.bit_offset() + bits, found));
        }
    }
    None
}

/// The type behind typedefs and qualifiers.
fn strip(btf: &Btf, mut id: u32) -> Option<Type> {
    for _ in 0..16 {
        let found = btf.resolve_type_by_id(id).ok()?;
        match &found {
            Type::Typedef(inner) => id = btf_rs::BtfType::get_type_id(inner)?,
            Type::Const(inner) => id = btf_rs::BtfType::get_type_id(inner)?,
            Type::Volatile(inner) => id = btf_rs::BtfType::get_type_id(inner)?,
            Type::TypeTag(inner) => id = btf_rs::BtfType::get_type_id(inner)?,
            _ => return Some(found),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets that are part of the kernel's user-visible layout on x86-64 and arm64, and so known beforehand.
    #[test]
    fn resolves_this_kernel() {
        let path = Path::new(VMLINUX);
        if !path.exists() {
            eprintln!("skipped: this kernel has no BTF");
            return;
        }
        let types = resolve(path).unwrap();
        assert_eq!(types.missing, Vec::<String>::new());
        assert_eq!(types.offsets.sock_remote4, 0);
        assert_eq!(types.offsets.sock_local4, 4);
        assert_eq!(types.offsets.sock_family, 16);
        assert_eq!(types.offsets.sock_state, 18);
    }

    #[test]
    fn says_what_is_missing() {
        let error = resolve(Path::new("/nonexistent/vmlinux")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/vmlinux"), "{error}");
        assert!(error.contains("CONFIG_DEBUG_INFO_BTF"), "{error}");
    }
}
