//! `natsbridge completions` and `natsbridge man`: what is generated from the flags.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, ValueHint};
use clap_complete::Shell;

use crate::Cli;
use crate::failure::{Failure, while_doing};

/// Prints completions for a shell.
///
/// For bash: natsbridge completions bash > ~/.local/share/bash-completion/completions/natsbridge
#[derive(Args)]
pub(crate) struct CompletionsArgs {
    shell: Shell,
}

/// Prints the manual page.
///
/// To read it: natsbridge man | man -l -
#[derive(Args)]
pub(crate) struct ManArgs {
    /// Write the pages of all subcommands into this folder, which is made
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: Option<PathBuf>,
}

pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "natsbridge", &mut script);
    Ok(print_all(&script)?)
}

pub(crate) fn man(args: &ManArgs) -> Result<(), Failure> {
    let Some(dir) = &args.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        return Ok(print_all(&page)?);
    };
    let written =
        fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
    written.map_err(|error| while_doing(format!("cannot write to {}", dir.display()), error))
}

fn print_all(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
