//! The `seedbed` binary.

mod cli;

use std::process::ExitCode;

/// Loading and encoding allocate from many threads at once, where the system allocator is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
