//! What every sensor node does, whatever board it runs on.
//!
//! ```text
//! contact level --> [contact] --+                        +--> event, QoS 1    (until acknowledged)
//! sensor reading -> [sensor] ---+--> [node] --> [outbox] +
//! downward frame -> [guard] ----+     |  |               +--> telemetry, QoS 0 (latest wins)
//!                                     |  +--> [safe] mode after crashes
//!        [memory] EEPROM, [layout]: [identity] [ring] [list] [checkpoint]
//! serial line --> [console]: provisioning, status, erasing
//! new image ----> [update] slots in flash, signature, trial, way back
//! ```
//! The library knows `embedded-hal` traits and [`memory::Memory`]; it has no clock (`now_ms` is
//! an argument), no network and no heap. The board brings pins, time and MQTT, and asks
//! [`node::Node`] what to send next. The same code is tested on the host.
//!
//! It never invents a value: a sensor that cannot be proven to answer is [`shared::NoData`].
//! It never forgets an event before the controller's authenticated acknowledgement, and never
//! stops working because the controller is away.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod backoff;
pub mod bus;
pub mod checkpoint;
pub mod console;
pub mod contact;
pub mod crash;
pub mod door;
pub mod drivers;
pub mod guard;
pub mod identity;
pub mod keypad;
pub mod layout;
pub mod line;
pub mod list;
pub mod memory;
pub mod node;
pub mod outbox;
pub mod parts;
pub mod portal;
pub mod proof;
pub mod reader;
pub mod ring;
pub mod safe;
pub mod sensor;
pub mod shock;
pub mod supervisor;
pub mod takeover;
pub mod update;

/// Milliseconds for which a contact must hold its level before it counts.
pub const CONTACT_HOLD_MS: u64 = 5;
/// Change of a temperature that is sent at once, in thousandths of a degree.
pub const TEMPERATURE_DELTA_MILLI: i32 = 100;
/// Longest silence of a channel and between two heartbeats, in milliseconds.
pub const REPORT_MS: u64 = 5_000;
/// Least time between two events that report refused downward frames, in milliseconds:
/// whoever floods us with forged frames must not wear out the memory or push events out.
pub const REFUSED_EVERY_MS: u64 = 10_000;
/// The same after many of them: the time doubles with each event up to this, and begins again after
/// an hour without a refusal. A flood that lasts for a year costs 9 000 writes, not millions.
pub const REFUSED_AT_MOST_MS: u64 = 3_600_000;
/// First wait for an acknowledgement before events are sent again, in milliseconds.
pub const RESEND_FIRST_MS: u64 = 10_000;
/// Longest wait for an acknowledgement before events are sent again, in milliseconds.
pub const RESEND_MAX_MS: u64 = 60_000;
/// Time between two attempts to write to a memory that refused, in milliseconds.
pub const STORE_RETRY_MS: u64 = 1_000;
/// Time between two reports of the node's own health, in milliseconds.
pub const HEALTH_MS: u64 = 60_000;

const _: () = assert!(RESEND_FIRST_MS <= RESEND_MAX_MS);
