//! The Object Store, both ways with nats-py. The test makes an environment for it where python3 and pip
//! can get it; elsewhere it says loudly that it was skipped.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use natsbridge::BucketOptions;
use natsbridge::adapter::{SliceBody, VecSink};

use crate::common::bytes;
use crate::common::nats_server::NatsServer;
use crate::store;

const SCRIPT: &str = r#"
import asyncio, sys, nats

async def main(url, action, bucket, *names):
    client = await nats.connect(url)
    js = client.jetstream()
    if action == "create":
        await js.create_object_store(bucket)
        return
    store = await js.object_store(bucket)
    if action == "put":
        await store.put(names[0], open(names[1], "rb").read())
    elif action == "get":
        open(names[1], "wb").write((await store.get(names[0])).data)
    elif action == "delete":
        await store.delete(names[0])
    elif action == "list":
        for info in await store.list(ignore_deletes=True):
            sys.stdout.buffer.write((info.name + "\n").encode())
    await client.close()

asyncio.run(main(*sys.argv[1:]))
"#;

/// A Python that has nats-py; `None` where that cannot be had.
fn python() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nats-py");
    let python = dir.join("bin/python");
    let has_it = || run(&python, &["-c", "import nats.js.object_store"]).is_ok();
    if has_it() {
        return Some(python);
    }
    let made = run(
        Path::new("python3"),
        &["-m", "venv", &dir.to_string_lossy()],
    )
    .and_then(|()| {
        let pip = [
            "-m",
            "pip",
            "install",
            "--timeout",
            "10",
            "--retries",
            "1",
            "nats-py",
        ];
        run(&python, &pip)
    });
    match made {
        Ok(()) if has_it() => Some(python),
        failed => {
            eprintln!("SKIPPED: the Object Store was not tested with nats-py: {failed:?}");
            None
        }
    }
}

fn run(program: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn objects_are_the_same_for_an_official_client() {
    let Some(python) = python() else {
        return;
    };
    let server = NatsServer::start_jetstream();
    let url = server.url();
    let official = |arguments: &[&str]| -> Output {
        let mut command = Command::new(&python);
        command.args(["-c", SCRIPT, &url]).args(arguments);
        let output = command.output().expect("start Python");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {log}");
        output
    };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("file");
    let path = file.to_str().expect("UTF-8");

    // Whoever has made the bucket, the other one uses it.
    let mut ours = store(&url, "ours");
    ours.create_bucket(&BucketOptions::default()).unwrap();
    official(&["create", "theirs"]);
    let mut theirs = store(&url, "theirs");
    theirs.create_bucket(&BucketOptions::default()).unwrap();

    let sizes = [
        ("empty", 0),
        ("one", 1),
        ("chunk", 131_072),
        ("chunk and one", 131_073),
        ("dir/\u{e4}\u{f6}\u{fc} \u{4f60}.bin", 3_000_000),
        ("large", 50_000_000),
    ];
    for (bucket, store) in [("ours", &mut ours), ("theirs", &mut theirs)] {
        for (name, len) in sizes {
            let content = bytes(len);
            store.put(name, &mut SliceBody::new(&content)).unwrap();
            official(&["get", bucket, name, path]);
            assert!(
                std::fs::read(&file).unwrap() == content,
                "{bucket} {name}: got"
            );

            // It is replaced by another one, and comes back.
            let content: Vec<_> = content.into_iter().rev().chain([7]).collect();
            std::fs::write(&file, &content).unwrap();
            official(&["put", bucket, name, path]);
            let mut sink = VecSink::new(60_000_000);
            store.get(name, 60_000_000, &mut sink).unwrap();
            assert!(sink.into_bytes() == content, "{bucket} {name}: put");
        }
        official(&["delete", bucket, "one"]);
        assert_eq!(store.info("one").unwrap(), None);
        assert!(store.remove("chunk").unwrap());
        let list = official(&["list", bucket]).stdout;
        let list = String::from_utf8(list).unwrap();
        let mut names: Vec<_> = list.lines().collect();
        let listed = store.list().unwrap();
        let mut own: Vec<_> = listed.iter().map(|info| &*info.name).collect();
        names.sort_unstable();
        own.sort_unstable();
        assert_eq!(names, own, "{bucket}");
        assert_eq!(own.len(), sizes.len() - 2, "{own:?}");
    }
}
