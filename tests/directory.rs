//! A folder as a store, and receivers of hostile links to it.

use std::fs::{self, File};
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::path::Path;
#[cfg(unix)]
use std::process::Command;
use std::time::Duration;

use natsbridge::adapter::{FileServer, SliceBody, VecSink};
use natsbridge::host::{StdPlatform, Store};
use natsbridge::memory::MemoryBroker;
use natsbridge::{
    Directory, Error, FileServerErrorKind as Kind, NatsBridge, Payload, SendOptions, contract,
};
use tempfile::TempDir;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn directory() -> (TempDir, Directory<StdPlatform>) {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::new(StdPlatform, folder.path().join("ü b")).unwrap();
    (folder, directory)
}

fn path(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("ü b")
}

fn names(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn it_keeps_the_contract_of_a_file_server() {
    let (_folder, mut directory) = directory();
    contract::file_server(&mut directory, true);
}

#[test]
fn a_failed_upload_leaves_nothing() {
    /// Says that each read gave so many of its 10 bytes.
    struct Wrong(usize);
    impl natsbridge::adapter::Body for Wrong {
        fn len(&self) -> u64 {
            10
        }
        fn read(&mut self, _: &mut [u8]) -> Result<usize, natsbridge::adapter::StreamError> {
            Ok(self.0)
        }
        fn rewind(&mut self) -> Result<(), natsbridge::adapter::StreamError> {
            Ok(())
        }
    }
    let (folder, mut directory) = directory();
    for count in [0, 11, usize::MAX] {
        let error = directory.upload("a", &mut Wrong(count)).unwrap_err();
        assert_eq!(error.kind(), Kind::Local);
        assert_eq!(names(&path(&folder)), 0);
    }
}

#[test]
fn links_lead_only_to_files_of_the_folder() {
    let (folder, mut directory) = directory();
    let upload = directory.upload("a", &mut SliceBody::new(b"abc")).unwrap();
    let (base, _) = upload.url.rsplit_once('/').unwrap();
    fs::write(folder.path().join(format!("{TOKEN}-secret")), "secret").unwrap();
    fs::write(path(&folder).join("secret"), "secret").unwrap();
    for url in [
        "file:///etc/passwd".to_string(),
        format!("{base}/secret"),
        format!("{base}/../{TOKEN}-secret"),
        format!("{base}/%2e%2e/{TOKEN}-secret"),
        format!("{base}/{TOKEN}-../secret"),
        format!("{base}/{TOKEN}-..%2fsecret"),
        format!("{base}//{TOKEN}-secret"),
        format!("{base}x/{TOKEN}-secret"),
        format!("{base}/.{TOKEN}.part"),
        format!("{base}/{}-ü", &TOKEN[..31]),
        upload.url.replace("file://", "FILE://localhost"),
        format!("{}?a", upload.url),
        base.to_string(),
        String::new(),
    ] {
        assert!(!directory.owns(&url), "{url}");
        let error = directory
            .download(&url, 100, &mut VecSink::new(1000))
            .unwrap_err();
        let is_expected = matches!(error.kind(), Kind::InvalidUrl | Kind::NotFound);
        assert!(is_expected, "{url}: {error:?}");
    }
}

/// What an attacker with access to the folder puts there under a name that it could have.
#[cfg(unix)]
#[test]
fn only_regular_files_are_read_and_no_more_than_the_limit() {
    let (folder, mut directory) = directory();
    let upload = directory.upload("a", &mut SliceBody::new(b"abc")).unwrap();
    let planted = path(&folder).join(format!("{TOKEN}-a"));
    let (base, _) = upload.url.rsplit_once('/').unwrap();
    let url = format!("{base}/{TOKEN}-a");
    let mut check = |kind: Kind| {
        let mut sink = VecSink::new(1000);
        let error = directory.download(&url, 1000, &mut sink).unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        fs::remove_file(&planted)
            .or_else(|_| fs::remove_dir(&planted))
            .unwrap();
    };
    symlink("/etc/passwd", &planted).unwrap();
    check(Kind::Local);
    symlink("/dev/zero", &planted).unwrap();
    check(Kind::Local);
    assert!(
        Command::new("mkfifo")
            .arg(&planted)
            .status()
            .unwrap()
            .success()
    );
    check(Kind::Local);
    fs::create_dir(&planted).unwrap();
    check(Kind::Local);
    File::create(&planted).unwrap().set_len(1 << 40).unwrap();
    check(Kind::TooLarge { limit: 1000 });
}

#[test]
fn old_files_are_removed_and_nothing_else() {
    let (folder, mut directory) = directory();
    directory.upload("a", &mut SliceBody::new(b"abc")).unwrap();
    fs::write(path(&folder).join(format!(".{TOKEN}.part")), "half").unwrap();
    fs::write(path(&folder).join("mine.txt"), "not a link").unwrap();
    let hour = Duration::from_secs(3600);
    assert_eq!(directory.remove_older_than(hour).unwrap(), 0);
    assert_eq!(directory.remove_older_than(Duration::MAX).unwrap(), 0);
    assert_eq!(directory.remove_older_than(Duration::ZERO).unwrap(), 2);
    assert!(path(&folder).join("mine.txt").exists());
}

#[test]
fn sender_and_receiver_share_a_folder_by_its_url() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}/shared%20files/", folder.path().display());
    let broker = MemoryBroker::new();
    let bridge = || NatsBridge::new(broker.clone(), Store::from_url(&url).unwrap(), StdPlatform);
    let (mut receiver, mut sender) = (bridge(), bridge());
    receiver.subscribe("/films", None).unwrap();
    let film = [("film", Payload::binary(vec![7; 1_000_000]))];
    let sent = sender
        .smartsend("/films", &film, &SendOptions::default())
        .unwrap();
    assert!(sent.uploads()[0].url.starts_with(&url));
    let received = receiver.next(Duration::ZERO).unwrap().unwrap();
    assert_eq!(received.bytes("film").unwrap(), [7; 1_000_000]);

    // Another folder's receiver fetches nothing of it.
    let elsewhere = Store::from_url(&format!("file://{}/other", folder.path().display())).unwrap();
    let mut stranger = NatsBridge::new(broker.clone(), elsewhere, StdPlatform);
    stranger.subscribe("/films", None).unwrap();
    sender
        .smartsend("/films", &film, &SendOptions::default())
        .unwrap();
    let refused = stranger.next(Duration::ZERO).unwrap_err();
    assert!(matches!(refused, Error::LinkRefused { .. }), "{refused:?}");
    for url in [
        "file://",
        "file://folder",
        "file:///a%zz",
        "file:///a?b",
        "file:///a#b",
    ] {
        assert!(Store::from_url(url).is_err(), "{url}");
    }
}
