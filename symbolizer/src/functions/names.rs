//! Names that are looked for in a table of strings, each ended by a zero byte (`.strtab`, `.dynstr`, Go's table of
//! functions' names).

use std::{collections::HashMap, ops::ControlFlow};

use crate::source::{Source, Window};

/// Places of one name in a table that are noted; linkers write a name once.
const MAX_PLACES: usize = 4096;

/// A set of names.
pub(crate) struct Names<'n> {
    names: &'n [&'n str],
    /// By its last byte, the names that end so.
    by_last: [Vec<u16>; 256],
    longest: usize,
}

/// Where the names stand: from an offset in the table to the index of the name. Linkers let a name begin within a
/// longer one, so an offset may point into the middle of a string: only what refers to it makes it a name.
pub(crate) type Places = HashMap<u64, u16>;

impl<'n> Names<'n> {
    /// At most 65,536 names, none empty.
    pub(crate) fn new(names: &'n [&'n str]) -> Self {
        let mut by_last = [const { Vec::new() }; 256];
        for (index, name) in (0..=u16::MAX).zip(names) {
            if let Some(&last) = name.as_bytes().last() {
                by_last[usize::from(last)].push(index);
            }
        }
        Names { names, by_last, longest: names.iter().map(|name| name.len()).max().unwrap_or(0) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The length of a name, bytes.
    pub(crate) fn len_of(&self, index: u16) -> u64 {
        self.names.get(usize::from(index)).map_or(0, |name| name.len() as u64)
    }

    /// Goes once through the table that stands at `start`.
    pub(crate) fn find(&self, source: &Source<'_>, start: u64, size: u64) -> Places {
        let mut places = Places::new();
        let mut window = Window::new(source);
        // The last bytes of a part are looked at again with the next.
        let overlap = self.longest + 1;
        let step = Window::SIZE.max(2 * overlap);
        let mut at = 0;
        while at < size {
            let want = step.min(usize::try_from(size - at).unwrap_or(step));
            let Some(from) = start.checked_add(at) else { break };
            let bytes = window.up_to(from, want);
            if self.find_in(bytes, at, &mut places).is_break() || bytes.len() < want || want < step {
                break;
            }
            at += (step - overlap) as u64;
        }
        places
    }

    fn find_in(&self, bytes: &[u8], base: u64, places: &mut Places) -> ControlFlow<()> {
        for end in memchr::memchr_iter(0, bytes) {
            let before = &bytes[..end];
            let Some(&last) = before.last() else { continue };
            for &index in &self.by_last[usize::from(last)] {
                let name = self.names[usize::from(index)].as_bytes();
                if before.ends_with(name) {
                    places.insert(base + (end - name.len()) as u64, index);
                    if places.len() >= MAX_PLACES {
                        return ControlFlow::Break(());
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn places(names: &[&str], table: &[u8]) -> Vec<(u64, u16)> {
        let source = Source::bytes(table);
        let mut places: Vec<_> = Names::new(names).find(&source, 0, table.len() as u64).into_iter().collect();
        places.sort_unstable();
        places
    }

    #[test]
    fn names_are_found_whole_and_as_the_end_of_others() {
        let table = b"\0SSL_read\0SSL_reader\0xSSL_read\0SSL_write";
        assert_eq!(places(&["SSL_read", "SSL_write"], table), [(1, 0), (22, 0)], "the last is not ended");
        assert_eq!(places(&["d"], b"d\0dd\0"), [(0, 0), (3, 0)]);
        assert_eq!(places(&[], table), []);
    }

    #[test]
    fn a_name_across_the_border_of_two_windows_is_found_once() {
        for shift in 0..24 {
            let mut table = vec![b'x'; Window::SIZE - 12 + shift];
            table.push(0);
            table.extend(b"crypto/tls\0");
            table.resize(2 * Window::SIZE, b'y');
            assert_eq!(places(&["crypto/tls"], &table), [((Window::SIZE - 11 + shift) as u64, 0)]);
        }
    }

    proptest! {
        #[test]
        fn the_same_as_looking_everywhere(table in vec(prop_oneof![Just(0_u8), Just(b'a'), Just(b'b')], 0..200)) {
            let names = ["a", "ab", "bab", "bb"];
            let mut expected = Vec::new();
            for at in 0..table.len() {
                for (index, name) in (0..).zip(names) {
                    if table[at..].starts_with(name.as_bytes()) && table.get(at + name.len()) == Some(&0) {
                        expected.push((at as u64, index));
                    }
                }
            }
            prop_assert_eq!(places(&names, &table), expected);
        }
    }
}
