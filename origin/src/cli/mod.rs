//! Operator subcommands of `inlet-origin`.
