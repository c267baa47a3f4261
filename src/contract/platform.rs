//! What every platform does.

use core::time::Duration;

use crate::platform::Platform;

/// Checks all that a [`Platform`] promises. Blocks about 30 ms.
///
/// # Panics
/// If the platform breaks a rule.
pub fn platform(platform: &dyn Platform) {
    let (unix, uptime) = (platform.unix_millis(), platform.uptime_millis());
    let pause = Duration::from_millis(30);
    platform.wait(pause);
    let waited = platform.uptime_millis() - uptime;
    assert!((29..2000).contains(&waited), "{waited} ms");
    assert!(platform.unix_millis() >= unix);
    assert!(unix > 1_700_000_000_000, "a wall clock after 2023: {unix}");
    let mut drawn = [[0; 64]; 2];
    for bytes in &mut drawn {
        platform.random(bytes).unwrap();
        assert!(bytes.iter().any(|byte| *byte != bytes[0]), "{bytes:?}");
    }
    assert_ne!(drawn[0], drawn[1]);
}
