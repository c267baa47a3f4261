//! What the example programs share.
#![allow(dead_code, reason = "each example uses a part of it")]

pub(crate) mod cli;
pub(crate) mod failure;
pub(crate) mod files;
pub(crate) mod lines;
pub(crate) mod payloads;
pub(crate) mod progress;
pub(crate) mod receiving;
pub(crate) mod sending;
pub(crate) mod service;
