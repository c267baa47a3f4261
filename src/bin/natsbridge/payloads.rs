//! Payloads from flags: `--text`, `--json` and `--file`, in the order in which they were given.

use std::fs;
use std::path::{Path, PathBuf};

use clap::parser::ArgMatches;
use clap::{Arg, ArgAction, Args, Command, FromArgMatches};
use natsbridge::{Json, Payload, PayloadType};

use crate::failure::{Failure, chain, while_doing};

/// The payload flags in their order. clap's derive sorts by flag, so this is done by hand.
#[derive(Default)]
pub(crate) struct PayloadArgs(Vec<NamedSource>);

#[derive(Clone)]
struct NamedSource {
    name: String,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Given(Payload<'static>),
    File(PayloadType, PathBuf),
}

/// A payload and its name.
pub(crate) type Named<'a> = (&'a str, Payload<'static>);

impl PayloadArgs {
    /// All payloads in order. What has to be checked is read now; other files are read when they are
    /// sent, in chunks if they go to the store.
    pub(crate) fn load(&self) -> Result<Vec<Named<'_>>, Failure> {
        self.0.iter().map(NamedSource::load).collect()
    }
}

impl NamedSource {
    fn load(&self) -> Result<Named<'_>, Failure> {
        let payload = match &self.source {
            Source::Given(payload) => payload.clone(),
            Source::File(kind, path) => load_file(*kind, path).map_err(|error| {
                while_doing(format!("cannot send {} as {kind}", path.display()), error)
            })?,
        };
        Ok((&self.name, payload))
    }
}

fn load_file(kind: PayloadType, path: &Path) -> Result<Payload<'static>, Failure> {
    use PayloadType::{Dictionary, JsonTable, Text};
    Ok(match kind {
        Text | Dictionary | JsonTable => Payload::deserialize(kind, fs::read(path)?.into())?,
        _ => Payload::file(path, kind)?,
    })
}

const FLAGS: [&str; 3] = ["text", "json", "file"];

impl Args for PayloadArgs {
    fn augment_args(command: Command) -> Command {
        let flag = |id, value, help: &str| {
            let arg = Arg::new(id).long(id).value_name(value);
            arg.help(help.to_string())
                .action(ArgAction::Append)
                .help_heading("Payloads (repeat and mix them; they keep their order)")
        };
        let file_help = format!("A file; NAME has no `=`, TYPE is one of {}", types());
        command
            .arg(flag("text", "NAME=VALUE", "A text").value_parser(text))
            .arg(flag("json", "NAME=JSON", "A dictionary, as JSON").value_parser(json))
            .arg(flag("file", "NAME:TYPE=PATH", &file_help).value_parser(file))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for PayloadArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found: Vec<(usize, NamedSource)> = Vec::new();
        for flag in FLAGS {
            let places = matches.indices_of(flag).into_iter().flatten();
            let values = matches.get_many(flag).into_iter().flatten().cloned();
            found.extend(places.zip(values));
        }
        found.sort_by_key(|(place, _)| *place);
        Ok(Self(found.into_iter().map(|(_, source)| source).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn text(flag: &str) -> Result<NamedSource, Failure> {
    let (name, value) = flag.split_once('=').ok_or("NAME=VALUE is expected")?;
    Ok(given(name, Payload::text(value.to_string())))
}

fn json(flag: &str) -> Result<NamedSource, Failure> {
    let (name, value) = flag.split_once('=').ok_or("NAME=JSON is expected")?;
    // clap shows the error itself, not its cause.
    let value = Json::from_text(value.to_string()).map_err(|error| chain(&error))?;
    Ok(given(name, Payload::Dictionary(value)))
}

fn given(name: &str, payload: Payload<'static>) -> NamedSource {
    NamedSource {
        name: name.to_string(),
        source: Source::Given(payload),
    }
}

fn file(flag: &str) -> Result<NamedSource, Failure> {
    let split = flag.split_once('=').and_then(|(left, path)| {
        let (name, kind) = left.rsplit_once(':')?;
        Some((name, kind, path))
    });
    let (name, kind, path) = split.ok_or("NAME:TYPE=PATH is expected")?;
    Ok(NamedSource {
        name: name.to_string(),
        source: Source::File(payload_type(kind)?, path.into()),
    })
}

/// Parses the name of a payload type.
pub(crate) fn payload_type(name: &str) -> Result<PayloadType, Failure> {
    let known = PayloadType::from_name(name);
    Ok(known.ok_or_else(|| format!("`{name}` is not one of the types {}", types()))?)
}

fn types() -> String {
    PayloadType::ALL.map(PayloadType::as_str).join(", ")
}
