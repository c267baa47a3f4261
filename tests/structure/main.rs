//! The structure of `src`, as `DESIGN.md` decides it: no circles between files, imports only downwards, files of
//! at most 400 lines and functions of at most 60, tests not counted.
//!
//! `cargo test --test structure -- --nocapture` prints the longest files and functions.

mod api;
mod imports;
mod source;

use std::collections::BTreeMap;
use std::path::Path;

use imports::{Graph, circles};
use source::Source;

/// Lines of a file, without its tests.
const MAX_FILE_LINES: usize = 400;
/// Lines of a function, from its name to its closing brace.
const MAX_FUNCTION_LINES: usize = 60;

/// The folders and files of `src`, from those that import to those that are imported. Those of one line
/// do not import each other.
const LAYERS: &[&[&str]] = &[
    &["lib"],
    &[
        "adapter", "board", "contract", "fuzzing", "guide", "host", "memory",
    ],
    &["bridge"],
    &["file_server", "message"],
    &["nats"],
    &["http"],
    &["address"],
    &["json", "net"],
    &["checksum"],
    &["platform", "stream"],
    &["cause", "percent", "timestamp", "trace"],
];

/// The public API, as it was when it was last reviewed.
const API: &str = "tests/structure/api.txt";

/// Name and text of every file of the library, by name.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            // The program is a crate of its own, which uses what all can use.
            if path.ends_with("src/bin") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((name.replace('\\', "/"), text));
            }
        }
    }
    assert!(files.len() > 50, "{} files", files.len());
    files.sort();
    files
}

fn sources() -> Vec<Source> {
    let parse = |(name, text): (String, String)| Source::parse(&name, &text);
    files().into_iter().map(parse).collect()
}

/// The layer of a file, by the name of its folder.
fn layer(file: &str) -> Option<usize> {
    let top = file.split(['/', '.']).next()?;
    LAYERS.iter().position(|names| names.contains(&top))
}

fn folder(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

fn is_downwards(importer: &str, imported: &str) -> bool {
    let same = folder(importer) == folder(imported);
    same || matches!((layer(importer), layer(imported)), (Some(above), Some(below)) if above < below && below > 1)
}

fn upwards(graph: &Graph) -> Vec<String> {
    let edges = graph.iter().flat_map(|(importer, imported)| {
        let importer = importer.as_str();
        imported
            .iter()
            .map(move |(imported, name)| (importer, imported.as_str(), name))
    });
    edges
        .filter(|(importer, imported, _)| !is_downwards(importer, imported))
        .map(|(importer, imported, name)| format!("{importer} imports {name} of {imported}"))
        .collect()
}

fn print_longest(
    what: &str,
    mut lengths: Vec<(usize, String)>,
    limit: usize,
) -> Vec<(usize, String)> {
    lengths.sort_by(|one, other| other.cmp(one));
    println!("The longest {what}, of {} at most:", limit);
    for (lines, name) in lengths.iter().take(10) {
        println!("{lines:5}  {name}");
    }
    lengths.retain(|(lines, _)| *lines > limit);
    lengths
}

#[test]
fn files_are_short() {
    let lengths = sources()
        .into_iter()
        .map(|source| (source.lines, source.name));
    let long = print_longest("files", lengths.collect(), MAX_FILE_LINES);
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn functions_are_short() {
    let sources = sources();
    let lengths = sources.iter().flat_map(|source| {
        let functions = source.functions.iter();
        functions.map(|(name, lines)| (*lines, format!("{name} in {}", source.name)))
    });
    let long = print_longest("functions", lengths.collect(), MAX_FUNCTION_LINES);
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_file_belongs_to_a_layer() {
    let sources = sources();
    let strangers = sources
        .iter()
        .filter(|source| layer(&source.name).is_none());
    let strangers: Vec<_> = strangers.map(|source| &source.name).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn folders_import_downwards() {
    let upwards = upwards(&imports::graph(&sources()));
    assert!(upwards.is_empty(), "{upwards:#?}");
}

#[test]
fn files_import_each_other_in_no_circle() {
    let graph = imports::graph(&sources());
    let edges: usize = graph.values().map(BTreeMap::len).sum();
    assert!(edges > 200, "{edges} imports were found");
    let circles = circles(&graph);
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn the_public_api_changes_only_on_purpose() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(API);
    let api = api::listing(&files());
    if std::env::var_os("UPDATE_API").is_some() {
        std::fs::write(&path, &api).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = |(api, known): &(&str, &str)| api != known;
    let first = api.lines().zip(known.lines()).find(differs);
    assert!(
        api == known,
        "the public API differs from {API}, first in {first:?}. If that is intended: \
         UPDATE_API=1 cargo test --test structure, a look at the difference, and a line in CHANGELOG.md"
    );
}

fn parsed(files: &[(&str, &str)]) -> Vec<Source> {
    files
        .iter()
        .map(|(name, text)| Source::parse(name, text))
        .collect()
}

#[test]
fn a_circle_is_found_through_re_exports_and_modules() {
    let files = [
        ("lib.rs", "mod bridge; mod json; pub use bridge::One;"),
        (
            "json/mod.rs",
            "mod number; pub(crate) use self::number::decimal;",
        ),
        (
            "json/number.rs",
            "fn decimal() { /* crate::bridge::One */ \"crate::bridge::One\"; }",
        ),
        (
            "bridge/mod.rs",
            "mod a; mod b; pub use self::a::One; pub use self::b::Two;",
        ),
        (
            "bridge/a.rs",
            "use super::b; use crate::json; struct One(b::Two); fn f() { json::decimal() }",
        ),
        (
            "bridge/b.rs",
            "struct Two; #[cfg(test)] mod tests { use crate::One; }",
        ),
    ];
    let graph = imports::graph(&parsed(&files));
    let a = graph["bridge/a.rs"].keys().collect::<Vec<_>>();
    assert_eq!(a, ["bridge/b.rs", "json/number.rs"]);
    assert_eq!((circles(&graph).len(), upwards(&graph).len()), (0, 0));

    let mut files = files;
    files[5].1 = "struct Two(crate::One);";
    files[2].1 = "use crate::bridge::{self, One as Other};";
    let graph = imports::graph(&parsed(&files));
    let found = circles(&graph);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("bridge/b.rs imports One of bridge/a.rs"),
        "{found:?}"
    );
    assert_eq!(
        upwards(&graph),
        ["json/number.rs imports One of bridge/a.rs"]
    );
}

#[test]
fn lines_are_counted_without_tests() {
    let text = "//! Doc.\nfn long(\n    a: [u8; 2],\n) {\n    '{'; \"}\\\"}\"; r#\"}\"\"#; // }\n}\n#[cfg(test)]\nuse x;\n\
        trait T {\n    fn none(&self);\n}\n\n#[cfg(test)]\nmod tests {\n    fn unseen() {}\n}\n";
    let source = Source::parse("x.rs", text);
    assert_eq!(source.functions, [("long".to_string(), 5)]);
    assert_eq!(source.lines, 10);
}
