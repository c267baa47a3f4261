//! What the creator of an upload may choose.

use std::time::Duration;

use serde_json::{Map, Value};

use super::answer::Refusal;

/// Both the longest and the default time to live, in seconds: 30 days.
pub(super) const MAX_TTL: i64 = 30 * 24 * 3600;

/// Plik API: the two-step upload, the keys of step 1.
pub(super) struct UploadOptions {
    pub(super) one_shot: bool,
    pub(super) removable: bool,
    pub(super) ttl: Duration,
    pub(super) comments: String,
    /// The header that opens a protected upload.
    pub(super) authorization: Option<String>,
    /// The header that the answer offers for that.
    pub(super) convenience: Option<String>,
}

impl UploadOptions {
    pub(super) fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let fields = Fields::parse(text)?;
        fields.refuse_what_is_not_here()?;
        let (login, password) = (fields.text("login")?, fields.text("password")?);
        let is_protected = !password.is_empty();
        // Plik API: the Authorization trap. The upload opens for "plik", the header says "".
        let known_as = if login.is_empty() { "plik" } else { &login };
        Ok(Self {
            one_shot: fields.flag("oneshot")?,
            removable: fields.flag("removable")?,
            ttl: time_to_live(fields.number("ttl")?)?,
            comments: fields.text("comments")?,
            authorization: is_protected.then(|| basic(known_as, &password)),
            convenience: is_protected.then(|| basic(&login, &password)),
        })
    }
}

/// A JSON object whose keys are matched without regard to case.
struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn parse(text: &[u8]) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Ok(Self(Map::new()));
        }
        let fields: Map<String, Value> = serde_json::from_slice(text).map_err(bad_options)?;
        let lower = |(key, value): (String, Value)| (key.to_ascii_lowercase(), value);
        Ok(Self(fields.into_iter().map(lower).collect()))
    }

    /// A key that is absent, or null, has its type's default.
    fn get<T: Default>(&self, key: &str, of: fn(&Value) -> Option<T>) -> Result<T, Refusal> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(T::default()),
            Some(value) => of(value).ok_or_else(|| bad_options(format!("wrong type of {key}"))),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, Refusal> {
        self.get(key, Value::as_bool)
    }

    fn number(&self, key: &str) -> Result<i64, Refusal> {
        self.get(key, Value::as_i64)
    }

    fn text(&self, key: &str) -> Result<String, Refusal> {
        self.get(key, |value| value.as_str().map(str::to_owned))
    }

    fn refuse_what_is_not_here(&self) -> Result<(), Refusal> {
        if self.flag("stream")? {
            return Err(no_upload("streaming uploads are disabled"));
        }
        if self.flag("extend_ttl")? {
            return Err(no_upload("extend TTL is disabled"));
        }
        let declared = self.get("files", |files| files.as_array().map(Vec::len))?;
        if declared > 0 {
            return Err(Refusal::new(501, "the stand-in knows no declared files"));
        }
        Ok(())
    }
}

fn time_to_live(ttl: i64) -> Result<Duration, Refusal> {
    match ttl {
        0 => Ok(MAX_TTL),
        1..=MAX_TTL => Ok(ttl),
        ..0 => Err(no_upload(&format!(
            "cannot set infinite TTL (maximum allowed is : {MAX_TTL})"
        ))),
        _ => Err(no_upload(&format!(
            "invalid TTL. (maximum allowed is : {MAX_TTL})"
        ))),
    }
    .map(|seconds| Duration::from_secs(seconds.unsigned_abs()))
}

fn basic(login: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{login}:{password}").as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            let is_padding = digit > group.len();
            text.push(if is_padding {
                '='
            } else {
                char::from(DIGITS[value as usize])
            });
        }
    }
    text
}

pub(super) fn bad_options(why: impl ToString) -> Refusal {
    let why = why.to_string();
    Refusal::new(400, format!("unable to deserialize request body : {why}"))
}

pub(super) fn no_upload(why: &str) -> Refusal {
    Refusal::new(400, format!("unable to create upload : {why}"))
}
