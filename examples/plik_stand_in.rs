//! The tests' stand-in for a Plik server, to try things by hand where there is no Plik. It keeps everything in
//! memory, and is no server for real use.
//!
//! ```text
//! cargo run --example plik_stand_in -- 127.0.0.1:8080
//! ```

#[path = "../tests/common/plik_stand_in/mod.rs"]
#[allow(dead_code, reason = "its hooks are for tests")]
mod plik_stand_in;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1);
    let address = address.unwrap_or("127.0.0.1:8080".to_string());
    let server = plik_stand_in::PlikStandIn::start_on(address)?;
    println!("{}", server.url());
    loop {
        // It has threads of its own.
        std::thread::park();
    }
}
