//! The uploads, their files, and who may do what with them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::answer::{Answer, BINARY, HTML, PLAIN_TEXT, Refusal};
use super::call::Call;
use super::options::{MAX_TTL, UploadOptions, no_upload};

#[derive(Default)]
pub(super) struct State {
    pub(super) uploads: HashMap<String, Upload>,
    pub(super) created: usize,
    pub(super) requests: Vec<String>,
    pub(super) user_token: Option<String>,
    pub(super) failing: (usize, u16),
    pub(super) lie_about_md5: bool,
    pub(super) lie_about_size: bool,
    pub(super) truncate_next: bool,
    pub(super) download_domain: String,
}

pub(super) struct Upload {
    pub(super) id: String,
    token: String,
    pub(super) options: UploadOptions,
    created: SystemTime,
    expires: SystemTime,
    pub(super) files: Vec<StoredFile>,
}

pub(super) struct StoredFile {
    id: String,
    pub(super) name: String,
    status: Status,
    pub(super) kind: &'static str,
    md5: String,
    pub(super) bytes: Arc<[u8]>,
    created: SystemTime,
}

#[derive(Clone, Copy, PartialEq)]
enum Status {
    Uploading,
    Uploaded,
    Removed,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Uploaded => "uploaded",
            Self::Removed => "removed",
        }
    }
}

impl State {
    /// Notes the request, and says with which status it shall fail, if it shall.
    pub(super) fn note(&mut self, call: &Call) -> Option<u16> {
        self.requests
            .push(format!("{} {}", call.method, call.target));
        let (left, status) = self.failing;
        self.failing.0 = left.saturating_sub(1);
        (left > 0).then_some(status)
    }

    /// Plik API: errors. A missing token is a 400, not a 401; a wrong one a 403.
    pub(super) fn check_may_create(&self, call: &Call) -> Result<(), Refusal> {
        if self.user_token.is_some() && call.header("X-PlikToken").is_none() {
            return Err(no_upload("anonymous uploads are disabled"));
        }
        self.check_user_token(call)
    }

    fn check_user_token(&self, call: &Call) -> Result<(), Refusal> {
        let (wanted, given) = (self.user_token.as_deref(), call.header("X-PlikToken"));
        if wanted.is_some() && given.is_some() && wanted != given {
            return Err(Refusal::new(403, "invalid token"));
        }
        Ok(())
    }

    pub(super) fn expire_all(&mut self) {
        for upload in self.uploads.values_mut() {
            upload.expires = UNIX_EPOCH;
        }
    }

    /// The bytes behind a download URL, without its trouble.
    pub(super) fn bytes(&self, url: &str) -> Option<Vec<u8>> {
        let (_, ids) = url.split_once("/file/")?;
        let mut ids = ids.split('/');
        let upload = self.uploads.get(ids.next()?)?;
        let file = &upload.files[upload.position(ids.next()?)?];
        (file.status == Status::Uploaded).then(|| file.bytes.to_vec())
    }

    /// The upload, if it is there and the call may see it.
    pub(super) fn upload(&mut self, call: &Call, id: &str) -> Result<&mut Upload, Refusal> {
        self.check_user_token(call)?;
        let Some(upload) = self.uploads.get_mut(id) else {
            return Err(Refusal::new(404, format!("upload {id} not found")));
        };
        if upload.expires <= SystemTime::now() {
            return Err(Refusal::new(404, format!("upload {id} has expired")));
        }
        let wanted = upload.options.authorization.as_deref();
        let opened = wanted.is_none() || wanted == call.header("Authorization");
        if !opened && !upload.is_owned_by(call) {
            let text = "please provide valid credentials to access this upload : refused";
            return Err(Refusal::new(401, text));
        }
        Ok(upload)
    }

    /// The upload and the position of the file in it.
    fn file(&mut self, call: &Call, ids: [&str; 3]) -> Result<(&mut Upload, usize), Refusal> {
        let [upload_id, file_id, name] = ids;
        let exists = self
            .uploads
            .values()
            .any(|upload| upload.position(file_id).is_some());
        let upload = self.upload(call, upload_id)?;
        match upload.position(file_id) {
            Some(at) if upload.files[at].name == name => Ok((upload, at)),
            Some(_) => Err(Refusal::new(400, "invalid file name")),
            // Plik API: errors. A file of another upload is an internal error.
            None if exists => Err(Refusal::new(500, "invalid file upload id")),
            None => Err(Refusal::new(404, format!("file {file_id} not found"))),
        }
    }

    pub(super) fn download(&mut self, call: &Call, ids: [&str; 3]) -> Result<Answer, Refusal> {
        let is_get = call.method == "GET";
        let truncated = is_get && self.truncate_next;
        let domain = self.download_domain.clone();
        let (upload, at) = self.file(call, ids)?;
        check_host(call, &domain)?;
        let one_shot = upload.options.one_shot;
        let file = &mut upload.files[at];
        if file.status != Status::Uploaded {
            return Err(file.not_available());
        }
        let mut answer = Answer::file(file, call.wants_attachment(), one_shot);
        answer.truncated = truncated;
        // Plik API: one-shot details. Gone when the GET starts, whatever becomes of it.
        if is_get && one_shot {
            file.remove();
        }
        self.truncate_next &= !is_get;
        Ok(answer)
    }

    pub(super) fn remove_file(&mut self, call: &Call, ids: [&str; 3]) -> Result<Answer, Refusal> {
        let (upload, at) = self.file(call, ids)?;
        if !upload.is_removable_by(call) {
            return Err(forbidden("remove files from this upload"));
        }
        upload.files[at].remove();
        Ok(Answer::text("ok", PLAIN_TEXT))
    }

    pub(super) fn remove_upload(&mut self, call: &Call, id: &str) -> Result<Answer, Refusal> {
        if !self.upload(call, id)?.is_removable_by(call) {
            return Err(forbidden("remove this upload"));
        }
        self.uploads.remove(id);
        Ok(Answer::text("ok", PLAIN_TEXT))
    }

    pub(super) fn show_upload(&mut self, call: &Call, id: &str) -> Result<Answer, Refusal> {
        let domain = self.download_domain.clone();
        let upload = self.upload(call, id)?;
        Ok(Answer::json(
            &upload.describe(upload.is_owned_by(call), &domain),
        ))
    }

    pub(super) fn show_limits(&self) -> Answer {
        let authentication = if self.user_token.is_some() {
            "forced"
        } else {
            "disabled"
        };
        Answer::json(&json!({
            "maxFileSize": 10_000_000_000_u64,
            "maxUserSize": -1,
            "maxFilePerUpload": 1000,
            "defaultTTL": MAX_TTL,
            "maxTTL": MAX_TTL,
            "downloadDomain": self.download_domain,
            "feature_one_shot": "enabled",
            "feature_removable": "enabled",
            "feature_stream": "disabled",
            "feature_password": "enabled",
            "feature_set_ttl": "enabled",
            "feature_extend_ttl": "disabled",
            "feature_authentication": authentication,
        }))
    }

    /// The answer to an upload, with the lies that were asked for.
    pub(super) fn describe_new(&self, file: &StoredFile) -> Value {
        let mut shown = file.describe();
        if self.lie_about_md5 {
            shown["fileMd5"] = md5_hex(b"other bytes").into();
        }
        if self.lie_about_size {
            shown["fileSize"] = (file.bytes.len() + 1).into();
        }
        shown
    }
}

impl Upload {
    pub(super) fn new(options: UploadOptions) -> Self {
        let created = SystemTime::now();
        Self {
            id: random_text(16),
            token: random_text(32),
            expires: created + options.ttl,
            options,
            created,
            files: Vec::new(),
        }
    }

    fn position(&self, file_id: &str) -> Option<usize> {
        self.files.iter().position(|file| file.id == file_id)
    }

    pub(super) fn is_owned_by(&self, call: &Call) -> bool {
        call.header("X-UploadToken") == Some(&self.token)
    }

    fn is_removable_by(&self, call: &Call) -> bool {
        self.options.removable || self.is_owned_by(call)
    }

    pub(super) fn describe(&self, to_owner: bool, download_domain: &str) -> Value {
        let files: Vec<Value> = self.files.iter().map(StoredFile::describe).collect();
        let mut shown = json!({
            "id": self.id,
            "ttl": self.options.ttl.as_secs(),
            "extend_ttl": false,
            "downloadDomain": download_domain,
            "comments": self.options.comments,
            // Plik API: no files are `null`, not an empty list.
            "files": (!files.is_empty()).then_some(files),
            "admin": to_owner,
            "stream": false,
            "oneShot": self.options.one_shot,
            "removable": self.options.removable,
            "protectedByPassword": self.options.authorization.is_some(),
            "createdAt": rfc3339(self.created),
            "expireAt": rfc3339(self.expires),
        });
        if to_owner {
            shown["uploadToken"] = self.token.as_str().into();
        }
        shown
    }
}

impl StoredFile {
    /// `None` is a file whose body broke off: its entry stays, and can never be used.
    pub(super) fn new(name: String, content: Option<&[u8]>) -> Self {
        let bytes = content.unwrap_or_default();
        Self {
            id: random_text(16),
            name,
            status: content.map_or(Status::Uploading, |_| Status::Uploaded),
            kind: sniffed(bytes),
            md5: content.map(md5_hex).unwrap_or_default(),
            bytes: bytes.into(),
            created: SystemTime::now(),
        }
    }

    fn remove(&mut self) {
        self.status = Status::Removed;
        self.bytes = Arc::default();
    }

    fn not_available(&self) -> Refusal {
        let (name, id, status) = (&self.name, &self.id, self.status.name());
        Refusal::new(
            404,
            format!("file {name} ({id}) is not available : {status}"),
        )
    }

    pub(super) fn describe(&self) -> Value {
        json!({
            "id": self.id,
            "fileName": self.name,
            "status": self.status.name(),
            "fileMd5": self.md5,
            "fileType": self.kind,
            "fileSize": self.bytes.len(),
            "reference": "",
            "createdAt": rfc3339(self.created),
        })
    }
}

/// Plik API: errors. Once a download domain is set, no other host serves files.
fn check_host(call: &Call, domain: &str) -> Result<(), Refusal> {
    let host = call.header("Host").unwrap_or_default();
    let wanted = domain.split_once("://").map_or(domain, |(_, rest)| rest);
    let wanted = wanted.split('/').next().unwrap_or_default();
    if !wanted.is_empty() && wanted != host {
        return Err(Refusal::new(400, format!("Invalid download domain {host}")));
    }
    Ok(())
}

pub(super) fn forbidden(what: &str) -> Refusal {
    Refusal::new(403, format!("you are not allowed to {what}"))
}

fn random_text(length: usize) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    // Every `RandomState` has a key of its own: enough of a random source for a stand-in.
    let digit = || RandomState::new().hash_one(0) % DIGITS.len() as u64;
    (0..length)
        .map(|_| char::from(DIGITS[digit() as usize]))
        .collect()
}

fn md5_hex(bytes: &[u8]) -> String {
    let digest = Md5::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Plik API: the type is guessed from the first bytes, whatever the sender said.
fn sniffed(bytes: &[u8]) -> &'static str {
    let start = &bytes[..bytes.len().min(512)];
    let is_control = |byte: &u8| matches!(byte, 0..=8 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F);
    let text = String::from_utf8_lossy(start)
        .trim_start()
        .to_ascii_lowercase();
    if start.is_empty() {
        ""
    } else if text.starts_with("<!doctype html") || text.starts_with("<html") {
        HTML
    } else if start.iter().any(is_control) {
        BINARY
    } else {
        PLAIN_TEXT
    }
}

/// RFC 3339, in UTC. The date is counted from March, so that a leap day ends its year.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leaps = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era + year_of_era / 100 - year_of_era * 365 - year_of_era / 4;
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
