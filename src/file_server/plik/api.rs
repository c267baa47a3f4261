//! Requests to Plik and its responses.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::file_server::error::check_url;
use crate::file_server::{FileServerError, FileServerErrorKind};
use crate::json::writer::ObjectWriter;
use crate::json::{self, JsonError};

/// The options that `POST /upload` asks for.
#[derive(Clone, Default)]
pub(super) struct NewUpload {
    pub(super) one_shot: bool,
    pub(super) removable: bool,
    pub(super) ttl: Option<u64>,
    pub(super) login: Option<String>,
    pub(super) password: Option<String>,
}

impl NewUpload {
    /// The body of `POST /upload`.
    pub(super) fn json(&self) -> Vec<u8> {
        let mut object = ObjectWriter::new()
            .flag("oneShot", self.one_shot)
            .flag("removable", self.removable);
        if let Some(ttl) = self.ttl {
            object = object.number("ttl", ttl);
        }
        for (key, text) in [("login", &self.login), ("password", &self.password)] {
            if let Some(text) = text {
                object = object.text(key, text);
            }
        }
        object.finish()
    }
}

/// The response to `POST /upload`.
pub(super) struct Created {
    pub(super) id: String,
    pub(super) upload_token: String,
    pub(super) download_domain: String,
    pub(super) stream: bool,
    one_shot: Option<bool>,
    removable: Option<bool>,
    ttl: Option<i64>,
    is_protected: Option<bool>,
}

impl Created {
    pub(super) fn parse(answer: &str) -> Result<Self, JsonError> {
        let (mut id, mut upload_token) = (None, None);
        let mut created = Self {
            id: String::new(),
            upload_token: String::new(),
            download_domain: String::new(),
            stream: false,
            one_shot: None,
            removable: None,
            ttl: None,
            is_protected: None,
        };
        json::read_object(answer, &mut |key, value| {
            match key {
                "id" => id = Some(value.text()?.into_owned()),
                "uploadToken" => upload_token = Some(value.text()?.into_owned()),
                "downloadDomain" => created.download_domain = value.text()?.into_owned(),
                "stream" => created.stream = value.boolean()?,
                "oneShot" => created.one_shot = value.skip()?.parse().ok(),
                "removable" => created.removable = value.skip()?.parse().ok(),
                "protectedByPassword" => created.is_protected = value.skip()?.parse().ok(),
                "ttl" => created.ttl = value.skip()?.parse().ok(),
                _ => drop(value.skip()?),
            }
            Ok(())
        })?;
        created.id = required(answer, id, "id")?;
        created.upload_token = required(answer, upload_token, "uploadToken")?;
        Ok(created)
    }

    /// A server may be configured to override options. An option that the response lacks is as requested.
    pub(super) fn check_options(&self, asked: &NewUpload) -> Result<(), FileServerError> {
        let overridden = |what: &str, kept: &dyn fmt::Display, asked: &dyn fmt::Display| {
            let message =
                format!("the server overrides an option: {what} is {kept}, requested was {asked}");
            FileServerError::new(FileServerErrorKind::Mismatch, message)
        };
        for (what, kept, asked) in [
            ("one-shot", self.one_shot, asked.one_shot),
            ("removable", self.removable, asked.removable),
            (
                "password protection",
                self.is_protected,
                asked.password.is_some(),
            ),
        ] {
            if let Some(kept) = kept.filter(|kept| *kept != asked) {
                return Err(overridden(what, &kept, &asked));
            }
        }
        match (self.ttl, asked.ttl) {
            (Some(kept), Some(asked)) if u64::try_from(kept) != Ok(asked) => {
                Err(overridden("the time to live in seconds", &kept, &asked))
            }
            _ => Ok(()),
        }
    }

    /// Id and token go into headers and into the key to delete by, the domain into messages: none of
    /// them may say more than it should, or lead nowhere.
    pub(super) fn is_usable(&self) -> bool {
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let domain = self.download_domain.as_str();
        let is_origin = || check_url("", domain).is_ok();
        !self.id.is_empty()
            && is_plain(&self.id)
            && is_plain(&self.upload_token)
            && (domain.is_empty() || is_origin())
    }
}

/// The response to `POST /file/<upload id>`.
pub(super) struct Added {
    pub(super) id: String,
    pub(super) file_name: String,
    pub(super) file_size: u64,
    pub(super) file_md5: String,
}

impl Added {
    pub(super) fn parse(answer: &str) -> Result<Self, JsonError> {
        let (mut id, mut file_name, mut file_size, mut file_md5) = (None, None, None, None);
        json::read_object(answer, &mut |key, value| {
            match key {
                "id" => id = Some(value.text()?.into_owned()),
                "fileName" => file_name = Some(value.text()?.into_owned()),
                "fileSize" => file_size = Some(value.unsigned()?),
                "fileMd5" => file_md5 = Some(value.text()?.into_owned()),
                _ => drop(value.skip()?),
            }
            Ok(())
        })?;
        Ok(Self {
            id: required(answer, id, "id")?,
            file_name: required(answer, file_name, "fileName")?,
            file_size: required(answer, file_size, "fileSize")?,
            file_md5: required(answer, file_md5, "fileMd5")?,
        })
    }
}

fn required<T>(answer: &str, value: Option<T>, field: &'static str) -> Result<T, JsonError> {
    value.ok_or(JsonError::Unexpected {
        at: answer.len(),
        expected: field,
    })
}
