//! Waits until every authority shows a TXT value at some names, and says when that was noticed.
//!
//! ```sh
//! cargo run --example notice -- --resolver 127.0.0.1:5300 --value token _acme-challenge.example.com
//! ```
//!
//! Prints one JSON object for each name: when it was noticed (seconds since 1970), how long that took, and what each server said.
//! `bench/propagation/run.py` measures with it.
#![expect(clippy::print_stdout, reason = "the result of a program")]

use std::{
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use dv_verify::{
    error::Result,
    name::Name,
    propagation::{Expectation, Options, Propagation, Round},
    record::{Record, RecordType},
};
use futures_util::future::join_all;
use tokio::time::Instant;

#[derive(Parser)]
#[command(about = "Waits until every authority shows a TXT value, and says when that was noticed")]
struct Arguments {
    /// The resolver for zone cuts; without it the system's
    #[arg(long)]
    resolver: Option<SocketAddr>,
    /// The value that is waited for
    #[arg(long)]
    value: String,
    /// How many seconds to wait at most
    #[arg(long, default_value_t = 900)]
    seconds: u64,
    /// How many seconds it took before, where that is known
    #[arg(long)]
    measured: Option<f64>,
    /// The names
    #[arg(required = true)]
    names: Vec<Name>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(5),
        Err(error) => {
            println!("{}", serde_json::json!({ "error": error.to_string() }));
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// Whether all names became visible.
async fn run(arguments: &Arguments) -> Result<bool> {
    let propagation = Propagation::new(Options { resolver: arguments.resolver, ..Options::default() })?;
    let deadline = Instant::now() + Duration::from_secs(arguments.seconds);
    let measured = arguments.measured.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let expectation = Expectation { usual_delay: None, measured: measured.into_iter().collect() };
    let visible = join_all(arguments.names.iter().map(|name| {
        let (propagation, expectation) = (&propagation, &expectation);
        let record = Record { name: name.clone(), record_type: RecordType::Txt, value: arguments.value.clone() };
        async move {
            let outcome = propagation.wait(&record, expectation, deadline, &mut |_| {}).await;
            let noticed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            match &outcome {
                Ok(round) => println!("{}", shown(round, noticed)),
                Err(error) => println!("{}", serde_json::json!({ "name": record.name, "error": error.to_string() })),
            }
            outcome.is_ok()
        }
    }))
    .await;
    Ok(visible.into_iter().all(|visible| visible))
}

fn shown(round: &Round, noticed: f64) -> serde_json::Value {
    let servers: Vec<String> =
        round.observations.iter().map(|seen| format!("{} {}", seen.authority.address, seen.verdict.word())).collect();
    serde_json::json!({
        "name": round.record.name, "noticed": noticed, "waited": round.waited.as_secs_f64(), "servers": servers,
    })
}
