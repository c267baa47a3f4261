//! What the fuzz targets assert, as plain functions. `../tests/properties.rs` calls the same ones.

pub mod envelope;
pub mod file_server;
pub mod jetstream;
pub mod plain;
pub mod plain_http;
pub mod receive;
pub mod round_trip;
#[path = "../../tests/board_handshake/secrets.rs"]
pub mod secrets;
#[path = "../../tests/board_handshake/server.rs"]
pub mod server;
pub mod session;
pub mod still;
pub mod tls;
pub mod wire;
