//! Messages of protocol buffers, as far as TensorFlow's files need them.
//!
//! A field is its number times eight plus its kind (0 integer, 1 eight bytes, 2 bytes after their length, 5 four bytes),
//! then its value. Integers go by seven bits, the lowest first, and all but the last have the highest bit set.

/// Appends an integer by itself, as packed lists have them.
pub(crate) fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// Appends a field with an integer.
pub(crate) fn integer(message: &mut Vec<u8>, field: u8, value: u64) {
    message.push(field << 3);
    varint(message, value);
}

/// Appends a field with a number of eight bytes.
pub(crate) fn double(message: &mut Vec<u8>, field: u8, value: f64) {
    message.push(field << 3 | 1);
    message.extend(value.to_le_bytes());
}

/// Appends a field with bytes, a string or a message.
pub(crate) fn bytes(message: &mut Vec<u8>, field: u8, value: &[u8]) {
    message.push(field << 3 | 2);
    varint(message, value.len() as u64);
    message.extend(value);
}

/// Appends a field with a number of four bytes.
pub(crate) fn float(message: &mut Vec<u8>, field: u8, value: f32) {
    message.push(field << 3 | 5);
    message.extend(value.to_le_bytes());
}

/// The value of a field that is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Integer(u64),
    Eight([u8; 8]),
    Bytes(&'a [u8]),
    Four([u8; 4]),
}

/// Takes the next field off the front of `message`: its number and its value; `None` at the end.
pub(crate) fn next_field<'a>(message: &mut &'a [u8]) -> Result<Option<(u64, Value<'a>)>, String> {
    if message.is_empty() {
        return Ok(None);
    }
    let key = next_varint(message)?;
    let value = match key & 7 {
        0 => Value::Integer(next_varint(message)?),
        1 => Value::Eight(next_array(message)?),
        2 => {
            let length = next_varint(message)?;
            let length = usize::try_from(length).ok().filter(|&length| length <= message.len());
            let length = length.ok_or_else(|| format!("field {} is longer than its message", key >> 3))?;
            let (value, rest) = message.split_at(length);
            *message = rest;
            Value::Bytes(value)
        }
        5 => Value::Four(next_array(message)?),
        kind => return Err(format!("field {} is of kind {kind}, which there is not", key >> 3)),
    };
    Ok(Some((key >> 3, value)))
}

/// Takes an integer off the front of `message`.
pub(crate) fn next_varint(message: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for place in 0..10 {
        let (&byte, rest) = message.split_first().ok_or("an integer breaks off")?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("an integer has more than ten bytes".to_string())
}

fn next_array<const N: usize>(message: &mut &[u8]) -> Result<[u8; N], String> {
    let (value, rest) = message.split_first_chunk().ok_or("a number breaks off")?;
    *message = rest;
    Ok(*value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut message = Vec::new();
        integer(&mut message, 1, u64::MAX);
        double(&mut message, 2, 0.25);
        bytes(&mut message, 3, &[7; 300]);
        float(&mut message, 4, -0.5);
        let mut rest = &message[..];
        let expected = [
            (1, Value::Integer(u64::MAX)),
            (2, Value::Eight(0.25f64.to_le_bytes())),
            (3, Value::Bytes(&[7; 300])),
            (4, Value::Four((-0.5f32).to_le_bytes())),
        ];
        for field in expected {
            assert_eq!(next_field(&mut rest), Ok(Some(field)));
        }
        assert_eq!(next_field(&mut rest), Ok(None));
    }

    #[test]
    fn damaged_messages_are_errors() {
        for (message, expected) in [
            (&[0x08][..], "an integer breaks off"),
            (&[0x08, 0x80], "an integer breaks off"),
            (&[0x80; 11], "more than ten bytes"),
            (&[0x09, 1, 2, 3], "a number breaks off"),
            (&[0x0D, 1, 2, 3], "a number breaks off"),
            (&[0x12, 3, 1, 2], "field 2 is longer than its message"),
            (&[0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], "field 2 is longer"),
            (&[0x13], "field 2 is of kind 3"),
        ] {
            let message = next_field(&mut &message[..]).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
