//! New migrations are part of the program: `sqlx::migrate!` alone does not notice added files.

#[expect(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
