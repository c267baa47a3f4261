//! What to do about an error, in terms of this program's flags.

use natsbridge::{BrokerErrorKind, Error, ErrorKind, FileServerErrorKind, JetStreamErrorKind};

/// What to do about it, if a flag or another program can help.
pub(crate) fn hint(error: &Error) -> Option<&'static str> {
    Some(match error.kind() {
        ErrorKind::Broker(kind) => return broker(kind),
        ErrorKind::FileServer(kind) => return file_server(kind),
        ErrorKind::JetStream(kind) => return jetstream(kind),
        ErrorKind::LinkRefused => {
            "--allow-origin with the link's origin, if you trust that server, or --store with its URL"
        }
        ErrorKind::NoResponders => {
            "start the service first, for example: natsbridge serve --subject SUBJECT -- COMMAND"
        }
        ErrorKind::NoAnswer => "a longer --wait",
        ErrorKind::TooLarge => {
            "--store with the URL of a file server (natsbridge send --help lists them), --max-download to receive \
             more, or smaller payloads"
        }
        _ => return None,
    })
}

fn broker(kind: BrokerErrorKind) -> Option<&'static str> {
    Some(match kind {
        BrokerErrorKind::Unreachable => {
            "start a NATS server (nats-server), or name yours by --broker or NATS_URL"
        }
        BrokerErrorKind::Unauthorized => {
            "--user with --password-file, --token-file, --nkey-file or --creds for credentials; --ca for a server's \
             own certificate authority"
        }
        BrokerErrorKind::Timeout | BrokerErrorKind::Disconnected => {
            "check whether the message arrived before you send it again; a longer --timeout"
        }
        _ => return None,
    })
}

fn jetstream(kind: JetStreamErrorKind) -> Option<&'static str> {
    match kind {
        JetStreamErrorKind::NotEnabled => Some("start the server with JetStream: nats-server -js"),
        JetStreamErrorKind::NoStream => {
            Some("create the stream once: nats stream add NAME --subjects SUBJECT --defaults")
        }
        _ => None,
    }
}

fn file_server(kind: FileServerErrorKind) -> Option<&'static str> {
    Some(match kind {
        FileServerErrorKind::Unreachable => {
            "start the file server, or name yours by --store or NATSBRIDGE_STORE; `--store none` for small messages"
        }
        FileServerErrorKind::Unauthorized => {
            "--basic-auth-file or --header-file; for Plik also --plik-token-file and --plik-login-file; for S3 \
             AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; --store-ca for a server's own certificate authority"
        }
        FileServerErrorKind::Unsupported => "--store with the URL of a file server",
        _ => return None,
    })
}
