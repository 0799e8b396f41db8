//! The real binary and its parts against real parts: one test binary, loopback only.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps in vain fails, as it should"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "plain tests look again after a pause, each wait with a bound"
)]

mod access;
mod act;
mod act_bmc;
mod board;
mod clock;
mod conformance;
mod disk;
mod entry_log;
mod flood;
mod hypervisor;
mod living;
mod modbus;
mod mqtt;
mod node;
mod notifier_mail;
mod notifier_mqtt;
mod notifier_patlite;
mod notifier_product;
mod notifier_snmp;
mod notifier_syslog;
mod notifier_web;
mod nut;
mod nut_server;
mod operator;
mod outage;
mod page;
mod privilege;
mod provision;
mod restart;
mod serial;
mod simroom;
mod snmp;
mod snmp_trap;
mod snmp_v3;
mod tell;
mod ups_care;
mod watch;
mod web;
mod whole;
