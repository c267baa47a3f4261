//! The crate `log`, which natsbridge uses, through `defmt`.

use defmt::Display2Format;
use log::{Level, LevelFilter, Log, Metadata, Record};

struct Defmt;

impl Log for Defmt {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    /// Formatted on the board: the texts of `log` are not known when it is compiled.
    fn log(&self, record: &Record<'_>) {
        let text = Display2Format(record.args());
        match record.level() {
            Level::Error => defmt::error!("{}", text),
            Level::Warn => defmt::warn!("{}", text),
            Level::Info => defmt::info!("{}", text),
            Level::Debug => defmt::debug!("{}", text),
            Level::Trace => defmt::trace!("{}", text),
        }
    }

    fn flush(&self) {}
}

/// Called before anything else that logs.
pub fn start() {
    // An error means that there is a logger already.
    #[cfg(target_has_atomic = "ptr")]
    {
        log::set_logger(&Defmt).ok();
        log::set_max_level(LevelFilter::Debug);
    }
    // SAFETY: without compare-and-swap, `log` needs to be told that nothing runs beside this.
    #[cfg(not(target_has_atomic = "ptr"))]
    unsafe {
        log::set_logger_racy(&Defmt).ok();
        log::set_max_level_racy(LevelFilter::Debug);
    }
}
