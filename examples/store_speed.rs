//! How long opening the store and one journal entry take, beside the disk's own time; for bench/fleet.
//!
//!     cargo run --release --example store_speed FOLDER [URL]
//!
//! Prints one JSON object with medians in milliseconds.
#![allow(clippy::print_stdout, reason = "it prints its result")]

use std::{
    fs::File,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use dv_verify::{
    error::{Error, Result},
    name::Name,
    order::OrderId,
    provider::{Handle, Zone},
    record::{Record, RecordType},
    store::{Holder, Intent, LEASE, Store, Target},
};

const TIMES: usize = 200;

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

fn intent(number: usize) -> Result<Intent> {
    let zone = Name::parse("example.com")?;
    let record = Record {
        name: Name::parse(&format!("_dnsauth.w{number}.example.com"))?,
        record_type: RecordType::Txt,
        value: format!("value-{number}"),
    };
    Ok(Intent {
        provider: "p".into(),
        zone: Zone { name: zone, fields: std::collections::BTreeMap::default() },
        record,
        was_there: false,
    })
}

/// Opening, an intent, and the note that its write was confirmed.
async fn measure(target: &Target) -> Result<serde_json::Value> {
    let holder = Holder::order("bench", &OrderId::parse("o1")?);
    let (mut opening, mut intending, mut confirming) = (Vec::new(), Vec::new(), Vec::new());
    // Made before, so that what is measured is opening one that is there.
    Store::open_at(target, LEASE).await?.close().await;
    for _ in 0..TIMES / 4 {
        let began = Instant::now();
        let store = Store::open_at(target, LEASE).await?;
        opening.push(began.elapsed());
        store.close().await;
    }
    let store = Store::open_at(target, LEASE).await?;
    for number in 0..TIMES {
        let intent = intent(number)?;
        let began = Instant::now();
        let entry = store.intend(&intent, &holder).await?;
        intending.push(began.elapsed());
        let began = Instant::now();
        store.published(entry.id, &Handle(serde_json::json!("r1"))).await?;
        confirming.push(began.elapsed());
    }
    store.close().await;
    Ok(serde_json::json!({"open": median(opening), "intent": median(intending), "confirmed": median(confirming)}))
}

/// Writing a block and waiting for the disk.
fn disk(folder: &Path) -> std::io::Result<f64> {
    let mut file = File::create(folder.join("block"))?;
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    Ok(median(times))
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or_else(|| Error::usage("name a folder on the disk that is to be measured"))?;
    let disk = disk(Path::new(&folder)).map_err(|error| Error::usage(format!("`{folder}`: {error}")))?;
    let sqlite = measure(&Target::File(Path::new(&folder).join("speed.db"))).await?;
    let postgres = match arguments.next() {
        Some(url) => measure(&Target::parse(&url)?).await?,
        None => serde_json::Value::Null,
    };
    println!("{}", serde_json::json!({"fsync": disk, "sqlite": sqlite, "postgres": postgres}));
    Ok(())
}
