//! Role `snmp`; see ARCHITECTURE.md.
