//! The `lanward` program. Everything is in the library: see `lanward::cli`.

fn main() -> std::process::ExitCode {
    lanward::cli::main(std::env::args_os())
}
