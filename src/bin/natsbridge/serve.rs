//! `natsbridge serve`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use natsbridge::{
    Error, Message, Payload, PayloadType, ReceiveOptions, Received, SendOptions, log_trace,
};

use crate::command::Program;
use crate::connection::{Bridge, Connection, seconds};
use crate::envelope::LinkArgs;
use crate::failure::{Failure, chain, print_status, report};
use crate::payloads::payload_type;
use crate::service::{Service, Until, serve as serve_all};

/// Answers requests by the output of a command.
///
/// The command runs once for each request, one after the other; several `serve` in one --queue group share the
/// work. It gets a payload of the request on stdin, and NATSBRIDGE_SUBJECT, NATSBRIDGE_CORRELATION_ID,
/// NATSBRIDGE_MSG_ID and NATSBRIDGE_SENDER_NAME in its environment. What it writes to stdout is the answer. If it
/// fails, the answer has the purpose NACK and a text `error`. Prints `ready` on stderr once it is subscribed; a bad
/// request is reported on stderr and ends nothing.
///
/// For example: natsbridge serve --subject /upper -- tr a-z A-Z
#[derive(Args)]
pub(crate) struct ServeArgs {
    /// The subject to listen to; `*` stands for one token, `>` for all that follow
    #[arg(long)]
    subject: String,

    /// The queue group, of whose members only one gets each request [default: none]
    #[arg(long, value_name = "GROUP")]
    queue: Option<String>,

    /// End with 0 after so many requests, good or bad [default: never]
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// Answer with the payloads of the request, and run no command
    #[arg(long, conflicts_with_all = ["input", "answer_name", "answer_type", "command_timeout"])]
    echo: bool,

    /// The payload that the command reads [default: the first]
    #[arg(long, value_name = "NAME")]
    input: Option<String>,

    /// The name of the answer's payload
    #[arg(long, value_name = "NAME", default_value = "answer")]
    answer_name: String,

    /// The type of the answer's payload
    #[arg(long, value_name = "TYPE", default_value = "text", value_parser = payload_type)]
    answer_type: PayloadType,

    /// How long the command may run; then it is killed
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    command_timeout: Duration,

    /// An answer of this many bytes or more goes to the store
    #[arg(long, value_name = "BYTES", default_value_t = natsbridge::DEFAULT_SIZE_THRESHOLD)]
    threshold: usize,

    /// The command and its arguments, behind `--`
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "echo")]
    command: Vec<OsString>,

    #[command(flatten)]
    links: LinkArgs,

    #[command(flatten)]
    connection: Connection,
}

/// Does what the flags say.
pub(crate) fn serve(args: &ServeArgs) -> Result<(), Failure> {
    let answer_options = SendOptions::default().sender_name("natsbridge serve");
    let mut answerer = Answerer {
        args,
        program: (!args.echo).then(|| Program::new(&args.command, args.command_timeout)),
        receive: args.links.options()?,
        send: answer_options
            .size_threshold(args.threshold)
            .timeout(args.connection.timeout),
    };
    let bridge = args.connection.connect()?;
    let mut bridge = bridge.with_limits(args.links.limits());
    bridge.subscribe(&args.subject, args.queue.as_deref())?;
    print_status("ready");
    let until = Until {
        count: args.count,
        idle: None,
    };
    serve_all(&mut bridge, until, &mut answerer)
}

struct Answerer<'a> {
    args: &'a ServeArgs,
    /// None to echo.
    program: Option<Program>,
    receive: ReceiveOptions,
    send: SendOptions,
}

impl Answerer<'_> {
    fn answer(&self, bridge: &mut Bridge, message: Message) -> Result<(), Failure> {
        let request = bridge.smartreceive(message, &self.receive)?;
        let Some(program) = &self.program else {
            bridge.reply(&request, &request.list(), &self.send)?;
            return Ok(());
        };
        match self.run(program, &request) {
            Ok(answer) => {
                let data = [(self.args.answer_name.as_str(), answer)];
                bridge.reply(&request, &data, &self.send)?;
                Ok(())
            }
            Err(failure) => {
                let data = [("error", Payload::text(chain(&*failure)))];
                let options = self.send.clone().msg_purpose("NACK");
                bridge.reply(&request, &data, &options)?;
                Err(failure)
            }
        }
    }

    fn run(&self, program: &Program, request: &Received) -> Result<Payload<'static>, Failure> {
        let envelope = &request.envelope;
        let input = match (&self.args.input, request.payloads.first()) {
            (Some(name), _) => request.bytes(name).map_err(Error::from)?,
            (None, Some((_, payload))) => payload.as_bytes().unwrap_or_default(),
            (None, None) => &[],
        };
        log_trace(&envelope.correlation_id, "running the command");
        let output = program.run(
            input,
            &[
                ("NATSBRIDGE_SUBJECT", request.subject()),
                ("NATSBRIDGE_CORRELATION_ID", &envelope.correlation_id),
                ("NATSBRIDGE_MSG_ID", &envelope.msg_id),
                ("NATSBRIDGE_SENDER_NAME", &envelope.sender_name),
            ],
        )?;
        Ok(Payload::deserialize(self.args.answer_type, output.into())?)
    }
}

impl Service for Answerer<'_> {
    fn message(&mut self, bridge: &mut Bridge, message: Message) -> Result<(), Failure> {
        if let Err(failure) = self.answer(bridge, message) {
            report(&*failure);
        }
        Ok(())
    }

    fn broker_error(&mut self, error: &Error) -> Result<(), Failure> {
        report(error);
        Ok(())
    }
}
