use std::process::ExitCode;

fn main() -> ExitCode {
    magpie::cli::main()
}
