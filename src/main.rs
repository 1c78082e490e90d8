//! The `lanward` program: sub-commands, logger, exit status.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
