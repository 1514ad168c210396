//! New migrations are part of the program: `sqlx::migrate!` alone does not notice added files.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
