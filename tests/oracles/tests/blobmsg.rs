//! `blobmsg` beside libubox: what one writes the other reads, byte for byte, and what one refuses the other refuses.

use lanward::blobmsg::{decode, encode, fields, Data};
use lanward_rig::libubox_json;
use libubox_sys::{
    blob_attr, blob_buf, blob_buf_free, blob_buf_init, blobmsg_add_json_from_string, blobmsg_check_attr_len,
    blobmsg_format_json_with_cb,
};
use proptest::prelude::*;
use serde_json::{json, Map, Value};
use std::ffi::{CStr, CString};

/// What libubox makes of a JSON text; `None` if it refuses.
fn built_by_libubox(json: &str) -> Option<Vec<u8>> {
    let json = CString::new(json).unwrap();
    // SAFETY: zeros are an empty buffer (as `static struct blob_buf b;` in C); head points at an attribute as long as it says.
    unsafe {
        let mut buffer: blob_buf = std::mem::zeroed();
        assert_eq!(blob_buf_init(&mut buffer, 0), 0);
        let done = blobmsg_add_json_from_string(&mut buffer, json.as_ptr());
        let head = buffer.head.cast::<u8>();
        let length = u32::from_be_bytes(head.cast::<[u8; 4]>().read()) & 0x00ff_ffff;
        let list = std::slice::from_raw_parts(head, length as usize)[4..].to_vec();
        blob_buf_free(&mut buffer);
        done.then_some(list)
    }
}

/// A list of fields as libubox wants it: in an attribute, aligned. It reads beyond what is there in places, hence the zeros behind.
fn attribute(list: &[u8]) -> Vec<u32> {
    let length = u32::try_from(list.len() + 4).unwrap();
    let mut words = vec![length.to_be()];
    words.extend(list.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_ne_bytes(word)
    }));
    words.extend([0; 4]);
    words
}

fn printed_by_libubox(list: &[u8]) -> Vec<u8> {
    let words = attribute(list);
    // SAFETY: the attribute lies within `words`, which libubox does not change; the text is malloc's and ends with a NUL.
    unsafe {
        let attribute = words.as_ptr().cast_mut().cast::<blob_attr>();
        let text = blobmsg_format_json_with_cb(attribute, true, None, std::ptr::null_mut(), -1);
        assert!(!text.is_null());
        let bytes = CStr::from_ptr(text).to_bytes().to_vec();
        libc::free(text.cast());
        bytes
    }
}

/// Whether libubox finds nothing wrong with any field at any depth, and nothing is left over. Walks as `blobmsg_for_each_attr` does, a macro.
fn accepted_by_libubox(list: &[u8]) -> bool {
    let words = attribute(list);
    let mut at = 0;
    while at < list.len() {
        let Some(header) = list.get(at..at + 4) else {
            return false;
        };
        let header = u32::from_be_bytes(header.try_into().unwrap());
        let (length, extended) = ((header & 0x00ff_ffff) as usize, header >> 31 == 1);
        let padded = length.next_multiple_of(4);
        if padded < 4 || padded > list.len() - at || !extended {
            return false;
        }
        // SAFETY: the attribute lies within `words`, and so does what its name's length can reach: it is checked against the attribute's.
        let good = unsafe {
            let attribute = words.as_ptr().cast::<u8>().add(4 + at).cast::<blob_attr>();
            blobmsg_check_attr_len(attribute, false, list.len() - at)
        };
        if !good {
            return false;
        }
        let name = usize::from(u16::from_be_bytes(list[at + 4..at + 6].try_into().unwrap()));
        let value = at + 4 + (2 + name + 1).next_multiple_of(4);
        let kind = header >> 24 & 0x7f;
        if matches!(kind, 1 | 2) && !accepted_by_libubox(&list[value..at + length]) {
            return false;
        }
        at += padded;
    }
    true
}

/// Whether a list holds a double at any depth. How libubox prints those depends on its version: six decimals, in the newest 17 digits.
fn has_double(list: &[u8]) -> bool {
    fields(list).map_while(Result::ok).any(|field| match field.data {
        Data::Double(_) => true,
        Data::Array(list) | Data::Table(list) => has_double(list),
        _ => false,
    })
}

/// Values that every version of libubox prints exactly: they need no more than six decimals, and are no integers.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        prop_oneof![
            Just(i64::from(i32::MAX)),
            Just(i64::from(i32::MAX) + 1),
            Just(i64::from(i32::MIN) - 1),
            Just(i64::MIN)
        ]
        .prop_map(Value::from),
        (-1_000_000..1_000_000_i32).prop_map(|number| Value::from(f64::from(2 * number + 1) / 64.0)),
        "[^\0]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[^\0]{1,12}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn tables() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map("[^\0]{1,12}", values(), 0..6).prop_map(|map| map.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2 * ProptestConfig::default().cases, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_write_the_same_bytes(map in tables()) {
        let ours = encode(&map).unwrap();
        let theirs = built_by_libubox(&Value::Object(map.clone()).to_string());
        prop_assert_eq!(theirs.as_ref(), Some(&ours));
        prop_assert_eq!(decode(&ours).unwrap(), map);
    }

    #[test]
    fn libubox_reads_what_we_write(map in tables()) {
        let list = encode(&map).unwrap();
        let text = printed_by_libubox(&list);
        prop_assert_eq!(serde_json::from_slice::<Map<String, Value>>(&text).unwrap(), map);
        if !has_double(&list) {
            prop_assert_eq!(libubox_json::object(&list), text);
        }
    }

    #[test]
    fn damaged_bytes_are_refused_by_both_or_read_the_same(
        mut map in tables(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), 0..16_u8]), 1..5),
        cut in 0..3_usize,
    ) {
        map.insert("always".to_owned(), Value::from("there"));
        let mut list = encode(&map).unwrap();
        for (index, byte) in damage {
            let index = index.index(list.len());
            list[index] = byte;
        }
        list.truncate(list.len() - cut);
        prop_assert_eq!(decode(&list).is_ok(), accepted_by_libubox(&list));
        if decode(&list).is_ok() && !has_double(&list) {
            prop_assert_eq!(libubox_json::object(&list), printed_by_libubox(&list));
        }
    }

    #[test]
    fn noise_is_refused_by_both_or_read_the_same(
        fields in prop::collection::vec((0..10_u32, 0..24_u32, prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..24)), 0..4),
    ) {
        let mut list = Vec::new();
        for (kind, length, payload) in fields {
            list.extend((0x8000_0000 | kind << 24 | length).to_be_bytes());
            list.extend(payload);
            list.resize(list.len().next_multiple_of(4), 0);
        }
        prop_assert_eq!(decode(&list).is_ok(), accepted_by_libubox(&list));
        if decode(&list).is_ok() && !has_double(&list) {
            prop_assert_eq!(libubox_json::object(&list), printed_by_libubox(&list));
        }
    }
}

#[test]
fn both_agree_at_the_edges() {
    for (value, read) in [
        (json!({ "big": u64::MAX }), json!({ "big": i64::MAX })),
        (
            json!({ "": 1, "empty": {}, "none": [] }),
            json!({ "": 1, "empty": {}, "none": [] }),
        ),
        (
            json!({ "zero": -0.0, "tiny": 5e-324, "huge": 1.5e300 }),
            json!({ "zero": -0.0, "tiny": 5e-324, "huge": 1.5e300 }),
        ),
        (json!({ "cut": "a\0b" }), json!({ "cut": "a" })),
    ] {
        let Value::Object(map) = &value else { unreachable!() };
        let list = encode(map).unwrap();
        assert_eq!(built_by_libubox(&value.to_string()).as_ref(), Some(&list), "{value}");
        assert_eq!(Value::Object(decode(&list).unwrap()), read);
        assert!(accepted_by_libubox(&list));
    }
}
