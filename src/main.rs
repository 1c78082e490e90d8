//! The `lanward` program. Everything is in the library: see `lanward::cli`.

fn main() -> std::process::ExitCode {
    // Elsewhere a panic says itself where it was.
    if cfg!(panic = "immediate-abort") {
        lanward::system::defect::watch();
    }
    lanward::cli::main(std::env::args_os())
}
