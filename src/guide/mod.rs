//! The guide: what does not fit beside a single type. Each page is one module.
//!
//! | page | answers |
//! | --- | --- |
//! | [`command_line`] | How do I send and receive without writing a program? |
//! | [`connection`] | How do I connect to a cluster, with credentials, with TLS? What happens when the connection is lost? |
//! | [`stores`] | Where do large payloads go, and which file server fits? |
//! | [`durability`] | How does a message survive a crash, and wait for a receiver that is away? |
//! | [`errors`] | What does an error mean, who must act, and is a retry of use? |
//! | [`faults`] | What does the library do when a network or a server fails, and which test shows it? |
//! | [`limits`] | How large, how many, how long? |
//! | [`security`] | What may a peer do, and where do secrets go? |
//! | [`interoperability`] | What differs between this and the other members of the family? |
//! | [`boards`] | How does it run without an operating system, and what does it cost there? |
//! | [`board_stacks`] | Which TCP stacks can it use there? What of ESP32, `defmt`, watchdogs? |
//! | [`board_tls`] | What does TLS on a board check, and what does it cost? |
//! | [`speed`] | How fast is it, compared with what? |
//! | [`writing_an_adapter`] | How do I bring my own broker, file server, HTTP client or machine? |
//! | [`contributing`] | Which file does a change go into? |

#[doc = include_str!("board_stacks.md")]
pub mod board_stacks {}
#[doc = include_str!("board_tls.md")]
pub mod board_tls {}
#[doc = include_str!("boards.md")]
pub mod boards {}
#[doc = include_str!("command_line.md")]
pub mod command_line {}
#[doc = include_str!("connection.md")]
pub mod connection {}
#[doc = include_str!("contributing.md")]
pub mod contributing {}
#[doc = include_str!("durability.md")]
pub mod durability {}
#[doc = include_str!("errors.md")]
pub mod errors {}
#[doc = include_str!("faults.md")]
pub mod faults {}
#[doc = include_str!("interoperability.md")]
pub mod interoperability {}
#[doc = include_str!("limits.md")]
pub mod limits {}
#[doc = include_str!("security.md")]
pub mod security {}
#[doc = include_str!("speed.md")]
pub mod speed {}
#[doc = include_str!("stores.md")]
pub mod stores {}
#[doc = include_str!("writing_an_adapter.md")]
pub mod writing_an_adapter {}
