//! What is stored of an object beside its chunks (ADR-20).

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};

use crate::json::writer::ObjectWriter;
use crate::json::{JsonError, Reader};
use crate::nats::jetstream::{read_answer, read_members};

/// What is known of an object in a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// How many messages it is stored as.
    pub chunks: u64,
    /// When it was stored, as the writer's clock had it: `YYYY-MM-DDTHH:MM:SSZ`.
    pub modified: String,
    /// `SHA-256=` and the digest in URL-safe base64.
    pub digest: String,
    /// Whether it was deleted.
    pub is_deleted: bool,
    /// Names its chunks.
    pub(super) nuid: String,
    pub(super) max_chunk_size: u64,
    /// It has no chunks of its own and stands for another object.
    pub(super) is_link: bool,
}

impl ObjectInfo {
    pub(super) fn parse(data: &[u8]) -> Result<Self, JsonError> {
        let mut info = Self::default();
        read_answer(data, &mut |key, value| {
            if value.null() {
                return Ok(());
            }
            match key {
                "name" => info.name = value.text()?.into_owned(),
                "nuid" => info.nuid = value.text()?.into_owned(),
                "mtime" => info.modified = value.text()?.into_owned(),
                "digest" => info.digest = value.text()?.into_owned(),
                "size" => info.size = value.unsigned()?,
                "chunks" => info.chunks = value.unsigned()?,
                "deleted" => info.is_deleted = value.boolean()?,
                "options" => info.read_options(value)?,
                _ => drop(value.skip()?),
            }
            Ok(())
        })?;
        Ok(info)
    }

    fn read_options(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        read_members(reader, &mut |key, value| {
            match key {
                _ if value.null() => {}
                "max_chunk_size" => self.max_chunk_size = value.unsigned()?,
                "link" => {
                    value.skip()?;
                    self.is_link = true;
                }
                _ => drop(value.skip()?),
            }
            Ok(())
        })
    }

    pub(super) fn json(&self, bucket: &str) -> Vec<u8> {
        let options = ObjectWriter::new().number("max_chunk_size", self.max_chunk_size);
        ObjectWriter::new()
            .text("name", &self.name)
            .text("bucket", bucket)
            .text("nuid", &self.nuid)
            .number("size", self.size)
            .text("mtime", &self.modified)
            .number("chunks", self.chunks)
            .text("digest", &self.digest)
            .flag("deleted", self.is_deleted)
            .raw("options", &options.finish_text())
            .finish()
    }

    /// Whether the digest is the one of what was read. An object without one is taken as it is.
    pub(super) fn has_digest(&self, sha256: &[u8]) -> bool {
        let Some(encoded) = self.digest.strip_prefix("SHA-256=") else {
            return self.digest.is_empty();
        };
        let decoded = URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('='));
        decoded.is_ok_and(|digest| digest == sha256)
    }
}

#[cfg(feature = "fuzzing")]
pub(crate) fn parse_object_info(data: &[u8]) -> Result<ObjectInfo, JsonError> {
    ObjectInfo::parse(data)
}

pub(super) fn digest(sha256: &[u8]) -> String {
    ["SHA-256=", &URL_SAFE.encode(sha256)].concat()
}

/// The subject of an object's metadata.
pub(super) fn meta_subject(bucket: &str, name: &str) -> String {
    ["$O.", bucket, ".M.", &URL_SAFE.encode(name)].concat()
}

/// Whether the name of an object's chunks is one token of a subject. Any client that writes metadata
/// chooses it: `>` would be the chunks of all objects.
pub(super) fn is_nuid(nuid: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !nuid.is_empty() && nuid.bytes().all(is_allowed)
}

/// By this a stream recognizes an object's metadata that it has stored already. The first chunk has the
/// name of the chunks.
pub(super) fn meta_id(info: &ObjectInfo) -> String {
    let what = if info.is_deleted { ".d" } else { ".m" };
    [&info.nuid, what].concat()
}

/// The subject of an object's chunks.
pub(super) fn chunk_subject(bucket: &str, nuid: &str) -> String {
    ["$O.", bucket, ".C.", nuid].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_come_back_as_they_were() {
        let info = ObjectInfo {
            name: "a/ü".into(),
            size: 300_000,
            chunks: 3,
            modified: "2026-11-24T03:17:58Z".into(),
            digest: digest(&[0xff; 32]),
            is_deleted: false,
            nuid: "n".into(),
            max_chunk_size: 131_072,
            is_link: false,
        };
        let json = info.json("B");
        let expected = concat!(
            r#"{"name":"a/ü","bucket":"B","nuid":"n","size":300000,"mtime":"2026-11-24T03:17:58Z","chunks":3,"#,
            r#""digest":"SHA-256=__________________________________________8=","deleted":false,"#,
            r#""options":{"max_chunk_size":131072}}"#
        );
        assert_eq!(core::str::from_utf8(&json).unwrap(), expected);
        assert_eq!(ObjectInfo::parse(&json).unwrap(), info);
    }

    #[test]
    fn other_clients_write_null_and_links() {
        let json = br#"{"name":"x","description":null,"headers":null,"digest":null,"deleted":null,
            "options":{"max_chunk_size":null,"link":{"bucket":"C","name":"y"}},"more":[{}]}"#;
        let info = ObjectInfo::parse(json).unwrap();
        assert!(info.is_link && !info.is_deleted && info.digest.is_empty());
        for bad in [
            &b""[..],
            b"[]",
            br#"{"size":-1}"#,
            br#"{"name":1}"#,
            br#"{"options":1}"#,
        ] {
            assert!(ObjectInfo::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn digests_are_compared_as_bytes() {
        let with = |digest: &str| ObjectInfo {
            digest: digest.into(),
            ..ObjectInfo::default()
        };
        let sha256 = [0xff; 32];
        for (digest, same) in [
            ("SHA-256=__________________________________________8=", true),
            ("SHA-256=__________________________________________8", true),
            (
                "SHA-256=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                false,
            ),
            ("SHA-256=", false),
            (
                "SHA-512=__________________________________________8=",
                false,
            ),
            ("", true),
        ] {
            assert_eq!(with(digest).has_digest(&sha256), same, "{digest}");
        }
    }

    #[test]
    fn names_are_base64_in_subjects() {
        assert_eq!(meta_subject("B", "ü/?>"), "$O.B.M.w7wvPz4=");
        assert_eq!(chunk_subject("B", "n"), "$O.B.C.n");
    }
}
