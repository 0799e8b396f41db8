//! Actions whose settings need more than a few keys: one file each, with its reader.

pub mod guests;
pub mod http;
pub mod https;
pub mod ipmi;
pub mod libvirt;
pub mod proxmox;
pub mod redfish;
pub mod vsphere;
pub mod winrm;
pub mod wol;

#[cfg(test)]
mod tests;
