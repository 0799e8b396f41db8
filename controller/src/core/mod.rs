//! Role `core`; see ARCHITECTURE.md.
