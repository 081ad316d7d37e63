//! What goes wrong with a database server.

use super::*;
use crate::{
    error::{ErrorKind, Retry},
    test_disk,
};

async fn refused(text: &str) -> Error {
    let error = Store::open_at(&Target::parse_private(text).unwrap(), LEASE).await.unwrap_err();
    assert!(!format!("{error:?}").contains(test_postgres::PASSWORD) && !format!("{error:?}").contains("wrong-one"), "{error:?}");
    error
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_named_with_the_reason() {
    let Some(database) = test_postgres::database() else { return };
    let port = database.cluster.port;
    let error = refused(&database.url_of_port(1, "postgres")).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Later));
    assert!(error.to_string().contains("127.0.0.1:1/") && error.to_string().contains("cannot be reached"), "{error}");
    let error = refused(&database.url_of_port(port, "postgres:wrong-one")).await;
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(error.hint().unwrap().contains("--store-file"), "{error:?}");
    let error = refused(&database.cluster.url("no_such_database")).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("no_such_database"), "{error}");
    database.say(&format!("CREATE ROLE guest LOGIN PASSWORD '{}'", test_postgres::PASSWORD));
    let guest = database.url_of_port(port, &format!("guest:{}", test_postgres::PASSWORD));
    let error = refused(&guest).await;
    assert_eq!(error.kind(), ErrorKind::Rights);
    assert!(error.hint().unwrap().contains("CREATE"), "{error:?}");
    // A schema that was made for the user will do.
    database.say("CREATE SCHEMA dv_verify AUTHORIZATION guest");
    Store::open_at(&Target::parse_private(&guest).unwrap(), LEASE).await.unwrap();
}

/// What a write says once the connections of before are gone.
async fn renewed(store: &Store) -> Error {
    let Database::Postgres(pool) = &store.database else { panic!("a file") };
    let options = pool.connect_options();
    pool.close().await;
    let database =
        Database::Postgres(sqlx::PgPool::connect_lazy_with((*options).clone().options([("search_path", "dv_verify")])));
    let again = Store { database, ..store.clone() };
    again.intend(&intent("w", false), &order("a")).await.unwrap_err()
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_found_when_opening_and_when_writing() {
    let Some(database) = test_postgres::database() else { return };
    let store = open(&database.url()).await;
    store.intend(&intent("v", false), &order("a")).await.unwrap();
    database.cluster.say("postgres", &format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name));
    let error = renewed(&store).await;
    assert!(error.to_string().contains("read-only"), "{error}");
    let error = refused(&database.url()).await;
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.to_string().contains("read-only"), "{error}");
    database.cluster.say("postgres", &format!("ALTER DATABASE {} RESET default_transaction_read_only", database.name));
    assert_eq!(open(&database.url()).await.entries().await.unwrap().len(), 1, "nothing is lost");
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_left_alone_and_an_older_one_is_brought_up_to_date() {
    let Some(database) = test_postgres::database() else { return };
    // As the first version made it.
    database.say(&format!(
        "CREATE SCHEMA dv_verify; SET search_path TO dv_verify; {}",
        include_str!("../migrations/0001_journal.sql")
    ));
    database.say(
        "SET search_path TO dv_verify;
         CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
         installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL);
         INSERT INTO entries VALUES (1, 'cf', 'example.com', '{}', '_x.example.com', 'TXT', 'v', FALSE, NULL, 0);
         UPDATE counters SET value = 1 WHERE name = 'entry'",
    );
    let checksum = data_encoding::HEXLOWER.encode(&migrations::all().iter().next().unwrap().checksum);
    database.say(&format!(
        "INSERT INTO dv_verify._sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (1, 'journal', TRUE, decode('{checksum}', 'hex'), 0)"
    ));
    let store = open(&database.url()).await;
    assert_eq!(store.entries().await.unwrap().len(), 1);
    assert_eq!(store.intend(&intent("w", false), &order("a")).await.unwrap().id, EntryId(2));
    database.say(
        "INSERT INTO dv_verify._sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'x', TRUE, '', 0)",
    );
    let error = refused(&database.url()).await;
    assert!(error.to_string().contains("newer version"), "{error}");
    assert_eq!(database.say("SELECT count(*) FROM dv_verify.entries"), "2");
}

#[tokio::test]
async fn a_server_whose_disk_is_full_says_so_and_loses_nothing() {
    let name = "store::tests::server::a_server_whose_disk_is_full_says_so_and_loses_nothing";
    let Some(disk) = test_disk::small(name, "192m") else { return };
    std::fs::set_permissions(&disk, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let Some(cluster) = test_postgres::start(Some(&disk)) else { return };
    cluster.say("postgres", "CREATE DATABASE filled");
    let store = open(&cluster.url("filled")).await;
    let entry = store.intend(&intent("v", false), &order("a")).await.unwrap();
    let filler = test_disk::fill(&disk);
    let noise = (0..60_000).map(|_| format!("{:032x}", rand::random::<u128>())).collect::<Vec<_>>().concat();
    let error = store.published(entry.id, &Handle(serde_json::json!(noise))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.to_string().contains("no space is left"), "{error}");
    std::fs::remove_file(filler).unwrap();
    store.published(entry.id, &Handle(serde_json::json!("r1"))).await.unwrap();
    let entries = store.entries().await.unwrap();
    assert_eq!((entries.len(), &entries[0].handle), (1, &Some(Handle(serde_json::json!("r1")))));
}
