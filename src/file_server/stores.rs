//! Several stores as one.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use super::{FileServer, FileServerError, FileServerErrorKind as Kind, Upload};
use crate::stream::{Body, Sink};

type Rule = Box<dyn Fn(&str, u64) -> bool + Send>;
type BoxedStore = Box<dyn FileServer + Send>;

/// Several stores as one: an upload goes to the store that a rule chooses by size or name, a download comes from whichever
/// store the link is of.
///
/// ```
/// use natsbridge::Stores;
/// use natsbridge::adapter::{FileServer as _, SliceBody};
/// use natsbridge::memory::MemoryFileServer;
///
/// // With `ObjectStore`, `S3` and `Directory`, say:
/// let mut stores = Stores::new(MemoryFileServer::new())
///     .when(|dataname, _| dataname.ends_with(".log"), MemoryFileServer::new())
///     .at_least(10_000_000, MemoryFileServer::new());
/// stores.upload("note", &mut SliceBody::new(b"to the first one"))?;
/// # Ok::<(), natsbridge::Error>(())
/// ```
pub struct Stores {
    /// The first one is for what no rule chooses.
    stores: Vec<(Rule, BoxedStore)>,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stores({})", self.stores.len())
    }
}

impl Stores {
    /// A store for what no rule chooses.
    pub fn new(store: impl FileServer + Send + 'static) -> Self {
        let rule: Rule = Box::new(|_, _| true);
        let store: BoxedStore = Box::new(store);
        Self {
            stores: vec![(rule, store)],
        }
    }

    /// A store for the payloads that `rule` chooses by `dataname` and size in bytes. Rules are tried in the order of these
    /// calls; the first one that returns true decides.
    #[must_use]
    pub fn when(
        mut self,
        rule: impl Fn(&str, u64) -> bool + Send + 'static,
        store: impl FileServer + Send + 'static,
    ) -> Self {
        self.stores.push((Box::new(rule), Box::new(store)));
        self
    }

    /// As [`when`](Self::when), for payloads of at least this size, in bytes.
    #[must_use]
    pub fn at_least(self, bytes: u64, store: impl FileServer + Send + 'static) -> Self {
        self.when(move |_, len| len >= bytes, store)
    }

    fn choose(&self, dataname: &str, len: u64) -> usize {
        let mut rules = self.stores.iter().skip(1);
        let chosen = rules.position(|(rule, _)| rule(dataname, len));
        chosen.map_or(0, |position| position + 1)
    }
}

/// Whether a store does not know such links.
fn is_foreign(error: &FileServerError) -> bool {
    matches!(error.kind(), Kind::InvalidUrl | Kind::Unsupported)
}

impl FileServer for Stores {
    fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        let chosen = self.choose(dataname, body.len());
        let mut upload = self.stores[chosen].1.upload(dataname, body)?;
        let key = upload.delete_key.unwrap_or_default();
        upload.delete_key = Some(format!("{chosen}:{key}"));
        Ok(upload)
    }

    /// From the store that owns the link, the first of them if several do: `Plik` and `HttpPut` own all links to their server,
    /// so that a store with a part of the same server stands before them. A link of none, which a [`LinkPolicy`](crate::LinkPolicy) allows, is fetched by
    /// the first store that knows such links.
    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        let mut stores = self.stores.iter_mut().map(|(_, store)| store);
        if let Some(owner) = stores.find(|store| store.owns(url)) {
            return owner.download(url, limit, sink);
        }
        let mut result = Err(FileServerError::unsupported("download"));
        for (_, store) in &mut self.stores {
            result = store.download(url, limit, sink);
            if !result.as_ref().is_err_and(is_foreign) {
                break;
            }
        }
        result
    }

    fn owns(&self, url: &str) -> bool {
        self.stores.iter().any(|(_, store)| store.owns(url))
    }

    fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
        let key = upload.delete_key.as_deref().unwrap_or_default();
        let (number, key) = key.split_once(':').unwrap_or_default();
        let number = number.parse().ok();
        let Some((_, store)) = number.and_then(|number: usize| self.stores.get_mut(number)) else {
            let message = "the upload is of none of these stores";
            return Err(FileServerError::new(Kind::InvalidUrl, message));
        };
        let mut upload = Upload::new(&*upload.url);
        upload.delete_key = (!key.is_empty()).then(|| key.into());
        store.delete(&upload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryFileServer;
    use crate::stream::{SliceBody, VecSink};
    use alloc::string::ToString as _;

    #[test]
    fn the_first_rule_that_matches_decides() {
        let logs = |name: &str, _| name.ends_with(".log");
        let stores = Stores::new(MemoryFileServer::new())
            .at_least(1000, MemoryFileServer::new())
            .when(logs, MemoryFileServer::new())
            .at_least(2000, MemoryFileServer::new());
        for (name, len, chosen) in [
            ("a", 0, 0),
            ("a", 999, 0),
            ("a", 1000, 1),
            ("a", 2000, 1),
            ("a.log", 999, 2),
            ("a.log", 1000, 1),
        ] {
            assert_eq!(stores.choose(name, len), chosen, "{name} of {len}");
        }
    }

    /// A store of one kind of URL, whose files have their own URL in them.
    struct Fixed(&'static str, Kind);

    impl FileServer for Fixed {
        fn upload(&mut self, _: &str, _: &mut dyn Body) -> Result<Upload, FileServerError> {
            Ok(Upload::new(self.0))
        }
        fn download(
            &mut self,
            url: &str,
            _: u64,
            _: &mut dyn Sink,
        ) -> Result<u64, FileServerError> {
            match self.owns(url) {
                true => Ok(7),
                false => Err(FileServerError::new(self.1, self.0)),
            }
        }
        fn owns(&self, url: &str) -> bool {
            url == self.0
        }
        fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
            assert_eq!((&*upload.url, &upload.delete_key), (self.0, &None));
            Ok(())
        }
    }

    #[test]
    fn a_link_of_no_store_goes_to_the_first_that_knows_such_links() {
        let mut stores = Stores::new(Fixed("a", Kind::InvalidUrl))
            .at_least(1, Fixed("b", Kind::NotFound))
            .at_least(2, Fixed("c", Kind::Timeout));
        let mut download = |url: &str| stores.download(url, 9, &mut VecSink::new(9));
        assert_eq!(download("c").unwrap(), 7);
        let error = download("d").unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (Kind::NotFound, "b"));
        assert!(stores.owns("b") && !stores.owns("d"));
    }

    #[test]
    fn an_upload_is_deleted_where_it_was_stored() {
        let mut stores =
            Stores::new(Fixed("a", Kind::NotFound)).at_least(1, Fixed("b", Kind::NotFound));
        for (body, url) in [("", "a"), ("x", "b")] {
            let upload = stores.upload("n", &mut SliceBody::new(body.as_bytes()));
            let upload = upload.unwrap();
            assert_eq!(upload.url, url);
            stores.delete(&upload).unwrap();
        }
        for key in [None, Some("2:"), Some("b"), Some("-1:x")] {
            let mut upload = Upload::new("a");
            upload.delete_key = key.map(Into::into);
            assert_eq!(stores.delete(&upload).unwrap_err().kind(), Kind::InvalidUrl);
        }
    }
}
