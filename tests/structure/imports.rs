//! Which file imports what of which. A re-export is no import, unless the file uses the name itself: what is
//! imported through it is imported of the file that defines it.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, Token};

/// For each file, the files that it imports of, and one name that it imports of each.
pub type Graph = BTreeMap<String, BTreeMap<String, String>>;

type Path = Vec<String>;

#[derive(Default)]
struct Module {
    file: String,
    children: BTreeSet<String>,
    /// Names that `use` brings, and what they stand for.
    names: BTreeMap<String, Path>,
    /// Those that are for the file alone.
    private: Vec<Path>,
    /// Paths in the code, without those of `use`.
    paths: Vec<Path>,
}

/// What a path leads to.
enum Found {
    Module,
    /// Something that this file defines.
    Item(String),
}

pub fn graph(sources: &[Source]) -> Graph {
    let modules = Modules::new(sources);
    let mut graph = Graph::new();
    for (place, module) in &modules.0 {
        let edges = graph.entry(module.file.clone()).or_default();
        for path in module.private.iter().chain(&module.paths) {
            let Some(Found::Item(file)) = modules.find(place, path, 0) else {
                continue;
            };
            if file != module.file {
                edges
                    .entry(file)
                    .or_insert_with(|| path.last().cloned().unwrap_or_default());
            }
        }
    }
    graph
}

/// Modules by their paths, without `crate`.
struct Modules(BTreeMap<Path, Module>);

impl Modules {
    fn new(sources: &[Source]) -> Self {
        let mut modules = BTreeMap::new();
        for source in sources {
            modules.insert(place(&source.name), read_module(source));
        }
        let places: Vec<Path> = modules.keys().cloned().collect();
        for place in places {
            if let Some((name, parent)) = place.split_last()
                && let Some(parent) = modules.get_mut(parent)
            {
                parent.children.insert(name.clone());
            }
        }
        Self(modules)
    }

    /// What `path` leads to from the module at `from`; `None` for other crates and local names.
    fn find(&self, from: &[String], path: &[String], depth: usize) -> Option<Found> {
        let (first, rest) = path.split_first()?;
        if depth > 20 {
            return None;
        }
        match first.as_str() {
            "crate" => self.within(Vec::new(), rest, depth),
            "self" => self.within(from.to_vec(), rest, depth),
            "super" => self.find_above(from, rest, depth),
            _ => {
                let module = self.0.get(from)?;
                let is_known = module.children.contains(first) || module.names.contains_key(first);
                is_known
                    .then(|| self.within(from.to_vec(), path, depth))
                    .flatten()
            }
        }
    }

    fn find_above(&self, from: &[String], rest: &[String], depth: usize) -> Option<Found> {
        let (_, above) = from.split_last()?;
        match rest.first().map(String::as_str) {
            Some("super") => self.find_above(above, &rest[1..], depth),
            _ => self.within(above.to_vec(), rest, depth),
        }
    }

    fn within(&self, mut place: Path, path: &[String], depth: usize) -> Option<Found> {
        for (index, name) in path.iter().enumerate() {
            let module = self.0.get(&place)?;
            let rest = &path[index + 1..];
            let is_child = module.children.contains(name);
            match module.names.get(name) {
                // A module and a function may have one name.
                Some(target) if !is_child || rest.is_empty() => {
                    let target = [target.as_slice(), rest].concat();
                    return self.find(&place, &target, depth + 1);
                }
                _ if is_child => place.push(name.clone()),
                _ => return Some(Found::Item(module.file.clone())),
            }
        }
        Some(Found::Module)
    }
}

/// The path of the module that is in that file.
fn place(file: &str) -> Path {
    let name = file.strip_suffix(".rs").unwrap_or(file);
    let name = name.strip_suffix("/mod").unwrap_or(name);
    let parts = name.split('/').map(String::from);
    parts.filter(|part| part != "lib").collect()
}

fn read_module(source: &Source) -> Module {
    let mut module = Module {
        file: source.name.clone(),
        ..Module::default()
    };
    let (tokens, mut at) = (&source.tokens, 0);
    while at < tokens.len() {
        if tokens[at].text == "use" && !is_behind(tokens, at, "::") {
            let is_private = !is_public(tokens, at);
            at += 1;
            let mut leaves = Vec::new();
            read_use(tokens, &mut at, &[], &mut leaves);
            for (name, path) in leaves {
                if is_private {
                    module.private.push(path.clone());
                }
                module.names.insert(name, path);
            }
        } else if tokens[at].is_word()
            && !is_behind(tokens, at, ".")
            && !is_behind(tokens, at, "::")
        {
            module.paths.push(read_path(tokens, &mut at));
        } else {
            at += 1;
        }
    }
    module
}

fn is_behind(tokens: &[Token], at: usize, mark: &str) -> bool {
    at > 0 && tokens[at - 1].text == mark
}

/// `pub use` and `pub(crate) use`.
fn is_public(tokens: &[Token], at: usize) -> bool {
    is_behind(tokens, at, "pub") || is_behind(tokens, at, ")")
}

fn read_path(tokens: &[Token], at: &mut usize) -> Path {
    let mut path = vec![tokens[*at].text.clone()];
    *at += 1;
    while let [mark, word, ..] = &tokens[*at..]
        && mark.text == "::"
        && word.is_word()
    {
        path.push(word.text.clone());
        *at += 2;
    }
    path
}

/// Reads one branch of a `use`, up to the comma, brace or semicolon behind it.
fn read_use(tokens: &[Token], at: &mut usize, before: &[String], leaves: &mut Vec<(String, Path)>) {
    let mut path = before.to_vec();
    while let Some(token) = tokens.get(*at) {
        match &*token.text {
            "{" => {
                read_group(tokens, at, &path, leaves);
                return;
            }
            "}" | "," | ";" => break,
            "as" => {
                leaves.push((tokens[*at + 1].text.clone(), path));
                *at += 2;
                return;
            }
            "self" if !before.is_empty() => {}
            "::" => {}
            _ => path.push(token.text.clone()),
        }
        *at += 1;
    }
    if let Some(name) = path.last() {
        leaves.push((name.clone(), path.clone()));
    }
}

fn read_group(tokens: &[Token], at: &mut usize, path: &[String], leaves: &mut Vec<(String, Path)>) {
    *at += 1;
    while tokens[*at].text != "}" {
        read_use(tokens, at, path, leaves);
        *at += usize::from(tokens[*at].text == ",");
    }
    *at += 1;
}

/// The groups of files that import each other, each as its imports.
pub fn circles(graph: &Graph) -> Vec<String> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = graph
        .keys()
        .map(|file| (file, reach(graph, file)))
        .collect();
    let is_in_circle = |one: &String, other: &String| {
        let leads =
            |from: &String, to: &String| reached.get(from).is_some_and(|all| all.contains(to));
        leads(one, other) && leads(other, one)
    };
    let mut groups: BTreeMap<&String, Vec<String>> = BTreeMap::new();
    for (importer, imported) in graph {
        for (imported, name) in imported {
            if is_in_circle(importer, imported) {
                let first = graph.keys().find(|file| is_in_circle(file, importer));
                let group = groups.entry(first.unwrap_or(importer)).or_default();
                group.push(format!("{importer} imports {name} of {imported}"));
            }
        }
    }
    groups
        .into_values()
        .map(|imports| imports.join("\n"))
        .collect()
}

/// All files that can be reached by imports of `file`.
fn reach<'g>(graph: &'g Graph, file: &String) -> BTreeSet<&'g String> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![file]);
    while let Some(file) = next.pop() {
        for imported in graph.get(file).into_iter().flat_map(BTreeMap::keys) {
            if let Some((key, _)) = graph.get_key_value(imported)
                && reached.insert(key)
            {
                next.push(key);
            }
        }
    }
    reached
}
