//! The notations of section 3, read from a body that may have been cut.

/// What is left of a body. Everything gives `None` where the bytes end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(..length)?;
        self.bytes = &self.bytes[length..];
        Some(taken)
    }

    /// `[byte]`
    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// `[short]`
    pub fn short(&mut self) -> Option<u16> {
        self.take(2).and_then(|bytes| bytes.first_chunk()).map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// `[int]`
    pub fn int(&mut self) -> Option<i32> {
        self.take(4).and_then(|bytes| bytes.first_chunk()).map(|bytes| i32::from_be_bytes(*bytes))
    }

    /// `[string]` and `[short bytes]`
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.short()?;
        self.take(usize::from(length))
    }

    /// `[long string]`: what was captured of it, and whether it was cut.
    pub fn long_string(&mut self) -> Option<(&'a [u8], bool)> {
        let length = usize::try_from(self.int()?).ok()?;
        if let Some(all) = self.take(length) {
            return Some((all, false));
        }
        Some((std::mem::take(&mut self.bytes), true))
    }

    /// `[bytes]` or `[value]`
    pub fn skip_value(&mut self) -> Option<()> {
        match usize::try_from(self.int()?) {
            Ok(length) => self.take(length).map(|_| ()),
            // Null, or not set.
            Err(_) => Some(()),
        }
    }

    /// `[bytes map]`
    pub fn skip_bytes_map(&mut self) -> Option<()> {
        for _ in 0..self.short()? {
            self.string()?;
            self.skip_value()?;
        }
        Some(())
    }

    /// `[string list]`
    pub fn skip_string_list(&mut self) -> Option<()> {
        for _ in 0..self.short()? {
            self.string()?;
        }
        Some(())
    }
}
