//! Role `broker`; see ARCHITECTURE.md.
