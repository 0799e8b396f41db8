//! Tells the linker where memory begins and ends: for the node and for its bootloader.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts");
    for (program, memory) in [("stm32f767zi", "app"), ("stm32f767zi-boot", "boot")] {
        println!("cargo:rustc-link-arg-bin={program}=-L{here}/memory/{memory}");
    }
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    // Sections follow each other in flash, not at page boundaries.
    println!("cargo:rustc-link-arg-bins=--nmagic");
    println!("cargo:rerun-if-changed=memory");
}
