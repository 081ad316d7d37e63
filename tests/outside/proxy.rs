//! A TCP proxy on loopback whose line can be cut.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// What the line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// It carries everything.
    Open,
    /// Connections break, and none can be made.
    Closed,
    /// Connections stay, and everything sent over them is lost, as behind a firewall that forgot them.
    Swallowing,
}

/// A line to one server.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    line: Mutex<Line>,
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A line to a port of loopback, as long as the test process lives.
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { line: Mutex::new(Line::Open), streams: Mutex::default() });
        let state = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                match state.line() {
                    Line::Closed => drop(client),
                    Line::Swallowing => state.keep(&client),
                    Line::Open => connect(client, server, &state),
                }
            }
        });
        Self { port, shared }
    }

    /// Changes what the line does. Connections survive only the change to [`Line::Swallowing`].
    pub(crate) fn set(&self, line: Line) {
        *self.shared.line.lock().unwrap() = line;
        if line != Line::Swallowing {
            for stream in self.shared.streams.lock().unwrap().drain(..) {
                // It may have ended by itself.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Shared {
    fn line(&self) -> Line {
        *self.line.lock().unwrap()
    }

    fn keep(&self, stream: &TcpStream) {
        self.streams.lock().unwrap().push(stream.try_clone().unwrap());
    }
}

fn connect(client: TcpStream, server: u16, state: &Arc<Shared>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
    for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
        state.keep(&from);
        let state = Arc::clone(state);
        thread::spawn(move || {
            let mut bytes = [0; 16 * 1024];
            while let Ok(length @ 1..) = from.read(&mut bytes) {
                if state.line() == Line::Open && to.write_all(&bytes[..length]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}
