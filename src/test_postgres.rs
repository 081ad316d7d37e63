//! A private PostgreSQL for tests: one cluster for each test process, one database for each test.
//!
//! The server is the child of a shell that waits for the end of its input, so it ends with the test process, however that ends, and its
//! folder goes with it. It listens on a socket in that folder, where everybody may enter, and on a port of loopback, with passwords.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// The password of the superuser.
pub(crate) const PASSWORD: &str = "planted-database-password-5c0e";

/// Where Debian keeps the programs.
const PROGRAMS: &str = "/usr/lib/postgresql";

/// How often, with a pause of [`PAUSE`], it is asked whether the server is up.
const ATTEMPTS: u32 = 3_000;
const PAUSE: Duration = Duration::from_millis(20);

/// What runs the server. `$1` is the folder, `$2` that of the programs, `$3` the port, `$4` the file with the password, the rest goes before
/// each program.
const SCRIPT: &str = r#"
set -e
folder=$1 programs=$2 port=$3 password=$4
shift 4
cd /
"$@" "$programs/initdb" --pgdata "$folder/data" --username postgres --auth-local trust --auth-host scram-sha-256 --pwfile "$password" \
    --encoding UTF8 --locale C --no-sync --no-instructions >"$folder/initdb.log" 2>&1
"$@" "$programs/postgres" -D "$folder/data" -k "$folder" -p "$port" -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=80 \
    -c shared_buffers=16MB -c autovacuum=off -c full_page_writes=off -c max_wal_size=64MB -c min_wal_size=32MB \
    >"$folder/server.log" 2>&1 </dev/null &
server=$!
read -r nothing || true
kill -QUIT "$server"
wait "$server" || true
rm -rf "$folder"
"#;

/// A server that runs as long as this process.
pub(crate) struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    /// Its port on loopback, and the ending of its socket.
    pub(crate) port: u16,
    // Its input is open as long as this process lives.
    _shell: Child,
}

/// One empty database.
#[derive(Clone)]
pub(crate) struct Database {
    /// The server.
    pub(crate) cluster: &'static Cluster,
    /// Its name.
    pub(crate) name: String,
}

/// A new database; `None`, said on standard output, where PostgreSQL is not installed, unless `DV_TEST_REQUIRE_SERVERS` wants it.
pub(crate) fn database() -> Option<Database> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let Some(cluster) = CLUSTER.get_or_init(|| start(None)) else {
        println!("left out: PostgreSQL is not installed");
        return None;
    };
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::SeqCst));
    cluster.say("postgres", &format!("CREATE DATABASE {name}"));
    Some(Database { cluster, name })
}

/// Starts a server; in `folder` where there is one.
pub(crate) fn start(folder: Option<&Path>) -> Option<Cluster> {
    let versions = fs::read_dir(PROGRAMS).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let Some(programs) = versions.filter(|programs| programs.join("postgres").exists()).max() else {
        assert!(std::env::var_os("DV_TEST_REQUIRE_SERVERS").is_none(), "PostgreSQL is not in {PROGRAMS}");
        return None;
    };
    let made = tempfile::Builder::new().prefix("dv-pg-").tempdir_in(folder.unwrap_or(Path::new("/tmp"))).unwrap().keep();
    let password = made.join("password");
    fs::write(&password, PASSWORD).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh"]).arg(&made).arg(&programs).arg(port.to_string()).arg(&password);
    if is_root() {
        // PostgreSQL refuses to run as root.
        let owned = Command::new("chown").args(["-R", "postgres:"]).arg(&made).status().unwrap();
        assert!(owned.success());
        command.args(["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]);
    } else {
        command.arg("env");
    }
    let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let logs = || ["initdb.log", "server.log"].map(|name| fs::read_to_string(made.join(name)).unwrap_or_default()).concat();
    for _ in 0..ATTEMPTS {
        assert!(shell.try_wait().unwrap().is_none(), "PostgreSQL ended: {}", logs());
        let mut ready = Command::new(programs.join("pg_isready"));
        ready.arg("-q").arg("-h").arg(&made).arg("-p").arg(port.to_string());
        if ready.status().is_ok_and(|status| status.success()) {
            return Some(Cluster { folder: made, programs, port, _shell: shell });
        }
        std::thread::sleep(PAUSE);
    }
    panic!("PostgreSQL does not start: {}", logs());
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

impl Cluster {
    /// Runs statements as the superuser, and returns what they print: rows on lines, columns separated by `|`.
    #[track_caller]
    pub(crate) fn say(&self, database: &str, statements: &str) -> String {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-c", statements]);
        let output = command.arg("-h").arg(&self.folder).arg("-p").arg(self.port.to_string()).output().unwrap();
        assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The URL of a database, over the socket.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost:{}/{database}?host={}", self.port, self.folder.display())
    }
}

impl Database {
    /// Its URL, over the socket: no password.
    pub(crate) fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// Its URL, over a port of loopback.
    pub(crate) fn url_of_port(&self, port: u16, user_and_password: &str) -> String {
        format!("postgres://{user_and_password}@127.0.0.1:{port}/{}", self.name)
    }

    /// Runs statements in it, as the superuser.
    #[track_caller]
    pub(crate) fn say(&self, statements: &str) -> String {
        self.cluster.say(&self.name, statements)
    }
}
