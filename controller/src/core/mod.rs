//! Role `core`: sources, engine, journal. It listens on nothing but the roles' unix socket.
//!
//! [`run()`] is the app: the only place that spawns. `run` (the loop) owns the engine, `roles` the
//! socket, `keeper` the names of persons, `store` the files, `images` the firmware for nodes, `source` what happens outside.

mod alive;
mod app;
pub mod cards;
mod images;
mod keeper;
mod lag;
pub mod log;
pub mod notifier;
mod roles;
mod run;
pub mod source;
pub mod store;
pub mod vault;

pub use app::{Error, run};
pub use images::{MAX_NAME as MAX_IMAGE_NAME, firmware_folder};
pub use roles::socket_path;
