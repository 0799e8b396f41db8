//! Role `act`; see ARCHITECTURE.md.
