//! Tells the linker where memory begins and ends: for the node and for its bootloader.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts");
    for (program, memory) in [("rp2040-w5500", "app"), ("rp2040-w5500-boot", "boot")] {
        println!("cargo:rustc-link-arg-bin={program}=-L{here}/memory/{memory}");
    }
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rustc-link-arg-bins=-Tlink-rp.x");
    // Sections follow each other in flash, not at page boundaries.
    println!("cargo:rustc-link-arg-bins=--nmagic");
    println!("cargo:rerun-if-changed=memory");
}
