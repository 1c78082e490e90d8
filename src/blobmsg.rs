//! blob and blobmsg, the bus's encoding, both ways: bytes to [`serde_json::Value`] and back.
//!
//! A *blob attribute* (`blob.h` of openwrt/libubox) is a length, a number and bytes; a ubus message is a list of them. A *blobmsg
//! field* (`blobmsg.h`) is an attribute that also carries a name and whose number is its type; arguments and replies are lists of
//! those. [`attributes`] and [`fields`] read one level of a list without copying; [`decode`] and [`Writer`] build on them.
//!
//! | blobmsg | JSON |
//! |---|---|
//! | unspec | null |
//! | array, table, string | array, object, string |
//! | int8 | bool |
//! | int16, int32, int64 | integer (written as int32 where it fits, else int64) |
//! | double | number (not a number, infinite: null) |
//!
//! As in libubox: a NUL ends a string or name for every reader, the first of several fields with one name counts, integers
//! above `i64::MAX` become `i64::MAX`. Unlike libubox a list is refused as a whole where one field of it is malformed, so that nobody
//! acts on the half that was readable. Strings that are not UTF-8 are read with U+FFFD in the wrong places.
//!
//! From the crate `ubus` come the attribute header ([`ubus::BlobTag`]) and the type numbers ([`ubus::BlobMsgType`]). Its parser
//! and builder are not used: they panic on bytes from outside (`unwrap` on UTF-8, on slices and on integer widths), do not
//! check bounds inside a container, sort nothing (`HashMap`), cannot write null, and write into buffers of fixed size.

use serde_json::{Map, Number, Value};
use std::fmt;
use ubus::{BlobMsgType, BlobTag};

/// How deep arrays and tables may lie inside one another. libubox has no limit; nothing on a router comes near this one.
pub const MAX_DEPTH: usize = 32;

const ALIGNMENT: usize = 4;

/// Why bytes are no blobmsg, or a value cannot be written as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// An attribute's length is less than its header, or more than what is left of the list.
    Length,
    /// An attribute that should carry a name and a type does not.
    NotExtended,
    /// The name reaches out of the attribute, or does not end with a NUL.
    Name,
    /// A type number that blobmsg does not have.
    Type(u32),
    /// A value whose size does not fit its type, or a string without its NUL.
    Value,
    /// Deeper than [`MAX_DEPTH`].
    Depth,
    /// A name of more than 65535 bytes, or a value that the length field cannot express.
    TooLong,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(
                f,
                "an attribute is longer than its container or shorter than its header"
            ),
            Self::NotExtended => write!(f, "an attribute without a name"),
            Self::Name => write!(f, "a name without its end"),
            Self::Type(number) => write!(f, "unknown type {number}"),
            Self::Value => write!(f, "a value of the wrong size"),
            Self::Depth => write!(f, "more than {MAX_DEPTH} levels"),
            Self::TooLong => write!(f, "too long to be encoded"),
        }
    }
}

impl std::error::Error for Error {}

/// A blob attribute as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its number, 0 to 127.
    pub id: u32,
    /// Whether the payload begins with a name, which makes it a blobmsg field.
    pub extended: bool,
    /// What follows the header, without padding.
    pub payload: &'a [u8],
}

/// The attributes of a list, one after the other; ends after the first error. See [`attributes`].
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

/// Reads a list of blob attributes.
#[must_use]
pub fn attributes(list: &[u8]) -> Attributes<'_> {
    Attributes { rest: list }
}

impl<'a> Attributes<'a> {
    fn read(&mut self) -> Result<Attribute<'a>, Error> {
        let (header, _) = self.rest.split_first_chunk::<4>().ok_or(Error::Length)?;
        let tag = BlobTag::from_bytes(*header);
        let payload = self.rest.get(header.len()..tag.size()).ok_or(Error::Length)?;
        // The padding behind the last attribute belongs to the list, too: without it libubox does not see the attribute.
        self.rest = self.rest.get(padded(tag.size())..).ok_or(Error::Length)?;
        Ok(Attribute {
            id: tag.id(),
            extended: tag.is_extended(),
            payload,
        })
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let attribute = self.read();
        if attribute.is_err() {
            self.rest = &[];
        }
        Some(attribute)
    }
}

/// A named, typed value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    /// Its name, up to the first NUL; empty in arrays.
    pub name: &'a [u8],
    /// Its type and value.
    pub data: Data<'a>,
}

/// A value in the width that it has on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub enum Data<'a> {
    Unspec,
    /// A list for [`fields`].
    Array(&'a [u8]),
    /// A list for [`fields`].
    Table(&'a [u8]),
    /// Up to the first NUL.
    String(&'a [u8]),
    Int64(i64),
    Int32(i32),
    Int16(i16),
    /// A bool, to all who print it.
    Int8(u8),
    Double(f64),
}

/// The fields of a list, one after the other; ends after the first error. See [`fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    attributes: Attributes<'a>,
}

/// Reads one level of a list of blobmsg fields: the payload of a message's DATA, of an array or of a table.
#[must_use]
pub fn fields(list: &[u8]) -> Fields<'_> {
    Fields {
        attributes: attributes(list),
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.attributes.next()?.and_then(field);
        if field.is_err() {
            self.attributes.rest = &[];
        }
        Some(field)
    }
}

fn field(attribute: Attribute<'_>) -> Result<Field<'_>, Error> {
    if !attribute.extended {
        return Err(Error::NotExtended);
    }
    let (length, names) = attribute.payload.split_first_chunk::<2>().ok_or(Error::Name)?;
    let length = usize::from(u16::from_be_bytes(*length));
    if names.get(length) != Some(&0) {
        return Err(Error::Name);
    }
    let value = attribute.payload.get(name_header(length)..).ok_or(Error::Name)?;
    Ok(Field {
        name: until_nul(&names[..length]),
        data: data(attribute.id, value)?,
    })
}

fn data(id: u32, value: &[u8]) -> Result<Data<'_>, Error> {
    Ok(match BlobMsgType::from(id) {
        BlobMsgType::UNSPEC => Data::Unspec,
        BlobMsgType::ARRAY => Data::Array(value),
        BlobMsgType::TABLE => Data::Table(value),
        BlobMsgType::STRING if value.last() == Some(&0) => Data::String(until_nul(value)),
        BlobMsgType::STRING => return Err(Error::Value),
        BlobMsgType::INT64 => Data::Int64(i64::from_be_bytes(exactly(value)?)),
        BlobMsgType::INT32 => Data::Int32(i32::from_be_bytes(exactly(value)?)),
        BlobMsgType::INT16 => Data::Int16(i16::from_be_bytes(exactly(value)?)),
        BlobMsgType::INT8 => Data::Int8(u8::from_be_bytes(exactly(value)?)),
        // Only for this one libubox lets the value be longer than it need be.
        BlobMsgType::DOUBLE => Data::Double(f64::from_be_bytes(*value.first_chunk().ok_or(Error::Value)?)),
        _ => return Err(Error::Type(id)),
    })
}

fn exactly<const N: usize>(value: &[u8]) -> Result<[u8; N], Error> {
    value.try_into().map_err(|_| Error::Value)
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The size of a name's header with its padding: length, name, NUL.
fn name_header(length: usize) -> usize {
    padded(2 + length + 1)
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT)
}

/// Reads a whole list of blobmsg fields, such as a message's DATA.
///
/// # Errors
/// The first thing that is wrong with it, at any depth.
pub fn decode(list: &[u8]) -> Result<Map<String, Value>, Error> {
    table(list, MAX_DEPTH)
}

fn table(list: &[u8], depth: usize) -> Result<Map<String, Value>, Error> {
    let mut map = Map::new();
    for field in fields(list) {
        let field = field?;
        let value = value(field.data, depth)?;
        map.entry(text(field.name)).or_insert(value);
    }
    Ok(map)
}

fn value(data: Data<'_>, depth: usize) -> Result<Value, Error> {
    Ok(match data {
        Data::Unspec => Value::Null,
        Data::Array(list) => {
            let depth = depth.checked_sub(1).ok_or(Error::Depth)?;
            Value::Array(
                fields(list)
                    .map(|field| value(field?.data, depth))
                    .collect::<Result<_, _>>()?,
            )
        }
        Data::Table(list) => Value::Object(table(list, depth.checked_sub(1).ok_or(Error::Depth)?)?),
        Data::String(bytes) => Value::String(text(bytes)),
        Data::Int64(number) => Value::from(number),
        Data::Int32(number) => Value::from(number),
        Data::Int16(number) => Value::from(number),
        Data::Int8(number) => Value::Bool(number != 0),
        Data::Double(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Writes a table's fields, as they stand in a message's DATA.
///
/// # Errors
/// [`Error::Depth`] and [`Error::TooLong`].
pub fn encode(map: &Map<String, Value>) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::default();
    for (name, value) in map {
        writer.value(name, value)?;
    }
    Ok(writer.finish())
}

/// Builds a list of attributes or fields.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    depth: usize,
}

impl Writer {
    /// The list.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Adds a blob attribute without a name.
    ///
    /// # Errors
    /// [`Error::TooLong`]; nothing is added then.
    pub fn attribute(&mut self, id: u32, payload: &[u8]) -> Result<(), Error> {
        let tag = BlobTag::new(id, payload.len().saturating_add(BlobTag::SIZE), false).map_err(|_| Error::TooLong)?;
        self.bytes.extend(tag.to_bytes());
        self.bytes.extend(payload);
        self.pad();
        Ok(())
    }

    /// Adds a field with a value that fits the wire as it is. The lists inside arrays and tables are taken as they are, too.
    ///
    /// # Errors
    /// [`Error::TooLong`]; the list is of no use then.
    pub fn field(&mut self, name: &[u8], data: Data<'_>) -> Result<(), Error> {
        let (id, start) = (kind(data), self.open(name)?);
        match data {
            Data::Unspec => {}
            Data::Array(list) | Data::Table(list) => self.bytes.extend(list),
            Data::String(bytes) => {
                self.bytes.extend(until_nul(bytes));
                self.bytes.push(0);
            }
            Data::Int64(number) => self.bytes.extend(number.to_be_bytes()),
            Data::Int32(number) => self.bytes.extend(number.to_be_bytes()),
            Data::Int16(number) => self.bytes.extend(number.to_be_bytes()),
            Data::Int8(number) => self.bytes.push(number),
            Data::Double(number) => self.bytes.extend(number.to_be_bytes()),
        }
        self.close(id, start)
    }

    /// Adds a field with a JSON value.
    ///
    /// # Errors
    /// [`Error::Depth`] and [`Error::TooLong`]; the list is of no use then.
    pub fn value(&mut self, name: &str, value: &Value) -> Result<(), Error> {
        let name = name.as_bytes();
        match value {
            Value::Null => self.field(name, Data::Unspec),
            Value::Bool(flag) => self.field(name, Data::Int8((*flag).into())),
            Value::Number(number) => self.field(name, narrowest(number)),
            Value::String(text) => self.field(name, Data::String(text.as_bytes())),
            Value::Array(items) => self.nest(BlobMsgType::ARRAY, name, |writer| {
                items.iter().try_for_each(|item| writer.value("", item))
            }),
            Value::Object(map) => self.nest(BlobMsgType::TABLE, name, |writer| {
                map.iter().try_for_each(|(name, item)| writer.value(name, item))
            }),
        }
    }

    fn nest(
        &mut self,
        kind: BlobMsgType,
        name: &[u8],
        inner: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.depth == MAX_DEPTH {
            return Err(Error::Depth);
        }
        let start = self.open(name)?;
        self.depth += 1;
        inner(self)?;
        self.depth -= 1;
        self.close(kind, start)
    }

    /// Leaves room for the attribute's header and writes the name's; [`Self::close`] fills in the former.
    fn open(&mut self, name: &[u8]) -> Result<usize, Error> {
        let name = until_nul(name);
        let length = u16::try_from(name.len()).map_err(|_| Error::TooLong)?;
        let start = self.bytes.len();
        self.bytes.extend([0; BlobTag::SIZE]);
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(name);
        self.bytes.push(0);
        self.pad();
        Ok(start)
    }

    fn close(&mut self, kind: BlobMsgType, start: usize) -> Result<(), Error> {
        let length = self.bytes.len() - start;
        let tag = BlobTag::new(kind.value(), length, true).map_err(|_| Error::TooLong)?;
        self.bytes[start..start + BlobTag::SIZE].copy_from_slice(&tag.to_bytes());
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(padded(self.bytes.len()), 0);
    }
}

fn kind(data: Data<'_>) -> BlobMsgType {
    match data {
        Data::Unspec => BlobMsgType::UNSPEC,
        Data::Array(_) => BlobMsgType::ARRAY,
        Data::Table(_) => BlobMsgType::TABLE,
        Data::String(_) => BlobMsgType::STRING,
        Data::Int64(_) => BlobMsgType::INT64,
        Data::Int32(_) => BlobMsgType::INT32,
        Data::Int16(_) => BlobMsgType::INT16,
        Data::Int8(_) => BlobMsgType::INT8,
        Data::Double(_) => BlobMsgType::DOUBLE,
    }
}

fn narrowest(number: &Number) -> Data<'static> {
    if let Some(number) = number.as_i64() {
        return i32::try_from(number).map_or(Data::Int64(number), Data::Int32);
    }
    if number.is_u64() {
        return Data::Int64(i64::MAX);
    }
    number.as_f64().map_or(Data::Unspec, Data::Double)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other} is no object"),
        }
    }

    /// Fields written one level at a time, so that the test does not build its input with the code under test.
    fn raw(kind: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut body = u16::try_from(name.len()).unwrap().to_be_bytes().to_vec();
        body.extend(name);
        body.push(0);
        while body.len() % 4 != 0 {
            body.push(0);
        }
        body.extend(value);
        let mut bytes = (u32::try_from(body.len() + 4).unwrap() | 0x8000_0000 | u32::from(kind) << 24)
            .to_be_bytes()
            .to_vec();
        bytes.extend(body);
        while bytes.len() % 4 != 0 {
            bytes.push(0);
        }
        bytes
    }

    #[test]
    fn writes_what_libubox_writes() {
        let map = object(json!({ "i": 42, "s": "hé", "t": { "a": [true, null, 5_000_000_000_i64] } }));
        let inner = [
            raw(7, b"", &[1]),
            raw(0, b"", &[]),
            raw(4, b"", &5_000_000_000_i64.to_be_bytes()),
        ]
        .concat();
        let expected = [
            raw(5, b"i", &[0, 0, 0, 42]),
            raw(3, b"s", "hé\0".as_bytes()),
            raw(2, b"t", &raw(1, b"a", &inner)),
        ]
        .concat();
        assert_eq!(encode(&map).unwrap(), expected);
        assert_eq!(decode(&expected).unwrap(), map);
    }

    #[test]
    fn reads_every_width_and_what_json_cannot_say() {
        let bytes = [
            raw(6, b"short", &(-2_i16).to_be_bytes()),
            raw(8, b"half", &0.5_f64.to_be_bytes()),
            raw(8, b"nan", &f64::NAN.to_be_bytes()),
            raw(7, b"two", &[2]),
            raw(3, b"cut", b"ab\0cd\0"),
            raw(3, b"latin", b"caf\xe9\0"),
            raw(5, b"twice", &[0, 0, 0, 1]),
            raw(5, b"twice", &[0, 0, 0, 2]),
        ]
        .concat();
        let expected = json!({
            "short": -2, "half": 0.5, "nan": null, "two": true, "cut": "ab", "latin": "caf\u{fffd}", "twice": 1
        });
        assert_eq!(Value::Object(decode(&bytes).unwrap()), expected);
    }

    #[test]
    fn refuses_what_reaches_out_of_its_container() {
        let good = raw(2, b"t", &raw(5, b"i", &[0, 0, 0, 42]));
        for (offset, byte, expected) in [
            (3, 3, Error::Length),
            (3, 0xff, Error::Length),
            (11, 0xff, Error::Length),
            (11, 3, Error::Length),
        ] {
            let mut bytes = good.clone();
            bytes[offset] = byte;
            assert_eq!(decode(&bytes), Err(expected), "byte {offset} = {byte}");
        }
        assert_eq!(decode(&good[..good.len() - 1]), Err(Error::Length));
        assert_eq!(decode(&[0, 0, 0, 4]), Err(Error::NotExtended));
        assert_eq!(decode(&raw(9, b"x", &[])), Err(Error::Type(9)));
        assert_eq!(decode(&raw(5, b"x", &[0; 5])), Err(Error::Value));
        assert_eq!(decode(&raw(3, b"x", b"no end")), Err(Error::Value));
        assert_eq!(decode(&[0x80, 0, 0, 8, 0, 9, 0, 0]), Err(Error::Name));
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |levels: usize| (0..levels).fold(Vec::new(), |inner, _| raw(2, b"t", &inner));
        assert!(decode(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(decode(&nested(MAX_DEPTH + 1)), Err(Error::Depth));
        assert_eq!(decode(&nested(20_000)), Err(Error::Depth));
        let value = |levels: usize| (0..levels).fold(json!({}), |inner, _| json!({ "t": inner }));
        assert!(encode(&object(value(MAX_DEPTH))).is_ok());
        assert_eq!(encode(&object(value(MAX_DEPTH + 1))), Err(Error::Depth));
    }

    #[test]
    fn too_long_is_an_error() {
        let long = Value::String("x".repeat(0x00ff_ffff));
        assert_eq!(encode(&object(json!({ "s": long }))), Err(Error::TooLong));
        assert_eq!(encode(&object(json!({ "x".repeat(65536): 1 }))), Err(Error::TooLong));
        assert!(encode(&object(json!({ "x".repeat(65535): 1 }))).is_ok());
    }

    #[test]
    fn the_crate_ubus_numbers_attributes_and_types_as_libubox_does() {
        assert_eq!(BlobTag::new(5, 12, true).unwrap().to_bytes(), [0x85, 0, 0, 12]);
        let tag = BlobTag::from_bytes([0x85, 1, 2, 3]);
        assert_eq!((tag.id(), tag.size(), tag.is_extended()), (5, 0x0001_0203, true));
        let types = [
            BlobMsgType::UNSPEC,
            BlobMsgType::ARRAY,
            BlobMsgType::TABLE,
            BlobMsgType::STRING,
            BlobMsgType::INT64,
            BlobMsgType::INT32,
            BlobMsgType::INT16,
            BlobMsgType::INT8,
            BlobMsgType::DOUBLE,
        ];
        assert!((0..).zip(types).all(|(number, kind)| kind.value() == number));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            (-1e9..1e9_f64).prop_map(Value::from),
            "[^\0]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[^\0]{0,9}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(map in prop::collection::btree_map("[^\0]{0,9}", values(), 0..6)) {
            let map: Map<String, Value> = map.into_iter().collect();
            prop_assert_eq!(decode(&encode(&map).unwrap()).unwrap(), map);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = decode(&bytes);
            prop_assert!(attributes(&bytes).count() <= bytes.len() / 4 + 1);
        }

        #[test]
        fn damaged_bytes_are_read_or_refused(
            map in prop::collection::btree_map("[a-z]{0,9}", values(), 1..6),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let map: Map<String, Value> = map.into_iter().collect();
            let mut bytes = encode(&map).unwrap();
            for (index, byte) in damage {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            if let Ok(map) = decode(&bytes) {
                // What was read fits into the bytes it came from: nothing was made up or read twice.
                prop_assert!(serde_json::to_string(&map).unwrap().len() <= 8 * bytes.len() + 2);
            }
        }
    }
}
