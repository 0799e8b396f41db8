//! Makes the folder of the built UI exist, so that the controller builds without Node; a UI that
//! was built is never touched.

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=ui/dist");
    std::fs::create_dir_all("ui/dist")
}
