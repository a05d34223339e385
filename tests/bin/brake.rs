//! `brake`: makes the machine too slow for one process, for tests that are not in Rust.
//!
//! It looks at how much CPU time the process takes, says so on a line of its own, leaves
//! it a share of that from then on, and ends with its standard input.

use std::{io, process::ExitCode, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use tests::brake::{Appetite, Brake};

/// How long the process is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Leaves a process a share of the CPU time that it takes.
#[derive(Parser)]
struct Arguments {
    /// Id of the process.
    #[arg(long)]
    pid: i32,
    /// What is left to it of what it takes: 0.5 is half.
    #[arg(long)]
    share: f64,
}

#[expect(clippy::print_stderr, reason = "the error is for whoever started it")]
fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("brake: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figure is what it prints")]
fn run(Arguments { pid, share }: &Arguments) -> Result<()> {
    ensure!((0.0..1.0).contains(share), "no share: {share}");
    let appetite = Appetite::of(*pid).context("no such process")?;
    thread::sleep(LOOK);
    let cores = appetite.cores().context("it has ended")?;
    let brake = Brake::on(*pid, cores * share);
    println!("{cores:.3} cores");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    drop(brake);
    Ok(())
}
