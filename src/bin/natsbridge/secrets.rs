//! Secrets: from a flag, a file or an environment variable.
//!
//! Other users of a machine can see the arguments of a program, so each secret has the other two ways as well.

use std::collections::BTreeMap;
use std::env::{self, VarError};
use std::fs;
use std::path::PathBuf;

use clap::parser::ArgMatches;
use clap::{Arg, Args, Command, FromArgMatches, ValueHint, value_parser};

use crate::failure::{Failure, usage, while_doing};

const NATS: &str = "NATS server";
const STORE: &str = "Store";

/// Of the flags in this group only one may be given.
const CREDENTIALS: &str = "credentials";

/// One secret and its flags, `--<id>` and `--<id>-file`.
struct Kind {
    id: &'static str,
    file: &'static str,
    value: &'static str,
    variable: &'static str,
    heading: &'static str,
    group: Option<&'static str>,
    help: &'static str,
}

const KINDS: [Kind; 7] = [
    Kind {
        id: "password",
        file: "password-file",
        value: "PASSWORD",
        variable: "NATSBRIDGE_PASSWORD",
        heading: NATS,
        group: None,
        help: "The password of --user",
    },
    Kind {
        id: "token",
        file: "token-file",
        value: "TOKEN",
        variable: "NATSBRIDGE_TOKEN",
        heading: NATS,
        group: Some(CREDENTIALS),
        help: "The token that the server expects",
    },
    Kind {
        id: "nkey",
        file: "nkey-file",
        value: "SEED",
        variable: "NATSBRIDGE_NKEY",
        heading: NATS,
        group: Some(CREDENTIALS),
        help: "The seed of a user's nkey, SU...",
    },
    Kind {
        id: "basic-auth",
        file: "basic-auth-file",
        value: "USER:PASSWORD",
        variable: "NATSBRIDGE_BASIC_AUTH",
        heading: STORE,
        group: None,
        help: "HTTP Basic credentials for the file server, sent to no other",
    },
    Kind {
        id: "header",
        file: "header-file",
        value: "NAME: VALUE",
        variable: "NATSBRIDGE_HEADER",
        heading: STORE,
        group: None,
        help: "A header field with credentials for the file server, sent to no other",
    },
    Kind {
        id: "plik-token",
        file: "plik-token-file",
        value: "TOKEN",
        variable: "NATSBRIDGE_PLIK_TOKEN",
        heading: STORE,
        group: None,
        help: "Plik: the user token, for uploads to an account",
    },
    Kind {
        id: "plik-login",
        file: "plik-login-file",
        value: "LOGIN:PASSWORD",
        variable: "NATSBRIDGE_PLIK_LOGIN",
        heading: STORE,
        group: None,
        help: "Plik: protects uploads; the receiver needs the same",
    },
];

/// The flags of secrets, as far as they are given. There is no `Debug`: nothing may print them.
#[derive(Default)]
pub(crate) struct Secrets(BTreeMap<&'static str, Source>);

enum Source {
    Given(String),
    File(PathBuf),
}

impl Secrets {
    /// Whether a flag says it, be it the secret itself or its file.
    pub(crate) fn has_flag(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// The secret by its flags, else by its environment variable.
    pub(crate) fn read(&self, id: &str) -> Result<Option<String>, Failure> {
        match self.0.get(id) {
            Some(Source::Given(secret)) => Ok(Some(secret.clone())),
            Some(Source::File(path)) => {
                let doing = || format!("cannot read --{id}-file {}", path.display());
                let text = fs::read_to_string(path).map_err(|error| while_doing(doing(), error))?;
                // Editors end a file with a line end, which is no part of the secret.
                Ok(Some(text.trim_end_matches(['\r', '\n']).to_string()))
            }
            None => match KINDS.iter().find(|kind| kind.id == id) {
                Some(kind) => variable(kind.variable),
                None => Ok(None),
            },
        }
    }

    /// A secret with a separator in it, and its two halves.
    pub(crate) fn read_pair(
        &self,
        id: &str,
        separator: char,
    ) -> Result<Option<(String, String)>, Failure> {
        let Some(secret) = self.read(id)? else {
            return Ok(None);
        };
        let (left, right) = secret
            .split_once(separator)
            .ok_or_else(|| usage(format!("--{id} has no `{separator}` in its value")))?;
        Ok(Some((left.to_string(), right.to_string())))
    }
}

/// An environment variable; none if it is empty.
pub(crate) fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(usage(format!("{name} is not UTF-8"))),
    }
}

impl Kind {
    fn args(&self) -> [Arg; 2] {
        let help = format!("{} [env: {}]", self.help, self.variable);
        let secret = Arg::new(self.id).long(self.id).value_name(self.value);
        let file = Arg::new(self.file).long(self.file).value_name("FILE");
        [
            secret.help(help).conflicts_with(self.file),
            file.value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .help(format!("The file that holds what --{} expects", self.id)),
        ]
        .map(|arg| arg.help_heading(self.heading).groups(self.group))
    }
}

impl Args for Secrets {
    fn augment_args(command: Command) -> Command {
        command.args(KINDS.iter().flat_map(Kind::args))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Secrets {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found = BTreeMap::new();
        for kind in &KINDS {
            if let Some(secret) = matches.get_one::<String>(kind.id) {
                found.insert(kind.id, Source::Given(secret.clone()));
            } else if let Some(path) = matches.get_one::<PathBuf>(kind.file) {
                found.insert(kind.id, Source::File(path.clone()));
            }
        }
        Ok(Self(found))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
