//! A service of small messages and its clients, for the benchmark. Run inside the containers, from
//! this very program.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::Subcommand;

/// Port of the service.
pub(super) const PORT: u16 = 7_007;
const MESSAGE: usize = 64;
const CONNECTIONS: usize = 8;

/// What to do inside a container.
#[derive(Subcommand)]
pub(crate) enum Load {
    /// Send back every message of 64 bytes, until killed
    Serve,
    /// Ask over eight connections and print the requests a second
    Ask {
        /// Address of the service
        server: String,
        /// How long
        seconds: u64,
    },
}

impl Load {
    /// Does it.
    pub(crate) fn run(&self) -> Result<()> {
        match self {
            Self::Serve => serve(),
            Self::Ask { server, seconds } => ask(server, Duration::from_secs(*seconds)),
        }
    }
}

fn serve() -> Result<()> {
    let listener = TcpListener::bind(("::", PORT))?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        thread::spawn(move || {
            let mut message = [0; MESSAGE];
            while stream.read_exact(&mut message).is_ok() && stream.write_all(&message).is_ok() {}
        });
    }
    Ok(())
}

fn ask(server: &str, duration: Duration) -> Result<()> {
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut stream = TcpStream::connect((server, PORT))?;
            stream.set_nodelay(true)?;
            Ok(thread::spawn(move || -> Result<u64> {
                let mut message = [0x2a; MESSAGE];
                let end = Instant::now() + duration;
                let mut answers = 0;
                while Instant::now() < end {
                    stream.write_all(&message)?;
                    stream.read_exact(&mut message)?;
                    answers += 1;
                }
                Ok(answers)
            }))
        })
        .collect::<Result<_>>()?;
    let mut answers = 0;
    for client in clients {
        answers += client.join().ok().context("a client failed")??;
    }
    println!("{}", answers / duration.as_secs().max(1));
    Ok(())
}
