//! The `lma` binary: parse the arguments, run the command, turn the outcome into an exit code.

fn main() -> std::process::ExitCode {
    lma::cli::main()
}
