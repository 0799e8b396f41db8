//! Role `web`; see ARCHITECTURE.md.
