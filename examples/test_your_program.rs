//! How to test a program without servers: it takes any broker and file server, so its tests use those in memory.
//!
//! ```text
//! cargo run --example test_your_program
//! ```

use std::time::Duration;

use natsbridge::adapter::{Broker, FileServer, Platform};
use natsbridge::host::StdPlatform;
use natsbridge::memory::{MemoryBroker, MemoryFileServer};
use natsbridge::{Error, NatsBridge, Payload, SendOptions};

/// The program: it answers each reading with an alarm if it is too hot.
fn watch<B: Broker, F: FileServer, P: Platform>(
    bridge: &mut NatsBridge<B, F, P>,
    wait: Duration,
) -> Result<u32, Error> {
    let mut alarms = 0;
    while let Some(reading) = bridge.next(wait)? {
        if reading.json::<f64>("celsius")? > 30.0 {
            let alarm = [("alarm", Payload::text("too hot"))];
            bridge.smartsend("alarms", &alarm, &SendOptions::default())?;
            alarms += 1;
        }
    }
    Ok(alarms)
}

/// Its test; in a real program it has the attribute `#[test]`.
fn a_hot_room_raises_an_alarm() -> Result<(), Error> {
    let (broker, files) = (MemoryBroker::new(), MemoryFileServer::new());
    // A clone is another client of the same broker.
    let mut program = NatsBridge::new(broker.clone(), files.clone(), StdPlatform);
    program.subscribe("rooms.*", None)?;
    let mut tester = NatsBridge::new(broker, files, StdPlatform);
    tester.subscribe("alarms", None)?;

    for (room, celsius) in [("rooms.1", 21.5), ("rooms.2", 35.0)] {
        let reading = [("celsius", Payload::dictionary(&celsius)?)];
        tester.smartsend(room, &reading, &SendOptions::default())?;
    }
    // The messages are there already, so nothing is waited for.
    assert_eq!(watch(&mut program, Duration::ZERO)?, 1);
    let alarm = tester.next(Duration::ZERO)?.expect("an alarm");
    assert_eq!(alarm.text("alarm")?, "too hot");
    assert!(tester.next(Duration::ZERO)?.is_none());
    Ok(())
}

fn main() -> Result<(), Error> {
    a_hot_room_raises_an_alarm()?;
    println!("the test passed");
    Ok(())
}
