//! The value of `OTEL_RESOURCE_ATTRIBUTES`.

/// Why such a value could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A member without `=`.
    #[error("{0:?} is not of the form key=value")]
    NoValue(String),
    /// A member without a key.
    #[error("{0:?} has no key before its =")]
    NoKey(String),
    /// `%` without two hexadecimal digits, or bytes that are not UTF-8 once decoded.
    #[error("{0:?} is not percent-encoded UTF-8")]
    Encoding(String),
}

/// Reads `key1=value1,key2=value2`: keys and values percent-decoded, blanks around them dropped. Of a key that occurs
/// twice the last value counts.
///
/// # Errors
/// The first [`ParseError`]; the specification asks to discard the whole value then.
pub fn resource_attributes(value: &str) -> Result<Vec<(String, String)>, ParseError> {
    let mut attributes: Vec<(String, String)> = Vec::new();
    for member in value.split(',').map(str::trim).filter(|member| !member.is_empty()) {
        let Some((key, value)) = member.split_once('=') else {
            return Err(ParseError::NoValue(member.to_owned()));
        };
        let key = decode(key.trim())?;
        if key.is_empty() {
            return Err(ParseError::NoKey(member.to_owned()));
        }
        let value = decode(value.trim())?;
        match attributes.iter_mut().find(|(known, _)| *known == key) {
            Some(known) => known.1 = value,
            None => attributes.push((key, value)),
        }
    }
    Ok(attributes)
}

fn decode(text: &str) -> Result<String, ParseError> {
    let broken = || ParseError::Encoding(text.to_owned());
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let (high, low) = (digit().ok_or_else(broken)?, digit().ok_or_else(broken)?);
            out.push((high * 16 + low) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_decoded_and_trimmed() {
        let ok = |value: &str, expected: &[(&str, &str)]| {
            let expected: Vec<_> = expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            assert_eq!(resource_attributes(value), Ok(expected), "{value:?}");
        };
        ok("", &[]);
        ok("service.name=shop", &[("service.name", "shop")]);
        ok(" a = b , c=d ,", &[("a", "b"), ("c", "d")]);
        ok("a=b%2Cc%3dd,e=%C3%A9", &[("a", "b,c=d"), ("e", "é")]);
        ok("a=1=2,b=", &[("a", "1=2"), ("b", "")]);
        ok("a=1,b=2,a=3", &[("a", "3"), ("b", "2")]);
        ok("a=b+c", &[("a", "b+c")]);
    }

    #[test]
    fn one_bad_member_spoils_the_whole_value() {
        assert_eq!(resource_attributes("a=1,b"), Err(ParseError::NoValue("b".into())));
        assert_eq!(resource_attributes("=1"), Err(ParseError::NoKey("=1".into())));
        assert_eq!(resource_attributes("a=%2"), Err(ParseError::Encoding("%2".into())));
        assert_eq!(resource_attributes("a=%zz"), Err(ParseError::Encoding("%zz".into())));
        assert_eq!(resource_attributes("a=%ff"), Err(ParseError::Encoding("%ff".into())));
        assert_eq!(
            resource_attributes("a=%ff").unwrap_err().to_string(),
            r#""%ff" is not percent-encoded UTF-8"#
        );
    }
}
