//! A service that adds numbers, and a client that asks it.
//!
//! ```text
//! cargo run --example request_reply -- nats://localhost:4222
//! ```

use std::time::Duration;

use natsbridge::{Error, Payload, SendOptions, host};

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1);
    let url = url.unwrap_or(natsbridge::DEFAULT_BROKER_URL.to_string());

    let mut service = host::connect(&url, "none")?;
    // Of several services in a queue group, one gets each request.
    service.subscribe("/add", Some("adders"))?;
    let service = std::thread::spawn(move || serve(service));

    let mut client = host::connect(&url, "none")?;
    let numbers = [("numbers", Payload::dictionary(&[19, 23])?)];
    let wait = Duration::from_secs(5);
    let answer = client.request("/add", &numbers, &SendOptions::default(), wait)?;
    println!("the sum is {}", answer.json::<i64>("sum")?);

    // Where nobody listens, the error comes at once.
    let error = client.request("/divide", &numbers, &SendOptions::default(), wait);
    println!("{}", error.expect_err("nobody divides"));
    service.join().expect("no panic")
}

/// Answers one request; a real service has a loop here.
fn serve(mut service: host::HostBridge) -> Result<(), Error> {
    if let Some(request) = service.next(Duration::from_secs(60))? {
        let numbers: Vec<i64> = request.json("numbers")?;
        let sum = Payload::dictionary(&numbers.iter().sum::<i64>())?;
        service.reply(&request, &[("sum", sum)], &SendOptions::default())?;
    }
    Ok(())
}
